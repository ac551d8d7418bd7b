"""Log-in of accounts: one implementation for every service, whatever form of the name was typed.

`servers.authentication` calls it for SMTP, POP3 and IMAP (through the executor), `AccountBackend` verifies for Django's
login page, and the screens create and revoke credentials. An unknown user and a wrong password get the same reply after
the same work; delaying it is the caller's part (`throttle`).

Passwords are verified by Django's authentication backends, so that PAM or LDAP is a setting. App passwords are for
programs only: the login page does not accept them, since they would bypass a second factor.
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
from mailcore.conf import caches
from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import throttle
from mailcore.store.credentials import api_tokens, issued_passwords, scram
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
    "revoke_issued_secrets",
    "revoke_session",
    "revoke_session_credential",
    "scram_offer",
    "web_sessions",
]

log = logging.getLogger("mailcore.login")

_CLOSED_ACCOUNT = (Account.State.OFF, Account.State.NO_LOGIN)
_MAY_NOT_SEND = (Account.State.RECEIVE_ONLY,)
# A password check takes a processor and 19 MiB (mailcore.store.credentials.hasher), so their number is limited.
_checks = BoundedSemaphore(max(2, os.cpu_count() or 1))
_verified_cache = VerifiedCache()


def revoke_issued_secrets(account_id: int) -> None:
    """Revoke every app password and API token of an account, after its password was reset."""
    issued_passwords.revoke_app_passwords(account_id)
    api_tokens.revoke_tokens(account_id)


# --- With a password ------------------------------------------------------------------------------


def log_in(name: str, password: str, service: str, client_address: str) -> Owner | None:
    """Return the account that `name` (with or without its domain) and `password` open, else None.

    `service` is "smtp", "imap", "pop3", …: an account that only receives may not log in to "smtp".
    """
    owner = log_in_with_app_password(name, password, service, client_address)
    if owner is not None:
        return owner
    login_address = full_address(name)
    if not _is_valid_text(password):
        login_address = password = ""  # matches no account, after the same work
    login_account = _find_account(login_address)
    if login_account is None or not _verified_cache.contains(login_account.id, login_account.password, password):
        login_account = _try_backends(login_address, password)
    if login_account is not None and login_account.second_factor:
        # A protocol without a second factor does not accept the password alone, nor does its reply confirm it.
        log.warning("password alone is not enough: service=%s, user=<%s>", service, login_account.address)
        login_account = None
    return _finish_login(login_account, name, service, client_address)


def log_in_with_app_password(name: str, password: str, service: str, client_address: str) -> Owner | None:
    """Return the account that an app password or session credential opens, else None.

    The check is cheap and the secrets are too long to guess, so it need not be throttled. After None the password may
    still be the account's own.
    """
    if not _is_valid_text(password):
        return None
    login_account = _find_account(full_address(name))
    password_id = issued_passwords.find_password(login_account.id, password) if login_account is not None else 0
    return _finish_login(login_account, name, service, client_address, password_id) if password_id else None


def _try_backends(login_address: str, password: str) -> "_LoginAccount | None":
    if password.startswith(issued_passwords.SESSION_PREFIX):
        return None  # a session credential that was not found: no user's password begins so
    user = authenticate(None, username=login_address, password=password)
    if not isinstance(user, Account):
        return None
    # Read again: the backend may have updated the stored hash or created the account.
    login_account = _find_account(user.address)
    if login_account is not None:
        _verified_cache.add(login_account.id, login_account.password, password)
    return login_account


def _finish_login(
    login_account: "_LoginAccount | None",
    name: str,
    service: str,
    client_address: str,
    credential: int = 0,
    own_password: bool = True,
) -> Owner | None:
    """Finish a log-in attempt: check that the account may log in to this service today, and log the result."""
    if (
        login_account is None
        or not login_account.is_open
        or (service == "smtp" and login_account.state in _MAY_NOT_SEND)
    ):
        log.warning("auth failed: service=%s, user=<%s>, client=%s", service, _printable_name(name), client_address)
        return None
    log.info("login: service=%s, user=<%s>, client=%s", service, login_account.address, client_address)
    return Owner(
        login_account.id,
        login_account.address,
        credential,
        "" if credential or not own_password else login_account.digest,
    )


def is_session_valid(owner: Owner) -> bool:
    """Return True if a session may continue: the account is open and its credential neither changed nor revoked.

    A hash that another log-in updated looks changed too, once: the session then has to log in again.
    """
    login_account = _find_account(owner.address)
    if login_account is None or login_account.id != owner.account_id or not login_account.is_open:
        return False
    if owner.credential:
        return issued_passwords.password_exists(owner.credential)
    return owner.password in ("", login_account.digest)


def record_known_address(account: Account, client_address: str) -> None:
    """Record a client address from which the owner logged in on the web (`throttle.record_known_address`)."""
    throttle.record_known_address(Owner(account.pk, account.address), client_address)


# --- Without a password: SCRAM, tokens ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScramOffer:
    """The server's side of a SCRAM exchange after the user name: the salt, and the keys of every valid password.

    `credentials` holds, for each key, the id of the app password, or 0 for the account's own password.
    """

    name: str
    address: str
    salt: bytes
    iterations: int
    keys: tuple[ScramKeys, ...]
    credentials: tuple[int, ...]


def scram_offer(name: str) -> ScramOffer:
    """Return the offer for a name; if no account or no keys exist, it looks alike but no password matches."""
    login_address = full_address(name)
    login_account = _find_account(login_address)
    own = (
        [(0, keys) for keys in scram.parse_keys(login_account.scram)]
        if login_account is not None and not login_account.second_factor
        else []
    )
    app_keys = issued_passwords.scram_candidates(login_account.id if login_account is not None else 0)
    salt, iterations = scram.account_salt(login_address), conf.current().auth_scram_iterations
    if own or app_keys:
        first = (own or app_keys)[0][1]
        salt, iterations = first.salt, first.iterations
    candidates = [(id_, keys) for id_, keys in own + app_keys if (keys.salt, keys.iterations) == (salt, iterations)]
    if not candidates:
        # A random key to compare with, so that the reply takes as long.
        candidates = [(0, ScramKeys(iterations, salt, secrets.token_bytes(32), b""))]
    ids, keys = zip(*candidates, strict=True)
    return ScramOffer(name, login_address, salt, iterations, keys, ids)


def log_in_with_scram(
    offer: ScramOffer, exchange: Scram, client_final: bytes, service: str, client_address: str
) -> tuple[Owner, bytes] | None:
    """Return (account, the server's final message) if the client has one of the passwords, else None.

    Raise SaslError for a malformed message.
    """
    verified = exchange.verify(client_final, offer.keys)
    if verified is None:
        _finish_login(None, offer.name, service, client_address)
        return None
    credential = offer.credentials[verified[0]]
    login_account = _find_account(offer.address) if not credential or issued_passwords.record_use(credential) else None
    owner = _finish_login(login_account, offer.name, service, client_address, credential)
    return (owner, verified[1]) if owner is not None else None


def accepts_tokens() -> bool:
    """Return True if a verifier of OAuth tokens is configured."""
    return bool(settings.OAUTH_VERIFIER)


def log_in_with_token(name: str, token: str, service: str, client_address: str) -> Owner | None:
    """Return the account that an OAuth token was issued for (setting OAUTH_VERIFIER), else None.

    `name`, if the client gave one, must be that account's.
    """
    verify = import_string(settings.OAUTH_VERIFIER)
    token_address: str | None = verify(token) if _is_valid_text(token) else None
    login_address = full_address(token_address) if token_address else ""
    login_account = (
        _find_account(login_address) if login_address and (not name or full_address(name) == login_address) else None
    )
    return _finish_login(login_account, name or token_address or "", service, client_address, own_password=False)


# --- Names ----------------------------------------------------------------------------------------


def full_address(name: str) -> str:
    r"""Return the address that a typed name means, in lower case.

    A name without a domain belongs to the home domain; a name under an alias domain belongs to the domain it stands
    for. DOMAIN\name, as Outlook writes it, is the name in that domain if it exists, else in the home domain.
    """
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
        return name  # no account has it
    entry = directory.find_domain(domain)
    return f"{local}@{entry.target if entry and entry.target else domain}"


def _is_valid_text(text: str) -> bool:
    """Return True if the database can look a text up: no NUL, and no lone surrogates from bytes that are not UTF-8."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _printable_name(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:100])


@dataclass(frozen=True, slots=True)
class _LoginAccount:
    """The columns of an account that a log-in needs."""

    id: int
    address: str
    password: str  # as stored: a hash
    scram: str
    state: str
    expires: date | str | None  # a date; text where the database has no date type
    domain_active: bool | int
    second_factor: bool | int

    @property
    def is_open(self) -> bool:
        """Return True if this account may log in today."""
        expired = self.expires is not None and str(self.expires) < timezone.localdate().isoformat()
        return self.state not in _CLOSED_ACCOUNT and not expired and bool(self.domain_active)

    @property
    def digest(self) -> str:
        """Return a digest that only distinguishes one stored password from another."""
        # setting up a second factor ends sessions that used the password alone
        key = b"two" if self.second_factor else b""
        return hashlib.blake2b(self.password.encode(), key=key, digest_size=8).hexdigest()


_LOGIN_COLUMNS = ("id", "address", "password", "scram", "state", "expires", "domain__active", "second_factor")
# the columns that pages show of the logged-in account
_PAGE_COLUMNS = ("local_part", "domain_id", "name", "role", "language", "time_zone")
_account_query = CompiledQuery(
    lambda login_address: Account.objects.filter(address=login_address).values_list(*_LOGIN_COLUMNS), str
)
_session_account_query = CompiledQuery(
    lambda id_: Account.objects.filter(id=id_).values_list(*_LOGIN_COLUMNS, *_PAGE_COLUMNS), int
)


def _find_account(login_address: str) -> _LoginAccount | None:
    row = _account_query.row(login_address)
    return _LoginAccount(*row) if row else None


# Cleared after a reload, for changes in other directories (PAM, LDAP).
caches.register(caches.Source.LOGINS, _verified_cache.clear)


# --- Django's authentication backend --------------------------------------------------------------


class AccountBackend(BaseBackend):
    """Backend that verifies the account's own password (Django setting AUTHENTICATION_BACKENDS)."""

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
            is_correct = account.check_password(password)  # also replaces an outdated hash
            if is_correct and not account.scram:
                account.scram = scram.make_keys(account.address, "", password)
                Account.objects.filter(pk=account.pk).update(scram=account.scram)
        return account if is_correct and _may_log_in(account) else None

    def get_user(self, user_id: int) -> Account | None:
        """Return the account of a session at each request, or None if it may no longer log in.

        Columns that few pages use are read when they are accessed.
        """
        row = _session_account_query.row(user_id)
        if row is None or not _LoginAccount(*row[: len(_LOGIN_COLUMNS)]).is_open:
            return None
        columns = dict(zip((*_LOGIN_COLUMNS, *_PAGE_COLUMNS), row, strict=True))
        del columns["expires"], columns["domain__active"]  # the driver's values, not converted
        columns["second_factor"] = bool(columns["second_factor"])
        names = [field.attname for field in Account._meta.concrete_fields if field.attname in columns]
        return Account.from_db(DEFAULT_DB_ALIAS, names, [columns[name] for name in names])


def _may_log_in(account: Account) -> bool:
    login_account = _LoginAccount(
        account.pk,
        account.address,
        account.password,
        account.scram,
        account.state,
        account.expires,
        account.domain.active,
        account.second_factor,
    )
    return login_account.is_open
