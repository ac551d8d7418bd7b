"""Who is at the door: one answer for every service, whatever name was typed.

`servers.sasl` asks here for SMTP, POP3 and IMAP (through the executor), `AccountBackend` judges for Django's
sign-in page, the screens make and revoke credentials. An unknown user and a wrong password get the same
answer after the same work; waiting is the caller's part (`guessing`).

Passwords are judged by Django's authentication backends, so that PAM or LDAP is a setting. App passwords
are for programs only: the sign-in page does not take them, or they would go round a second factor.
"""

import hashlib
import logging
import os
import secrets
from dataclasses import dataclass
from datetime import date
from threading import BoundedSemaphore

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.hashers import make_password
from django.db import DEFAULT_DB_ALIAS
from django.http import HttpRequest
from django.utils import timezone
from django.utils.module_loading import import_string

from mailcore import conf
from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import throttle
from mailcore.store.credentials import issued_passwords, scram
from mailcore.store.credentials.issued_passwords import (
    app_passwords,
    end_sessions,
    make_app_password,
    make_session_credential,
    revoke_app_password,
    revoke_session,
    revoke_session_credential,
    web_sessions,
)
from mailcore.store.credentials.verified_cache import VerifiedCache
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.values import Owner
from mailcore.wire.auth.sasl import Scram, ScramKeys
from mailcore.wire.message import envelope_address

__all__ = [
    "AccountBackend",
    "ScramOffer",
    "app_passwords",
    "clear_cache",
    "end_sessions",
    "full_address",
    "is_session_valid",
    "log_in",
    "log_in_with_app_password",
    "log_in_with_scram",
    "log_in_with_token",
    "make_app_password",
    "make_session_credential",
    "record_known_address",
    "revoke_app_password",
    "revoke_session",
    "revoke_session_credential",
    "scram_offer",
    "web_sessions",
]

log = logging.getLogger("mailcore.login")

_CLOSED_ACCOUNT = (Account.State.OFF, Account.State.NO_LOGIN)
_MAY_NOT_SEND = (Account.State.RECEIVE_ONLY,)
# A password check takes a processor and 19 MiB (mailcore.store.credentials.hasher): only so many at once.
_checks = BoundedSemaphore(max(2, os.cpu_count() or 1))
_remembered = VerifiedCache()


# --- With a password ------------------------------------------------------------------------------


def log_in(name: str, password: str, service: str, client_address: str) -> Owner | None:
    """The account that `name` (with or without its domain) and `password` open, else None.

    `service` is "smtp", "imap", "pop3", …: an account that only receives may not sign in to "smtp".
    """
    owner = log_in_with_app_password(name, password, service, client_address)
    if owner is not None:
        return owner
    wanted = full_address(name)
    if not _is_valid_text(password):
        wanted = password = ""  # nobody's, after the same work
    person = _find_person(wanted)
    if person is None or not _remembered.knows(person.id, person.password, password):
        person = _try_backends(wanted, password)
    if person is not None and person.second_factor:
        # Where nobody can be asked for the second factor, the first alone opens nothing; nor is it said to be right.
        log.warning("password alone is not enough: service=%s, user=<%s>", service, person.address)
        person = None
    return _finish_login(person, name, service, client_address)


def log_in_with_app_password(name: str, password: str, service: str, client_address: str) -> Owner | None:
    """The same for a password made for a program or a web session: cheap to check, and too long to guess, so
    that nothing need wait for it. None says nothing yet: it may be the account's own."""
    if not _is_valid_text(password):
        return None
    person = _find_person(full_address(name))
    made = issued_passwords.find_password(person.id, password) if person is not None else 0
    return _finish_login(person, name, service, client_address, made) if made else None


def _try_backends(wanted: str, password: str) -> "_Person | None":
    if password.startswith(issued_passwords.SESSION_PREFIX):
        return None  # made by us and not found: no person's password begins so
    user = authenticate(None, username=wanted, password=password)
    if not isinstance(user, Account):
        return None
    # Read anew: the backend may have brought the stored hash up to date, or made the account.
    person = _find_person(user.address)
    if person is not None:
        _remembered.add(person.id, person.password, password)
    return person


def _finish_login(
    person: "_Person | None",
    name: str,
    service: str,
    client_address: str,
    credential: int = 0,
    own_password: bool = True,
) -> Owner | None:
    """The end of every attempt: may this account, if it is one, sign in there today? Logged either way."""
    if person is None or not person.open or (service == "smtp" and person.state in _MAY_NOT_SEND):
        log.warning("auth failed: service=%s, user=<%s>, client=%s", service, _printable_name(name), client_address)
        return None
    log.info("login: service=%s, user=<%s>, client=%s", service, person.address, client_address)
    return Owner(person.id, person.address, credential, "" if credential or not own_password else person.digest)


def is_session_valid(owner: Owner) -> bool:
    """May a session that signed in before go on: is its account open, its password not changed or revoked? (A hash
    brought up to date by another sign-in looks changed too, once: that session signs in again.)"""
    person = _find_person(owner.address)
    if person is None or person.id != owner.account_id or not person.open:
        return False
    if owner.credential:
        return issued_passwords.password_exists(owner.credential)
    return owner.password in ("", person.digest)


def record_known_address(account: Account, client_address: str) -> None:
    """The owner has signed in on the web from there (`guessing.note`)."""
    throttle.record_known_address(Owner(account.pk, account.address), client_address)


# --- Without one: SCRAM, tokens -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScramOffer:
    """What SCRAM goes on with after a name: the salt the client is told, and the keys of every password that
    would be right; `credentials` are the ids of the app passwords among them, 0 the account's own."""

    name: str
    address: str
    salt: bytes
    iterations: int
    keys: tuple[ScramKeys, ...]
    credentials: tuple[int, ...]


def scram_offer(name: str) -> ScramOffer:
    """For nobody's name too, and for accounts whose keys are not made yet: then no password is right."""
    wanted = full_address(name)
    person = _find_person(wanted)
    own = (
        [(0, keys) for keys in scram.parse_keys(person.scram)]
        if person is not None and not person.second_factor
        else []
    )
    made = issued_passwords.scram_candidates(person.id if person is not None else 0)
    salt, iterations = scram.account_salt(wanted), conf.current().auth_scram_iterations
    if own or made:
        first = (own or made)[0][1]
        salt, iterations = first.salt, first.iterations
    fitting = [(id_, keys) for id_, keys in own + made if (keys.salt, keys.iterations) == (salt, iterations)]
    if not fitting:
        # Something to compare with, so that it takes as long.
        fitting = [(0, ScramKeys(iterations, salt, secrets.token_bytes(32), b""))]
    ids, keys = zip(*fitting, strict=True)
    return ScramOffer(name, wanted, salt, iterations, keys, ids)


def log_in_with_scram(
    offer: ScramOffer, exchange: Scram, client_final: bytes, service: str, client_address: str
) -> tuple[Owner, bytes] | None:
    """(account, the server's last message) if the client has one of the passwords. SaslError: no such message."""
    found = exchange.verify(client_final, offer.keys)
    if found is None:
        _finish_login(None, offer.name, service, client_address)
        return None
    credential = offer.credentials[found[0]]
    person = _find_person(offer.address) if not credential or issued_passwords.record_use(credential) else None
    owner = _finish_login(person, offer.name, service, client_address, credential)
    return (owner, found[1]) if owner is not None else None


def accepts_tokens() -> bool:
    """Is there somebody who judges OAuth tokens?"""
    return bool(settings.OAUTH_VERIFIER)


def log_in_with_token(name: str, token: str, service: str, client_address: str) -> Owner | None:
    """The account whose address the setting OAUTH_VERIFIER finds in a token; `name`, if the client gave one,
    must be that account's."""
    verify = import_string(settings.OAUTH_VERIFIER)
    found: str | None = verify(token) if _is_valid_text(token) else None
    wanted = full_address(found) if found else ""
    person = _find_person(wanted) if wanted and (not name or full_address(name) == wanted) else None
    return _finish_login(person, name or found or "", service, client_address, own_password=False)


# --- Names ----------------------------------------------------------------------------------------


def full_address(name: str) -> str:
    """The address a typed name stands for, lower case; a name alone is one of the home domain, a name
    under an alias domain one of the domain it stands for. DOMAIN\\name, as Outlook writes it, is the name in
    that domain if there is one, else in the home domain."""
    if not _is_valid_text(name):
        return ""
    name = name.strip().lower()
    before, backslash, after = name.partition("\\")
    if backslash:
        name = f"{after}@{before}" if directory.find_domain(before) and "@" not in after else after
    local, domain = envelope_address.split_address(name)
    try:
        domain = envelope_address.ascii_domain(domain) or directory.home_domain()
    except envelope_address.AddressError:
        return name  # nobody's
    entry = directory.find_domain(domain)
    return f"{local}@{entry.target if entry and entry.target else domain}"


def _is_valid_text(given: str) -> bool:
    """Bytes that are no UTF-8 arrive as lone surrogates; neither they nor NUL can be asked for."""
    return "\0" not in given and not any("\ud800" <= c <= "\udfff" for c in given)


def _printable_name(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:100])


@dataclass(frozen=True, slots=True)
class _Person:
    """What signing in needs to know of an account."""

    id: int
    address: str
    password: str  # as stored: a hash
    scram: str
    state: str
    expires: date | str | None  # a date; text where the database has no dates
    domain_active: bool | int
    second_factor: bool | int

    @property
    def open(self) -> bool:
        """May this account sign in today at all?"""
        expired = self.expires is not None and str(self.expires) < timezone.localdate().isoformat()
        return self.state not in _CLOSED_ACCOUNT and not expired and bool(self.domain_active)

    @property
    def digest(self) -> str:
        """Tells one stored password from another, and nothing else."""
        key = b"two" if self.second_factor else b""  # a factor set up since ends what came with the password alone
        return hashlib.blake2b(self.password.encode(), key=key, digest_size=8).hexdigest()


_PERSON = ("id", "address", "password", "scram", "state", "expires", "domain__active", "second_factor")
_SHOWN = ("local_part", "domain_id", "name", "role", "language", "time_zone")  # what pages say of who is signed in
_people = CompiledQuery(lambda wanted: Account.objects.filter(address=wanted).values_list(*_PERSON), str)
_visitors = CompiledQuery(lambda id_: Account.objects.filter(id=id_).values_list(*_PERSON, *_SHOWN), int)


def _find_person(wanted: str) -> _Person | None:
    row = _people.row(wanted)
    return _Person(*row) if row else None


def clear_cache() -> None:
    """Ask the backends again from now on: after a reload, for what other directories (PAM, LDAP) changed."""
    _remembered.clear()
    throttle.clear_cache()


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
            if right and not account.scram:
                account.scram = scram.make_keys(account.address, "", password)
                Account.objects.filter(pk=account.pk).update(scram=account.scram)
        return account if right and _may_sign_in(account) else None

    def get_user(self, user_id: int) -> Account | None:
        """The session's account at each request: what was switched off since is signed out by that. What few pages
        look at is read when they do."""
        row = _visitors.row(user_id)
        if row is None or not _Person(*row[: len(_PERSON)]).open:
            return None
        known = dict(zip((*_PERSON, *_SHOWN), row, strict=True))
        del known["expires"], known["domain__active"]  # as the driver gives them
        known["second_factor"] = bool(known["second_factor"])
        names = [field.attname for field in Account._meta.concrete_fields if field.attname in known]
        return Account.from_db(DEFAULT_DB_ALIAS, names, [known[name] for name in names])


def _may_sign_in(account: Account) -> bool:
    person = _Person(
        account.pk,
        account.address,
        account.password,
        account.scram,
        account.state,
        account.expires,
        account.domain.active,
        account.second_factor,
    )
    return person.open
