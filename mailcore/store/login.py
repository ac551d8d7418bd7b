"""Who is at the door: one answer for every service, whatever name was typed.

`sign_in` is called by the SMTP, POP3 and IMAP servers (through the bridge), `AccountBackend` by Django's
sign-in page, the credential functions by the webmail and the self-service screens. An unknown user and
a wrong password get the same answer after the same work; waiting after a failure is the caller's part.

Passwords are judged by Django's authentication backends, so that PAM or LDAP is a setting. App passwords
are for programs only: the sign-in page does not take them, or they would go round a second factor.
"""

import hashlib
import hmac
import logging
import os
import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from threading import BoundedSemaphore, Lock
from time import monotonic

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from mailcore import conf
from mailcore.models import Account, AppPassword
from mailcore.store import directory
from mailcore.store.prepared import Prepared
from mailcore.terms import Owner
from mailcore.wire import address

log = logging.getLogger(__name__)

# Letters of app passwords: none that is read for another.
_LETTERS = "abcdefghijkmnpqrstuvwxyz"
_APP_SHAPE = re.compile(rf"[{_LETTERS}]{{20}}")
_SESSION_MARK = "session."
_SHUT = (Account.State.OFF, Account.State.NO_LOGIN)
_MAY_NOT_SEND = (Account.State.RECEIVE_ONLY,)
# A password check takes a processor and 19 MiB (mailcore.store.passwords): only so many at once.
_checks = BoundedSemaphore(max(2, os.cpu_count() or 1))


def sign_in(name: str, password: str, service: str, client_address: str) -> Owner | None:
    """The account that `name` (with or without its domain) and `password` open, else None.

    `service` is "smtp", "imap", "pop3", …: an account that only receives may not sign in to "smtp".
    """
    if not (_is_text(name) and _is_text(password)):
        name = password = ""  # nobody's, after the same work
    wanted = full_address(name)
    person = _find(wanted)
    if person is None or not (_take_made(person, password) or _remembered.knows(person, password)):
        person = _ask_backends(wanted, password)
    if person is None or not person.open or (service == "smtp" and person.state in _MAY_NOT_SEND):
        log.warning("auth failed: service=%s, user=<%s>, client=%s", service, _printable(name), client_address)
        return None
    log.info("login: service=%s, user=<%s>, client=%s", service, person.address, client_address)
    return Owner(person.id, person.address)


def _ask_backends(wanted: str, password: str) -> "_Person | None":
    if password.startswith(_SESSION_MARK):
        return None  # made by us and not found: no person's password begins so
    user = authenticate(None, username=wanted, password=password)
    if not isinstance(user, Account):
        return None
    # Read anew: the backend may have brought the stored hash up to date, or made the account.
    person = _find(user.address)
    if person is not None:
        _remembered.add(person, password)
    return person


def full_address(name: str) -> str:
    """The address a typed name stands for, lower case; a name alone is one of the home domain, a name
    under an alias domain one of the domain it stands for."""
    local, domain = address.split(name.strip().lower())
    try:
        domain = address.ascii_domain(domain) or directory.home_domain()
    except address.AddressError:
        return name  # nobody's
    entry = directory.find_domain(domain)
    return f"{local}@{entry.target if entry and entry.target else domain}"


@dataclass(frozen=True, slots=True)
class _Person:
    """What signing in needs to know of an account."""

    id: int
    address: str
    password: str  # as stored: a hash
    state: str
    expires: date | str | None  # a date; text where the database has no dates
    domain_active: bool | int

    @property
    def open(self) -> bool:
        """May this account sign in today at all?"""
        expired = self.expires is not None and str(self.expires) < timezone.localdate().isoformat()
        return self.state not in _SHUT and not expired and bool(self.domain_active)


_people = Prepared(
    lambda wanted: Account.objects.filter(address=wanted).values_list(
        "id", "address", "password", "state", "expires", "domain__active"
    ),
    str,
)


def _find(wanted: str) -> _Person | None:
    row = _people.row(wanted)
    return _Person(*row) if row else None


def _is_text(given: str) -> bool:
    """Octets that are no UTF-8 arrive as lone surrogates; neither they nor NUL can be asked for."""
    return "\0" not in given and not any("\ud800" <= c <= "\udfff" for c in given)


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:100])


# --- Passwords made for programs and web sessions -------------------------------------------------


@lru_cache(maxsize=4)
def _key(purpose: bytes, secret_key: str) -> bytes:
    return hashlib.blake2b(purpose, key=hashlib.sha512(secret_key.encode()).digest(), digest_size=32).digest()


def _digest(secret: str) -> str:
    key = _key(b"app password", settings.SECRET_KEY)
    return hashlib.blake2b(secret.encode("utf-8", "surrogatepass"), key=key, digest_size=32).hexdigest()


def _bare(password: str) -> str:
    """An app password as it was made: people type the gaps, or do not."""
    return re.sub(r"[\s-]+", "", password).lower() if len(password) < 40 else password


_made_for = Prepared(
    lambda account_id, digest: AppPassword.objects.filter(account_id=account_id, digest=digest).values_list("id"),
    int,
    str,
)


def _take_made(person: _Person, password: str) -> bool:
    """Is it a password made for one of the account's programs or web sessions?

    Only what has the form of one is looked up; a person's own password may have it too by chance.
    """
    secret = password if password.startswith(_SESSION_MARK) else _bare(password)
    if secret is not password and not _APP_SHAPE.fullmatch(secret):
        return False
    found = _made_for.row(person.id, _digest(secret))
    if found is None:
        return False
    made = AppPassword.objects.get(pk=found[0])
    now = timezone.now()
    if made.expires is not None and made.expires <= now:
        return False
    # "Last used" is for people: a write every ten minutes tells them enough.
    if not made.session and (made.last_used is None or now - made.last_used > timedelta(minutes=10)):
        AppPassword.objects.filter(pk=made.pk).update(last_used=now)
    return True


def make_app_password(account_id: int, label: str) -> str:
    """A new password for one program, in four groups of five letters; it is shown once and kept only as a hash."""
    secret = "".join(secrets.choice(_LETTERS) for _ in range(20))  # 91 bits
    AppPassword.objects.create(account_id=account_id, label=label.strip()[:100], digest=_digest(secret))
    return " ".join(secret[i : i + 5] for i in range(0, 20, 5))


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
    """It opens nothing from now on. False: the account has none by that number."""
    return AppPassword.objects.filter(id=password_id, account_id=account_id, session=False).delete()[0] > 0


def _session_label(session_key: str) -> str:
    return hmac.digest(_key(b"session", settings.SECRET_KEY), session_key.encode(), "sha256").hex()


def make_session_credential(user: Account, session_key: str) -> tuple[str, str]:
    """(login, secret) with which the web session speaks IMAP and SMTP for `user`; one per session, the
    last one made. It ends with the session's cookie if nobody revokes it."""
    now = timezone.now()
    label = _session_label(session_key)
    AppPassword.objects.filter(Q(label=label) | Q(account=user, expires__lt=now), session=True).delete()
    secret = _SESSION_MARK + secrets.token_urlsafe(32)
    AppPassword.objects.create(
        account=user,
        label=label,
        digest=_digest(secret),
        session=True,
        expires=now + timedelta(seconds=settings.SESSION_COOKIE_AGE),
    )
    return user.address, secret


def revoke_session_credential(session_key: str) -> None:
    AppPassword.objects.filter(label=_session_label(session_key), session=True).delete()


def end_sessions(account_id: int, keep: str = "") -> None:
    """Take back the credentials of an account's web sessions, but for the one with this key: their pages
    end with the old password by themselves."""
    rows = AppPassword.objects.filter(account_id=account_id, session=True)
    (rows.exclude(label=_session_label(keep)) if keep else rows).delete()


# --- Passwords that were checked a moment ago -----------------------------------------------------


class _Remembered:
    """Checked passwords, for auth_cache_ttl seconds, each as a hash under a key that only this process
    has. The account's stored hash is part of it, so a changed password is forgotten by itself."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def _mark(self, account: _Person, password: str) -> bytes:
        mark = hashlib.blake2b(b"%d\0" % account.id, key=self._key, digest_size=32)
        mark.update(account.password.encode() + b"\0" + password.encode("utf-8", "surrogatepass"))
        return mark.digest()

    def knows(self, account: _Person, password: str) -> bool:
        return self._until.get(self._mark(account, password), 0.0) > monotonic()

    def add(self, account: _Person, password: str) -> None:
        ttl = conf.current().auth_cache_ttl
        if not ttl:
            return
        with self._lock:
            self._until[self._mark(account, password)] = monotonic() + ttl
            if len(self._until) > self.LIMIT:
                self._until.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._until.clear()


_remembered = _Remembered()


def forget() -> None:
    """Ask the backends again from now on: after a reload, for what other directories (PAM, LDAP) changed."""
    _remembered.clear()


# --- Django's side --------------------------------------------------------------------------------


class AccountBackend(BaseBackend):
    """Signs in with the account's own password (Django setting AUTHENTICATION_BACKENDS)."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **_: object
    ) -> Account | None:
        if username is None or password is None:
            return None
        account = Account.objects.select_related("domain").filter(address=full_address(username)).first()
        with _checks:
            if account is None or not account.has_usable_password():
                make_password(password)  # the same work, and so the same time, as checking one
                return None
            right = account.check_password(password)  # also brings an older hash up to date
        return account if right and _may_sign_in(account) else None

    def get_user(self, user_id: int) -> Account | None:
        """The session's account at each request: what was switched off since is signed out by that."""
        account = Account.objects.select_related("domain").filter(pk=user_id).first()
        return account if account is not None and _may_sign_in(account) else None


def _may_sign_in(account: Account) -> bool:
    person = _Person(
        account.pk, account.address, account.password, account.state, account.expires, account.domain.active
    )
    return person.open
