"""App passwords and session credentials: create, check, list and revoke them.

Called by `account_login` for every log-in, and by the screens through it. The secrets are random and long, so a keyed
hash of each is stored instead of argon2: checking must be cheap. The SCRAM keys are stored beside it.
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

# Characters of app passwords, without "l" and "o", which are easily misread as digits.
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
    """Return an app password as it was created: people type the gaps, or do not."""
    return re.sub(r"[\s-]+", "", password).lower() if len(password) < 40 else password


# --- Checking -------------------------------------------------------------------------------------

_id_query = CompiledQuery(
    lambda account_id, digest: AppPassword.objects.filter(account_id=account_id, digest=digest).values_list("id"),
    int,
    str,
)


def find_password(account_id: int, password: str) -> int:
    """Return the id of the account's app password or session credential with this secret, or 0 if none is valid.

    Only a text in the form of an app password is looked up; a user's own password may have that form by chance.
    """
    secret = password if password.startswith(SESSION_PREFIX) else _strip_spaces(password)
    if secret is not password and not APP_PASSWORD_PATTERN.fullmatch(secret):
        return 0
    row = _id_query.row(account_id, _digest(secret))
    return row[0] if row is not None and record_use(row[0]) else 0


def record_use(password_id: int) -> bool:
    """Record that a password is used now; return False if it has expired or been revoked.

    "Last used" is for display, so it is written every ten minutes at most.
    """
    row = AppPassword.objects.filter(pk=password_id).first()
    now = timezone.now()
    if row is None or (row.expires is not None and row.expires <= now):
        return False
    if not row.session and (row.last_used is None or now - row.last_used > timedelta(minutes=10)):
        AppPassword.objects.filter(pk=password_id).update(last_used=now)
    return True


_exists_query = CompiledQuery(lambda password_id: AppPassword.objects.filter(pk=password_id).values_list("id"), int)


def password_exists(password_id: int) -> bool:
    """Return True if this app password or session credential has not been revoked."""
    return _exists_query.row(password_id) is not None


def scram_candidates(account_id: int) -> list[tuple[int, ScramKeys]]:
    """Return (id, keys) for each spelling of each app password of the account."""
    rows = AppPassword.objects.filter(account_id=account_id, session=False).exclude(scram="")
    return [(id_, keys) for id_, stored in rows.values_list("id", "scram") for keys in scram.parse_keys(stored)]


# --- App passwords --------------------------------------------------------------------------------


def make_app_password(account_id: int, label: str) -> str:
    """Create an app password and return it in four groups of five letters; only its hashes are stored."""
    secret = "".join(secrets.choice(_LETTERS) for _ in range(20))  # 91 bits
    shown = " ".join(secret[i : i + 5] for i in range(0, 20, 5))
    address, account_scram = Account.objects.values_list("address", "scram").get(pk=account_id)
    with transaction.atomic():
        AppPassword.objects.create(
            account_id=account_id,
            label=label.strip()[:100],
            digest=_digest(secret),
            scram=scram.make_keys(address, account_scram, shown, secret),
        )
        audit.record_change("app-password.create", address, {}, {"label": label.strip()[:100]})
    return shown


@dataclass(frozen=True, slots=True)
class ProgramPassword:
    """An app password as its owner sees it."""

    id: int
    label: str
    created: datetime
    last_used: datetime | None


def app_passwords(account_id: int) -> list[ProgramPassword]:
    """Return the app passwords of an account, the latest first."""
    rows = AppPassword.objects.filter(account_id=account_id, session=False).order_by("-created", "-id")
    return [ProgramPassword(*row) for row in rows.values_list("id", "label", "created", "last_used")]


def revoke_app_password(account_id: int, password_id: int) -> bool:
    """Revoke an app password and end the sessions that use it; return False if the account has none with that id."""
    with transaction.atomic():
        row = AppPassword.objects.filter(id=password_id, account_id=account_id, session=False).first()
        if row is None:
            return False
        audit.record_change("app-password.revoke", row.account.address, {"label": row.label}, {})
        row.delete()
        notifications.publish_mailboxes([-account_id])
        return True


def revoke_app_passwords(account_id: int) -> None:
    """Revoke all app passwords of an account and end the sessions that use them."""
    for each in app_passwords(account_id):
        revoke_app_password(account_id, each.id)


# --- Session credentials --------------------------------------------------------------------------


_SESSION_PURPOSE = "session key"


def _session_digest(session_key: str) -> str:
    return hmac.digest(_key(b"session", settings.SECRET_KEY), session_key.encode(), "sha256").hex()


def make_session_credential(user: Account, session_key: str, client: str = "", agent: str = "") -> tuple[str, str]:
    """Return (login, secret) with which the web session logs in to IMAP and SMTP for `user`.

    A session has one credential, the last one created. It expires with the session's cookie unless it is revoked
    before. `client` and `agent` (the browser's IP address and User-Agent) are shown to the owner.
    """
    now, mark = timezone.now(), _session_digest(session_key)
    AppPassword.objects.filter(Q(session_mark=mark) | Q(account=user, expires__lt=now), session=True).delete()
    secret = SESSION_PREFIX + secrets.token_urlsafe(32)
    AppPassword.objects.create(
        account=user,
        label=agent[:100],
        digest=_digest(secret),
        session=True,
        session_mark=mark,
        session_key=encryption.encrypt(_SESSION_PURPOSE, session_key),
        client=client[:45],
        expires=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
    return user.address, secret


@dataclass(frozen=True, slots=True)
class WebSession:
    """A browser session as its owner sees it."""

    id: int
    agent: str
    client: str
    created: datetime
    current: bool


def web_sessions(account_id: int, current: str = "") -> list[WebSession]:
    """Return the browsers that are logged in, the latest first; `current` is the session key of the request."""
    rows = AppPassword.objects.filter(account_id=account_id, session=True, expires__gt=timezone.now())
    values = rows.order_by("-created", "-id").values_list("id", "label", "client", "created", "session_mark")
    current_mark = _session_digest(current) if current else "-"
    return [
        WebSession(id_, agent, address, created, mark == current_mark) for id_, agent, address, created, mark in values
    ]


def revoke_session_credential(session_key: str) -> None:
    """Revoke the credential of a web session, and end the session."""
    _revoke_sessions(AppPassword.objects.filter(session_mark=_session_digest(session_key), session=True))


def revoke_session(account_id: int, session_id: int) -> bool:
    """Log a browser out; return False if the account has no session with that id."""
    with transaction.atomic():
        rows = AppPassword.objects.filter(id=session_id, account_id=account_id, session=True)
        for address, agent, client in rows.values_list("account__address", "label", "client"):
            audit.record_change("session.revoke", address, {"agent": agent, "client": client}, {})
        return _revoke_sessions(rows) > 0


def end_sessions(account_id: int, keep: str = "") -> None:
    """Log all browsers of an account out, except the one with the session key `keep`."""
    rows = AppPassword.objects.filter(account_id=account_id, session=True)
    _revoke_sessions(rows.exclude(session_mark=_session_digest(keep)) if keep else rows)


def _revoke_sessions(rows: QuerySet[AppPassword]) -> int:
    """Delete session credentials and the Django sessions they were created for; return their number."""
    store = import_module(settings.SESSION_ENGINE).SessionStore
    with transaction.atomic():
        sessions = list(rows.values_list("account_id", "session_key"))
        notifications.publish_mailboxes([-account_id for account_id, _ in sessions])
        rows.delete()
    for _, encrypted in sessions:
        # SECRET_KEY has changed, so every cookie is invalid anyway
        with contextlib.suppress(encryption.DecryptionError):
            store(encryption.decrypt(_SESSION_PURPOSE, encrypted)).delete()
    return len(sessions)
