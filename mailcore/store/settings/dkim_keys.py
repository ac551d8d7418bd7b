"""DKIM keys of domains: create, activate once the record is published, retire, delete.

`active_signers` serves the courier and is cached for directory_cache_time. A domain may sign with an RSA and an Ed25519
key at once (RFC 8463 §3): old verifiers know only RSA.
"""

import base64
import logging
from dataclasses import dataclass
from datetime import datetime
from time import monotonic

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from django.db import transaction
from django.utils import timezone

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import DkimKey, Domain
from mailcore.store.credentials import encryption
from mailcore.store.db import audit
from mailcore.store.notify import notifications
from mailcore.wire.sender_auth import dkim

log = logging.getLogger("mailcore.dkim")

_KEY_PURPOSE = "dkim"
_RSA_BITS = 2048

State = DkimKey.State


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that signs now."""

    selector: str
    algorithm: str  # "rsa-sha256" or "ed25519-sha256"
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    def sign(self, data: bytes) -> str:
        """Return the b= tag; Ed25519 signs the SHA-256 of what RSA signs (RFC 8463 §3)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        else:
            digest = hashes.Hash(hashes.SHA256())
            digest.update(data)
            signature = self.key.sign(digest.finalize())
        return base64.b64encode(signature).decode()


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as the administrator sees it; `name` and `record` belong into the DNS."""

    id: int
    selector: str
    algorithm: str
    state: str
    created: datetime
    name: str
    record: str


def list_keys(domain: Domain) -> list[KeyEntry]:
    """Return the DKIM keys of a domain, the latest first."""
    return [
        KeyEntry(
            row.pk, row.selector, row.algorithm, row.state, row.created, f"{row.selector}._domainkey.{domain.name}",
            dkim.key_record(row.algorithm, row.public),
        )
        for row in DkimKey.objects.filter(domain=domain).order_by("-created", "-pk")
    ]  # fmt: skip


def create_key(domain_id: int, algorithm: str) -> int:
    """Create a key that waits for its DNS record, and return its id.

    Raise ValueError for an unknown domain or algorithm.
    """
    if algorithm not in DkimKey.Algorithm.values:
        raise ValueError(algorithm)
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if algorithm == DkimKey.Algorithm.RSA:
        private = rsa.generate_private_key(65537, _RSA_BITS)
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        public = private.public_key().public_bytes(serialization.Encoding.DER, form)
    else:
        private = ed25519.Ed25519PrivateKey.generate()
        public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with transaction.atomic():
        domain = Domain.objects.select_for_update().filter(pk=domain_id).first()
        if domain is None:
            raise ValueError(domain_id)
        row = DkimKey.objects.create(
            domain=domain,
            selector=_free_selector(domain, algorithm),
            algorithm=algorithm,
            secret=encryption.encrypt(_KEY_PURPOSE, pem.decode()),
            public=base64.b64encode(public).decode(),
        )
        audit.record_change(
            "dkim.create", f"{row.selector}._domainkey.{domain.name}", {}, _key_entry(row), domain=domain.name
        )
    return row.pk


def _free_selector(domain: Domain, algorithm: str) -> str:
    """Return "r202611" or "e202611", with a letter appended if that is taken."""
    taken = set(domain.dkim_keys.values_list("selector", flat=True))
    base = f"{algorithm[0]}{timezone.localdate():%Y%m}"
    return next(
        each for each in (f"{base}{suffix}" for suffix in ["", *"bcdefghijkmnpqrstuvwxyz"]) if each not in taken
    )


def _key_entry(row: DkimKey) -> dict[str, object]:
    return {"algorithm": row.algorithm, "state": row.state}


def activate_key(domain_id: int, key_id: int) -> bool:
    """Make a key sign from now on, and retire the key of its algorithm that did.

    Return False if the domain has no such key.
    """
    with transaction.atomic():
        row = DkimKey.objects.select_for_update().filter(pk=key_id, domain=domain_id).first()
        if row is None:
            return False
        before = _key_entry(row)
        others = DkimKey.objects.filter(domain=domain_id, algorithm=row.algorithm, state=State.SIGNING)
        others.exclude(pk=row.pk).update(state=State.RETIRED)
        row.state = State.SIGNING
        row.save(update_fields=["state", "changed"])
        name = row.domain.name
        audit.record_change("dkim.sign", f"{row.selector}._domainkey.{name}", before, _key_entry(row), domain=name)
        _keys_changed()
    return True


def delete_key(domain_id: int, key_id: int) -> bool:
    """Delete a key, whether or not it signs; return False if the domain has no such key."""
    with transaction.atomic():
        row = DkimKey.objects.filter(pk=key_id, domain=domain_id).first()
        if row is None:
            return False
        name = row.domain.name
        audit.record_change("dkim.delete", f"{row.selector}._domainkey.{name}", _key_entry(row), {}, domain=name)
        row.delete()
        _keys_changed()
    return True


# --- Signing --------------------------------------------------------------------------------------

_cache: dict[str, tuple[float, tuple[Signer, ...]]] = {}


def active_signers(domain: str) -> tuple[Signer, ...]:
    """Return the keys that sign for this domain (lower case) now."""
    cached = _cache.get(domain)
    if cached is None or cached[0] <= monotonic():
        rows = DkimKey.objects.filter(domain__name=domain, domain__active=True, state=State.SIGNING).order_by(
            "algorithm"
        )
        signers = tuple(signer for row in rows if (signer := _load_signer(row)) is not None)
        cached = (monotonic() + conf.current().directory_cache_time, signers)
        _cache[domain] = cached
    return cached[1]


def has_any_signer() -> bool:
    """Return True if any domain signs; most systems need not look at each message then."""
    cached = _cache.get("")
    if cached is None or cached[0] <= monotonic():
        row = DkimKey.objects.filter(state=State.SIGNING, domain__active=True).order_by("pk").first()
        signers = (signer,) if row is not None and (signer := _load_signer(row)) is not None else ()
        cached = _cache[""] = (monotonic() + conf.current().directory_cache_time, signers)
    return bool(cached[1])


def _load_signer(row: DkimKey) -> Signer | None:
    try:
        key = serialization.load_pem_private_key(encryption.decrypt(_KEY_PURPOSE, row.secret).encode(), None)
    except (encryption.DecryptionError, ValueError):
        log.error("the DKIM key %s cannot be read: was SECRET_KEY changed?", row.selector)
        return None
    assert isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return Signer(row.selector, row.algorithm, key)


caches.register(caches.Source.DATABASE, _cache.clear)


def _keys_changed() -> None:
    _cache.clear()
    transaction.on_commit(_cache.clear)
    notifications.publish_settings_changed()
