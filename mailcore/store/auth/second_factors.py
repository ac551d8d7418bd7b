"""What an owner has beside the password: authenticator apps, passkeys, recovery codes.

Once an account has an app or a passkey, the sign-in page asks for one of them (`mailadmin.sign_in`), and programs
(SMTP, IMAP, POP3) need passwords of their own: the account's one opens nothing by itself any more. Recovery codes come
with the first factor and go with the last one; each opens once.
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

_SEALED = "totp"
_CODES = 10
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is read for another
_OWN = (Factor.Kind.TOTP, Factor.Kind.PASSKEY)


@dataclass(frozen=True, slots=True)
class FactorEntry:
    """What an owner sees of a factor."""

    id: int
    kind: str
    label: str
    created: datetime
    last_used: datetime | None


@dataclass(frozen=True, slots=True)
class AccountFactors:
    """Everything an account has."""

    own: tuple[FactorEntry, ...]  # apps and passkeys
    codes: int  # recovery codes that still open

    @property
    def app(self) -> bool:
        return any(each.kind == Factor.Kind.TOTP for each in self.own)

    @property
    def passkey(self) -> bool:
        return any(each.kind == Factor.Kind.PASSKEY for each in self.own)


def list_factors(account_id: int) -> AccountFactors:
    rows = Factor.objects.filter(account_id=account_id).order_by("created", "pk")
    found = list(rows.values_list("id", "kind", "label", "created", "last_used"))
    own = tuple(FactorEntry(*row) for row in found if row[1] in _OWN)
    return AccountFactors(own, sum(row[1] == Factor.Kind.RECOVERY for row in found))


# --- Set up ---------------------------------------------------------------------------------------


def new_totp_key() -> str:
    """The key of an app that is being set up, sealed: it waits in the session until the app has shown a code."""
    return encryption.encrypt(_SEALED, secrets.token_hex(20))


def decrypt_totp_key(sealed: str) -> bytes:
    """Raises sealing.Unreadable."""
    return bytes.fromhex(encryption.decrypt(_SEALED, sealed))


def add_authenticator(account_id: int, label: str, sealed: str, code: str) -> bool:
    """The app is the account's second factor from now on. False: this is not the code it shows now."""
    step = totp.matching_step(decrypt_totp_key(sealed), code, time(), 0)
    if step is None:
        return False
    _insert_factor(account_id, Factor(kind=Factor.Kind.TOTP, label=label[:100], secret=sealed, counter=step))
    return True


def add_passkey(account_id: int, label: str, passkey: Passkey) -> None:
    """A passkey that `webauthn.registered` found good. NotValid: another account, or this one, has it already."""
    if Factor.objects.filter(kind=Factor.Kind.PASSKEY, handle=passkey.handle).exists():
        raise InvalidAssertion("there already")
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
    """Fresh recovery codes, shown once; the ones before open nothing any more."""
    codes = ["".join(secrets.choice(_ALPHABET) for _ in range(10)) for _ in range(_CODES)]
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        Factor.objects.filter(account=account, kind=Factor.Kind.RECOVERY).delete()
        Factor.objects.bulk_create(
            Factor(account=account, kind=Factor.Kind.RECOVERY, secret=_digest(account_id, each)) for each in codes
        )
        audit.record_change("factor.recovery", account.address)
    return [f"{each[:5]}-{each[5:]}" for each in codes]


def remove_factor(account_id: int, factor_id: int) -> bool:
    """Without the last one the password alone opens again. False: the account has none by that number."""
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        row = Factor.objects.filter(pk=factor_id, account=account, kind__in=_OWN).first()
        if row is None:
            return False
        audit.record_change("factor.delete", account.address, {"kind": row.kind, "label": row.label}, {})
        row.delete()
        _drop_codes_if_last(account)
    return True


def remove_all_factors(account_id: int) -> bool:
    """Every factor goes: its owner has lost them. False: there was none."""
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=account_id)
        count, _ = Factor.objects.filter(account=account).delete()
        if count:
            audit.record_change("factor.delete", account.address)
        _drop_codes_if_last(account)
    return count > 0


def _drop_codes_if_last(account: Account) -> None:
    if not Factor.objects.filter(account=account, kind__in=_OWN).exists():
        Factor.objects.filter(account=account).delete()
        Account.objects.filter(pk=account.pk).update(second_factor=False)
    revalidate_sessions([account.pk])
    notifications.publish_settings_changed()


# --- Asked for ------------------------------------------------------------------------------------


def check_code(account_id: int, typed: str) -> bool:
    """Is this the code an app of the account shows now, or one of its recovery codes? Each counts once."""
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
            continue  # SECRET_KEY was changed: a recovery code, or the administrator, helps
        if step is not None:
            Factor.objects.filter(pk=app.pk).update(counter=step, last_used=timezone.now())
            return True
    return False


def _use_recovery_code(account_id: int, typed: str) -> bool:
    word = "".join(each for each in unicodedata.normalize("NFKC", typed).lower() if each.isalnum())[:40]
    spent = Factor.objects.filter(
        account_id=account_id, kind=Factor.Kind.RECOVERY, secret=_digest(account_id, word)
    ).delete()[0]
    if spent:
        audit.record_change("factor.recovered", Account.objects.values_list("address", flat=True).get(pk=account_id))
    return spent > 0


def list_passkey_ids(account_id: int) -> list[str]:
    """The credential ids a browser may choose from."""
    rows = Factor.objects.filter(account_id=account_id, kind=Factor.Kind.PASSKEY)
    return list(rows.order_by("pk").values_list("handle", flat=True))


def check_passkey(
    account_id: int, site: RelyingParty, challenge: str, handle: str, client: str, authenticator: str, signature: str
) -> bool:
    """Did the holder of one of the account's passkeys sign this challenge?"""
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
