"""Who is at the webmail, and the credential it shows the mail servers on his behalf.

The credential (login, secret) lies in the session, sealed under a key made of SECRET_KEY and a random
value that only the browser's cookie holds: a stolen database opens no mailbox. With the bundled server
it is a password made for this session alone; as a guest it is the visitor's own, judged by that server.
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

CREDENTIAL_COOKIE = "seal"  # the cookie, and the session's key beside it
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class WebmailUser:
    address: str  # owner of options and of messages being written
    login: str
    secret: str
    options: WebmailPreferences


class Request(HttpRequest):
    """What a view behind `signed_in` is given."""

    visitor: WebmailUser


View = Callable[Concatenate[Request, imap_client.MailSession, P], HttpResponseBase]


def start_guest_session(request: HttpRequest, login: str, secret: str, address: str) -> None:
    """The IMAP server knew this name and password: open a fresh session for them."""
    request.session.cycle_key()
    _encrypt_credential(request, login, secret, address)


def current_user(request: HttpRequest) -> WebmailUser | None:
    """Who is signed in. With the bundled server a session without its credential gets one."""
    opened = _decrypt_session(request)
    if not is_guest():
        if not request.user.is_authenticated:
            return None
        address = request.user.get_username()
        if opened is None or request.session[CREDENTIAL_COOKIE]["address"] != address:
            if not request.session.session_key:
                request.session.save()
            make = import_string(settings.WEBMAIL["CREDENTIAL_MAKER"])
            client, agent = request.META.get("REMOTE_ADDR", ""), request.headers.get("User-Agent", "")
            login, secret = opened = make(request.user, request.session.session_key, client, agent)
            _encrypt_credential(request, login, secret, address)
    elif opened is None:
        return None
    address = request.session[CREDENTIAL_COOKIE]["address"]
    login, secret = opened
    return WebmailUser(address, login, secret, _load_preferences(request, address))


def _load_preferences(request: HttpRequest, address: str) -> WebmailPreferences:
    """Language and time zone are the account's, where accounts are ours: notices and its own pages have them too."""
    kept = preferences.load_preferences(address)
    return kept if is_guest() else replace(kept, language=request.user.language, time_zone=request.user.time_zone)


def end_session(request: HttpRequest) -> None:
    """Sign out: the credential is revoked, connections closed, the session emptied."""
    if opened := _decrypt_session(request):
        connection_pool.close_connections(*opened)
    if not is_guest() and request.session.session_key:
        import_string(settings.WEBMAIL["CREDENTIAL_REVOKER"])(request.session.session_key)
    logout(request)


def requires_login(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """The view gets the visitor's connection; `request.visitor` says who it is. Strangers are sent to the
    sign-in page and come back. Every fault of the mail server ends here, as a page."""

    @functools.wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        visitor = current_user(request)
        if visitor is None:
            return redirect_to_login(request)
        known = cast(Request, request)
        known.visitor = visitor
        if visitor.options.language:
            translation.activate(visitor.options.language)
        zone = ZoneInfo(visitor.options.time_zone) if visitor.options.time_zone else None
        with timezone.override(zone), access_keys.use_keys(visitor.options.keys):
            response = _respond(view, known, args, kwargs)
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
    """The response with the cookie that opens what `_seal` closed during this request."""
    fresh = getattr(request, "fresh_seal", None)
    if fresh:
        response.set_cookie(
            CREDENTIAL_COOKIE,
            fresh,
            max_age=None if request.session.get_expire_at_browser_close() else request.session.get_expiry_age(),
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return response


def _encrypt_credential(request: HttpRequest, login: str, secret: str, address: str) -> None:
    half = secrets.token_urlsafe(32)
    token = _fernet(half).encrypt(json.dumps([login, secret]).encode()).decode()
    request.session[CREDENTIAL_COOKIE] = {"token": token, "address": address}
    request.fresh_seal = half  # type: ignore[attr-defined]


def _decrypt_session(request: HttpRequest) -> tuple[str, str] | None:
    """(login, secret) of this session, if both halves of its key are there."""
    sealed = request.session.get(CREDENTIAL_COOKIE)
    return _decrypt(sealed["token"], _cookie_key(request)) if sealed else None


def _cookie_key(request: HttpRequest) -> str:
    """The browser's half of the key: made during this request, else what its cookie says."""
    return getattr(request, "fresh_seal", "") or request.COOKIES.get(CREDENTIAL_COOKIE, "")


def _decrypt(token: str, half: str) -> tuple[str, str] | None:
    try:
        login, secret = json.loads(_fernet(half).decrypt(token.encode()))
    except (InvalidToken, ValueError):
        return None
    return login, secret


def _fernet(half: str) -> Fernet:
    key = hmac.digest(hashlib.sha256(settings.SECRET_KEY.encode()).digest(), b"webmail seal" + half.encode(), "sha256")
    return Fernet(base64.urlsafe_b64encode(key))
