"""The logged-in webmail user, and the encrypted credential for the mail servers.

The credential (login, secret) is stored in the session, encrypted under a key derived from SECRET_KEY and a random
value that only the browser's cookie has: a stolen database opens no mailbox. With the bundled server it is a password
issued for this session alone; with another server it is the user's own, which that server checks.
"""

import base64
import functools
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Concatenate, ParamSpec, cast
from zoneinfo import ZoneInfo

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.http import urlencode
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _

from webmail.account import access_keys, preferences
from webmail.account.preferences import WebmailPreferences
from webmail.mailserver import connection_pool, imap_client
from webmail.mailserver.server_addresses import is_guest

log = logging.getLogger("webmail.session")

CREDENTIAL_COOKIE = "seal"  # name of the cookie, and of the session's key
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class WebmailUser:
    address: str  # owner of options and drafts
    login: str
    secret: str
    options: WebmailPreferences


class Request(HttpRequest):
    """The request that a view behind `requires_login` receives."""

    visitor: WebmailUser


View = Callable[Concatenate[Request, imap_client.MailSession, P], HttpResponseBase]


def start_guest_session(request: HttpRequest, login: str, secret: str, address: str) -> None:
    """Start a fresh session for a name and password that the IMAP server accepted."""
    request.session.cycle_key()
    _encrypt_credential(request, login, secret, address)


def current_user(request: HttpRequest) -> WebmailUser | None:
    """Return the logged-in user, or None; with the bundled server a session without a credential gets one."""
    credential = _decrypt_session(request)
    if not is_guest():
        if not request.user.is_authenticated:
            return None
        address = request.user.get_username()
        if credential is None or request.session[CREDENTIAL_COOKIE]["address"] != address:
            if not request.session.session_key:
                request.session.save()
            make_credential = import_string(settings.WEBMAIL["CREDENTIAL_MAKER"])
            client, agent = request.META.get("REMOTE_ADDR", ""), request.headers.get("User-Agent", "")
            login, secret = credential = make_credential(request.user, request.session.session_key, client, agent)
            _encrypt_credential(request, login, secret, address)
    elif credential is None:
        return None
    address = request.session[CREDENTIAL_COOKIE]["address"]
    login, secret = credential
    return WebmailUser(address, login, secret, _load_preferences(request, address))


def _load_preferences(request: HttpRequest, address: str) -> WebmailPreferences:
    """Return the user's options; language and time zone are the account's if it is on this server."""
    kept = preferences.load_preferences(address)
    return kept if is_guest() else replace(kept, language=request.user.language, time_zone=request.user.time_zone)


def end_session(request: HttpRequest) -> None:
    """Log out: revoke the credential, close its connections and clear the session."""
    if credential := _decrypt_session(request):
        connection_pool.close_connections(*credential)
    if not is_guest() and request.session.session_key:
        import_string(settings.WEBMAIL["CREDENTIAL_REVOKER"])(request.session.session_key)
    logout(request)


def requires_login(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """Pass the user's IMAP connection to the view and set `request.visitor`.

    Without a session the user is redirected to the login page and returns afterwards. Every error of the mail server
    becomes an error page here.
    """

    @functools.wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        visitor = current_user(request)
        if visitor is None:
            return redirect_to_login(request)
        webmail_request = cast(Request, request)
        webmail_request.visitor = visitor
        if visitor.options.language:
            translation.activate(visitor.options.language)
        zone = ZoneInfo(visitor.options.time_zone) if visitor.options.time_zone else None
        with timezone.override(zone), access_keys.use_keys(visitor.options.keys):
            response = _respond(view, webmail_request, args, kwargs)
        return set_credential_cookie(request, response)

    return cast(Callable[Concatenate[HttpRequest, P], HttpResponseBase], inner)


def _respond(view: View[P], request: Request, args: Any, kwargs: Any) -> HttpResponseBase:
    try:
        with connection_pool.borrow_connection(request.visitor.login, request.visitor.secret) as mail:
            mail.set_special_folders(request.visitor.options.homes)
            return view(request, mail, *args, **kwargs)
    except imap_client.InvalidCredential:
        end_session(request)
        messages.error(request, _("The mail server no longer accepts this sign-in. Please sign in again."))
        return redirect_to_login(request)
    except imap_client.CommandRefused as refusal:
        return error_page(request, _("The mail server refused this."), str(refusal), 409)
    except imap_client.ServerUnreachable as fault:
        log.warning("imap: %s", fault)
        return error_page(request, _("The mail server cannot be reached."), _("Please try again in a moment."), 503)


def redirect_to_login(request: HttpRequest) -> HttpResponse:
    target = request.get_full_path() if request.method == "GET" else ""
    return redirect(reverse("sign-in") + ("?" + urlencode({"next": target}) if target not in ("", "/") else ""))


def error_page(request: HttpRequest, title: str, detail: str, status: int) -> HttpResponse:
    return render(request, "webmail/problem.html", {"title": title, "detail": detail}, status=status)


def set_credential_cookie(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """Set the cookie with the key of a credential that was encrypted during this request."""
    new_key = getattr(request, "fresh_browser_key", None)
    if new_key:
        response.set_cookie(
            CREDENTIAL_COOKIE,
            new_key,
            max_age=None if request.session.get_expire_at_browser_close() else request.session.get_expiry_age(),
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return response


def _encrypt_credential(request: HttpRequest, login: str, secret: str, address: str) -> None:
    browser_key = secrets.token_urlsafe(32)
    token = _fernet(browser_key).encrypt(json.dumps([login, secret]).encode()).decode()
    request.session[CREDENTIAL_COOKIE] = {"token": token, "address": address}
    request.fresh_browser_key = browser_key  # type: ignore[attr-defined]


def _decrypt_session(request: HttpRequest) -> tuple[str, str] | None:
    """Return (login, secret) of this session, or None unless both halves of its key are there."""
    encrypted = request.session.get(CREDENTIAL_COOKIE)
    return _decrypt(encrypted["token"], _cookie_key(request)) if encrypted else None


def _cookie_key(request: HttpRequest) -> str:
    """Return the browser's half of the key: the one made during this request, else its cookie's."""
    return getattr(request, "fresh_browser_key", "") or request.COOKIES.get(CREDENTIAL_COOKIE, "")


def _decrypt(token: str, browser_key: str) -> tuple[str, str] | None:
    try:
        login, secret = json.loads(_fernet(browser_key).decrypt(token.encode()))
    except (InvalidToken, ValueError):
        return None
    return login, secret


def _fernet(browser_key: str) -> Fernet:
    key = hmac.digest(
        hashlib.sha256(settings.SECRET_KEY.encode()).digest(), b"webmail seal" + browser_key.encode(), "sha256"
    )
    return Fernet(base64.urlsafe_b64encode(key))
