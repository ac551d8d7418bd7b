"""The keys that sign a domain's messages: made, put to work once their record is published, retired, deleted.

`signers` answers the courier and is remembered for directory_cache_time. A domain may sign with an RSA and an Ed25519
key at once (RFC 8463 §3): old verifiers know only the first.
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
from mailcore.models import DkimKey, Domain
from mailcore.store.credentials import encryption
from mailcore.store.db import audit
from mailcore.store.notify import notifications
from mailcore.wire.sender_auth import dkim

log = logging.getLogger("mailcore.dkim")

_SEALED = "dkim"
_RSA_BITS = 2048

State = DkimKey.State


@dataclass(frozen=True, slots=True)
class Signer:
    """A key at work."""

    selector: str
    algorithm: str  # "rsa-sha256", "ed25519-sha256"
    key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

    def sign(self, octets: bytes) -> str:
        """The b= tag. Ed25519 signs the SHA-256 of what RSA signs (RFC 8463 §3)."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
        else:
            digest = hashes.Hash(hashes.SHA256())
            digest.update(octets)
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
    return [
        KeyEntry(
            row.pk, row.selector, row.algorithm, row.state, row.created, f"{row.selector}._domainkey.{domain.name}",
            dkim.key_record(row.algorithm, row.public),
        )
        for row in DkimKey.objects.filter(domain=domain).order_by("-created", "-pk")
    ]  # fmt: skip


def create_key(domain_id: int, algorithm: str) -> int:
    """A new key, which waits for its record; returns its id. ValueError: no such domain or algorithm."""
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
            secret=encryption.encrypt(_SEALED, pem.decode()),
            public=base64.b64encode(public).decode(),
        )
        audit.record_change(
            "dkim.create", f"{row.selector}._domainkey.{domain.name}", {}, _key_entry(row), domain=domain.name
        )
    return row.pk


def _free_selector(domain: Domain, algorithm: str) -> str:
    """ "r202611" or "e202611", then with letters behind."""
    taken = set(domain.dkim_keys.values_list("selector", flat=True))
    plain = f"{algorithm[0]}{timezone.localdate():%Y%m}"
    return next(
        each for each in (f"{plain}{message}" for message in ["", *"bcdefghijkmnpqrstuvwxyz"]) if each not in taken
    )


def _key_entry(row: DkimKey) -> dict[str, object]:
    return {"algorithm": row.algorithm, "state": row.state}


def activate_key(domain_id: int, key_id: int) -> bool:
    """The key signs from now on; the one of its kind that did so far is retired. False: the domain has none such."""
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
    """The key is forgotten, whether or not it signs. False: the domain has none such."""
    with transaction.atomic():
        row = DkimKey.objects.filter(pk=key_id, domain=domain_id).first()
        if row is None:
            return False
        name = row.domain.name
        audit.record_change("dkim.delete", f"{row.selector}._domainkey.{name}", _key_entry(row), {}, domain=name)
        row.delete()
        _keys_changed()
    return True


# --- At work --------------------------------------------------------------------------------------

_known: dict[str, tuple[float, tuple[Signer, ...]]] = {}


def active_signers(domain: str) -> tuple[Signer, ...]:
    """The keys that sign for this domain (lower case) now."""
    known = _known.get(domain)
    if known is None or known[0] <= monotonic():
        rows = DkimKey.objects.filter(domain__name=domain, domain__active=True, state=State.SIGNING).order_by(
            "algorithm"
        )
        found = tuple(signer for row in rows if (signer := _load_signer(row)) is not None)
        known = (monotonic() + conf.current().directory_cache_time, found)
        _known[domain] = known
    return known[1]


def has_any_signer() -> bool:
    """Does any domain sign? Spares most systems a look into each message."""
    known = _known.get("")
    if known is None or known[0] <= monotonic():
        row = DkimKey.objects.filter(state=State.SIGNING, domain__active=True).order_by("pk").first()
        found = (signer,) if row is not None and (signer := _load_signer(row)) is not None else ()
        known = _known[""] = (monotonic() + conf.current().directory_cache_time, found)
    return bool(known[1])


def _load_signer(row: DkimKey) -> Signer | None:
    try:
        key = serialization.load_pem_private_key(encryption.decrypt(_SEALED, row.secret).encode(), None)
    except (encryption.DecryptionError, ValueError):
        log.error("the DKIM key %s cannot be read: was SECRET_KEY changed?", row.selector)
        return None
    assert isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)
    return Signer(row.selector, row.algorithm, key)


def clear_cache() -> None:
    """Ask the database again from now on."""
    _known.clear()


def _keys_changed() -> None:
    clear_cache()
    transaction.on_commit(clear_cache)
    notifications.publish_settings_changed()
