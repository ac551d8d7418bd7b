"""Second factors of accounts: authenticator apps, passkeys, recovery codes.

Once an account has an app or a passkey, the login page asks for one of them (`mailadmin.sign_in`), and programs (SMTP,
IMAP, POP3) need app passwords: the account's own password is no longer enough. Recovery codes are created with the
first factor and deleted with the last one; each works once.
"""

import hashlib
import hmac
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from time import time

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from mailcore.models import Account, Factor
from mailcore.store.auth import webauthn
from mailcore.store.auth.webauthn import InvalidAssertion, Passkey, RelyingParty
from mailcore.store.credentials import encryption
from mailcore.store.db import audit
from mailcore.store.directory.account_changes import revalidate_sessions
from mailcore.store.notify import notifications
from mailcore.wire.auth import totp

_TOTP_PURPOSE = "totp"
_CODE_COUNT = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that are easily misread
_DEVICE_KINDS = (Factor.Kind.TOTP, Factor.Kind.PASSKEY)


@dataclass(frozen=True, slots=True)
class FactorEntry:
    """A second factor as its owner sees it."""

    id: int
    kind: str
    label: str
    created: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class AccountFactors:
    """All second factors of an account."""

    own: tuple[FactorEntry, ...]  # apps and passkeys
    codes: int  # recovery codes not yet used

    @property
    def app(self) -> bool:
        return any(each.kind == Factor.Kind.TOTP for each in self.own)

    @property
    def passkey(self) -> bool:
        return any(each.kind == Factor.Kind.PASSKEY for each in self.own)


def list_factors(account_id: int) -> AccountFactors:
    """Return all second factors of an account."""
    rows = Factor.objects.filter(account_id=account_id).order_by("created", "pk")
    values = list(rows.values_list("id", "kind", "label", "created", "last_used"))
    own = tuple(FactorEntry(*row) for row in values if row[1] in _DEVICE_KINDS)
    return AccountFactors(own, sum(row[1] == Factor.Kind.RECOVERY for row in values))


# --- Setting up -----------------------------------------------------------------------------------


def new_totp_key() -> str:
    """Return a new encrypted key for an app; it is kept in the session until the app has shown a code."""
    return encryption.encrypt(_TOTP_PURPOSE, secrets.token_hex(20))


def decrypt_totp_key(encrypted_key: str) -> bytes:
    """Decrypt the key of an app; raise DecryptionError if that fails."""
    return bytes.fromhex(encryption.decrypt(_TOTP_PURPOSE, encrypted_key))


def add_authenticator(account_id: int, label: str, encrypted_key: str, code: str) -> bool:
    """Make an app a second factor of the account; return False if `code` is not the one it shows now."""
    step = totp.matching_step(decrypt_totp_key(encrypted_key), code, time(), 0)
    if step is None:
        return False
    _insert_factor(account_id, Factor(kind=Factor.Kind.TOTP, label=label[:100], secret=encrypted_key, counter=step))
    return True


def add_passkey(account_id: int, label: str, passkey: Passkey) -> None:
    """Add a passkey that `webauthn.verify_registration` accepted.

    Raise InvalidAssertion if this or another account has it already.
    """
    if Factor.objects.filter(kind=Factor.Kind.PASSKEY, handle=passkey.handle).exists():
        raise InvalidAssertion("passkey is registered already")
    row = Factor(kind=Factor.Kind.PASSKEY, label=label[:100], secret=passkey.public, handle=passkey.handle)
    row.counter = passkey.counter
    _insert_factor(account_id, row)


def _insert_factor(account_id: int, factor: Factor) -> None:
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        factor.account = account
        factor.save(force_insert=True)
        Account.objects.filter(pk=account_id).update(second_factor=True)
        audit.record_change("factor.create", account.address, {}, {"kind": factor.kind, "label": factor.label})
        revalidate_sessions([account_id])
        notifications.publish_settings_changed()


def create_recovery_codes(account_id: int) -> list[str]:
    """Create new recovery codes, which cannot be shown again; earlier ones become invalid."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(10)) for _ in range(_CODE_COUNT)]
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        Factor.objects.filter(account=account, kind=Factor.Kind.RECOVERY).delete()
        Factor.objects.bulk_create(
            Factor(account=account, kind=Factor.Kind.RECOVERY, secret=_digest(account_id, each)) for each in codes
        )
        audit.record_change("factor.recovery", account.address)
    return [f"{each[:5]}-{each[5:]}" for each in codes]


def remove_factor(account_id: int, factor_id: int) -> bool:
    """Remove a factor; return False if the account has none with that id.

    Without any factor the password alone is enough again.
    """
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        row = Factor.objects.filter(pk=factor_id, account=account, kind__in=_DEVICE_KINDS).first()
        if row is None:
            return False
        audit.record_change("factor.delete", account.address, {"kind": row.kind, "label": row.label}, {})
        row.delete()
        _drop_codes_if_last(account)
    return True


def remove_all_factors(account_id: int) -> bool:
    """Remove every factor of an account, for an owner who lost them; return False if there was none."""
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        count, _ = Factor.objects.filter(account=account).delete()
        if count:
            audit.record_change("factor.delete", account.address)
        _drop_codes_if_last(account)
    return count > 0


def _drop_codes_if_last(account: Account) -> None:
    if not Factor.objects.filter(account=account, kind__in=_DEVICE_KINDS).exists():
        Factor.objects.filter(account=account).delete()
        Account.objects.filter(pk=account.pk).update(second_factor=False)
    revalidate_sessions([account.pk])
    notifications.publish_settings_changed()


# --- Checking -------------------------------------------------------------------------------------


def check_code(account_id: int, typed: str) -> bool:
    """Return True for the code an app of the account shows now, or an unused recovery code; each is accepted once."""
    with transaction.atomic():
        rows = Factor.objects.select_for_update().filter(account_id=account_id)
        return _matches_authenticator(list(rows.filter(kind=Factor.Kind.TOTP)), typed) or _use_recovery_code(
            account_id, typed
        )


def _matches_authenticator(apps: Sequence[Factor], typed: str) -> bool:
    for app in apps:
        try:
            step = totp.matching_step(decrypt_totp_key(app.secret), typed, time(), app.counter)
        except encryption.DecryptionError:
            continue  # SECRET_KEY has changed: a recovery code or the administrator can help
        if step is not None:
            Factor.objects.filter(pk=app.pk).update(counter=step, last_used=timezone.now())
            return True
    return False


def _use_recovery_code(account_id: int, typed: str) -> bool:
    normalized = "".join(each for each in unicodedata.normalize("NFKC", typed).lower() if each.isalnum())[:40]
    used = Factor.objects.filter(
        account_id=account_id, kind=Factor.Kind.RECOVERY, secret=_digest(account_id, normalized)
    ).delete()[0]
    if used:
        audit.record_change("factor.recovered", Account.objects.values_list("address", flat=True).get(pk=account_id))
    return used > 0


def list_passkey_ids(account_id: int) -> list[str]:
    """Return the credential ids that a browser may choose from."""
    rows = Factor.objects.filter(account_id=account_id, kind=Factor.Kind.PASSKEY)
    return list(rows.order_by("pk").values_list("handle", flat=True))


def check_passkey(
    account_id: int, site: RelyingParty, challenge: str, handle: str, client: str, authenticator: str, signature: str
) -> bool:
    """Return True if one of the account's passkeys signed this challenge."""
    with transaction.atomic():
        rows = Factor.objects.select_for_update().filter(account_id=account_id, kind=Factor.Kind.PASSKEY)
        row = rows.filter(handle=handle).first()
        if row is None:
            return False
        passkey = Passkey(row.handle, row.secret, row.counter)
        try:
            counter = webauthn.verify_assertion(site, challenge, passkey, client, authenticator, signature)
        except InvalidAssertion:
            return False
        Factor.objects.filter(pk=row.pk).update(counter=counter, last_used=timezone.now())
    return True


def _digest(account_id: int, code: str) -> str:
    key = hashlib.sha512(b"recovery code\0" + settings.SECRET_KEY.encode()).digest()
    return hmac.digest(key, b"%d\0" % account_id + code.encode(), "sha256").hex()
