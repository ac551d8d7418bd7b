"""Passwords made for programs and for web sessions: made, shown, taken, revoked.

Called by `login` for every sign-in, and by the screens through it. The secrets are random and long, so a
keyed hash of each is kept instead of argon2: checking must be cheap. SCRAM's keys stand beside it.
"""

import contextlib
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from importlib import import_module

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from mailcore.models import Account, AppPassword
from mailcore.store.credentials import encryption, scram
from mailcore.store.db import audit
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.notify import notifications
from mailcore.wire.auth.sasl import ScramKeys

# Messages of app passwords: none that is read for another.
_LETTERS = "abcdefghijkmnpqrstuvwxyz"
APP_PASSWORD_PATTERN = re.compile(rf"[{_LETTERS}]{{20}}")
SESSION_PREFIX = "session."


@lru_cache(maxsize=4)
def _key(purpose: bytes, secret_key: str) -> bytes:
    return hashlib.blake2b(purpose, key=hashlib.sha512(secret_key.encode()).digest(), digest_size=32).digest()


def _digest(secret: str) -> str:
    key = _key(b"app password", settings.SECRET_KEY)
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=key, digest_size=32).hexdigest()


def _strip_spaces(password: str) -> str:
    """An app password as it was made: people type the gaps, or do not."""
    return re.sub(r"[\s-]+", "", password).lower() if len(password) < 40 else password


# --- Taken ----------------------------------------------------------------------------------------

_made_for = CompiledQuery(
    lambda account_id, digest: AppPassword.objects.filter(account_id=account_id, digest=digest).values_list("id"),
    int,
    str,
)


def find_password(account_id: int, password: str) -> int:
    """The id of the account's app password or session credential that this is; 0: none that is in force.

    Only what has the form of one is looked up; a person's own password may have it too by chance.
    """
    secret = password if password.startswith(SESSION_PREFIX) else _strip_spaces(password)
    if secret is not password and not APP_PASSWORD_PATTERN.fullmatch(secret):
        return 0
    found = _made_for.row(account_id, _digest(secret))
    return found[0] if found is not None and record_use(found[0]) else 0


def record_use(password_id: int) -> bool:
    """It has been used now. False: it is over. ("Last used" is for people: a write every ten minutes tells
    them enough.)"""
    made = AppPassword.objects.filter(pk=password_id).first()
    now = timezone.now()
    if made is None or (made.expires is not None and made.expires <= now):
        return False
    if not made.session and (made.last_used is None or now - made.last_used > timedelta(minutes=10)):
        AppPassword.objects.filter(pk=password_id).update(last_used=now)
    return True


_exists_query = CompiledQuery(lambda password_id: AppPassword.objects.filter(pk=password_id).values_list("id"), int)


def password_exists(password_id: int) -> bool:
    return _exists_query.row(password_id) is not None


def scram_candidates(account_id: int) -> list[tuple[int, ScramKeys]]:
    """(id, keys) of every way an app password of the account can be typed."""
    rows = AppPassword.objects.filter(account_id=account_id, session=False).exclude(scram="")
    return [(id_, keys) for id_, stored in rows.values_list("id", "scram") for keys in scram.parse_keys(stored)]


# --- Made for programs ----------------------------------------------------------------------------


def make_app_password(account_id: int, label: str) -> str:
    """A new password for one program, in four groups of five letters; it is shown once and kept only as hashes."""
    secret = "".join(secrets.choice(_LETTERS) for _ in range(20))  # 91 bits
    shown = " ".join(secret[i : i + 5] for i in range(0, 20, 5))
    address, kept = Account.objects.values_list("address", "scram").get(pk=account_id)
    with transaction.atomic():
        AppPassword.objects.create(
            account_id=account_id,
            label=label.strip()[:100],
            digest=_digest(secret),
            scram=scram.make_keys(address, kept, shown, secret),
        )
        audit.record_change("app-password.create", address, {}, {"label": label.strip()[:100]})
    return shown


@dataclass(frozen=True, slots=True)
class ProgramPassword:
    """What an owner sees of a password made for a program."""

    id: int
    label: str
    created: datetime
    last_used: datetime | None


def app_passwords(account_id: int) -> list[ProgramPassword]:
    rows = AppPassword.objects.filter(account_id=account_id, session=False).order_by("-created", "-id")
    return [ProgramPassword(*row) for row in rows.values_list("id", "label", "created", "last_used")]


def revoke_app_password(account_id: int, password_id: int) -> bool:
    """It opens nothing from now on, and what it opened ends. False: the account has none by that number."""
    with transaction.atomic():
        row = AppPassword.objects.filter(id=password_id, account_id=account_id, session=False).first()
        if row is None:
            return False
        audit.record_change("app-password.revoke", row.account.address, {"label": row.label}, {})
        row.delete()
        notifications.publish_mailboxes([-account_id])
        return True


# --- Made for web sessions ------------------------------------------------------------------------


_SEALED = "session key"


def _session_digest(session_key: str) -> str:
    return hmac.digest(_key(b"session", settings.SECRET_KEY), session_key.encode(), "sha256").hex()


def make_session_credential(user: Account, session_key: str, client: str = "", agent: str = "") -> tuple[str, str]:
    """(login, secret) with which the web session speaks IMAP and SMTP for `user`; one per session, the
    last one made. It ends with the session's cookie if nobody revokes it. `client` and `agent` (the browser's
    address and what it calls itself) are shown to the owner."""
    now, mark = timezone.now(), _session_digest(session_key)
    AppPassword.objects.filter(Q(session_mark=mark) | Q(account=user, expires__lt=now), session=True).delete()
    secret = SESSION_PREFIX + secrets.token_urlsafe(32)
    AppPassword.objects.create(
        account=user,
        label=agent[:100],
        digest=_digest(secret),
        session=True,
        session_mark=mark,
        session_key=encryption.encrypt(_SEALED, session_key),
        client=client[:45],
        expires=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
    return user.address, secret


@dataclass(frozen=True, slots=True)
class WebSession:
    """What an owner sees of a browser that is signed in."""

    id: int
    agent: str
    client: str
    created: datetime
    current: bool


def web_sessions(account_id: int, current: str = "") -> list[WebSession]:
    """The browsers that are signed in, the last one first; `current`: the key of the session that asks."""
    rows = AppPassword.objects.filter(account_id=account_id, session=True, expires__gt=timezone.now())
    values = rows.order_by("-created", "-id").values_list("id", "label", "client", "created", "session_mark")
    here = _session_digest(current) if current else "-"
    return [WebSession(id_, agent, address, made, mark == here) for id_, agent, address, made, mark in values]


def revoke_session_credential(session_key: str) -> None:
    _revoke_sessions(AppPassword.objects.filter(session_mark=_session_digest(session_key), session=True))


def revoke_session(account_id: int, session_id: int) -> bool:
    """Sign a browser out. False: the account has none by that number."""
    with transaction.atomic():
        rows = AppPassword.objects.filter(id=session_id, account_id=account_id, session=True)
        for address, agent, client in rows.values_list("account__address", "label", "client"):
            audit.record_change("session.revoke", address, {"agent": agent, "client": client}, {})
        return _revoke_sessions(rows) > 0


def end_sessions(account_id: int, keep: str = "") -> None:
    """Sign an account's browsers out, but for the one with this key."""
    rows = AppPassword.objects.filter(account_id=account_id, session=True)
    _revoke_sessions(rows.exclude(session_mark=_session_digest(keep)) if keep else rows)


def _revoke_sessions(rows: QuerySet[AppPassword]) -> int:
    """The credential ends, and with it the pages of the session it was made for."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    with transaction.atomic():
        found = list(rows.values_list("account_id", "session_key"))
        notifications.publish_mailboxes([-account_id for account_id, _ in found])
        rows.delete()
    for _, sealed in found:
        with contextlib.suppress(encryption.DecryptionError):  # SECRET_KEY is another: so is every cookie
            store(encryption.decrypt(_SEALED, sealed)).delete()
    return len(found)
