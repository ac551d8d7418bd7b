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

from webmail import imap, keys, options, pool
from webmail.options import Options
from webmail.servers import is_guest

log = logging.getLogger(__name__)

SEAL = "seal"  # the cookie, and the session's key beside it
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Visitor:
    address: str  # owner of options and of letters being written
    login: str
    secret: str
    options: Options


class Request(HttpRequest):
    """What a view behind `signed_in` is given."""

    visitor: Visitor


View = Callable[Concatenate[Request, imap.Mail, P], HttpResponseBase]


def begin_as_guest(request: HttpRequest, login: str, secret: str, address: str) -> None:
    """The IMAP server knew this name and password: open a fresh session for them."""
    request.session.cycle_key()
    _seal(request, login, secret, address)


def current(request: HttpRequest) -> Visitor | None:
    """Who is signed in. With the bundled server a session without its credential gets one."""
    opened = _opened(request)
    if not is_guest():
        if not request.user.is_authenticated:
            return None
        address = request.user.get_username()
        if opened is None or request.session[SEAL]["address"] != address:
            if not request.session.session_key:
                request.session.save()
            make = import_string(settings.WEBMAIL["CREDENTIAL_MAKER"])
            client, agent = request.META.get("REMOTE_ADDR", ""), request.headers.get("User-Agent", "")
            login, secret = opened = make(request.user, request.session.session_key, client, agent)
            _seal(request, login, secret, address)
    elif opened is None:
        return None
    address = request.session[SEAL]["address"]
    login, secret = opened
    return Visitor(address, login, secret, _options(request, address))


def _options(request: HttpRequest, address: str) -> Options:
    """Language and time zone are the account's, where accounts are ours: notices and its own pages have them too."""
    kept = options.load(address)
    return kept if is_guest() else replace(kept, language=request.user.language, time_zone=request.user.time_zone)


def end(request: HttpRequest) -> None:
    """Sign out: the credential is revoked, connections closed, the session emptied."""
    if opened := _opened(request):
        pool.forget(*opened)
    if not is_guest() and request.session.session_key:
        import_string(settings.WEBMAIL["CREDENTIAL_REVOKER"])(request.session.session_key)
    logout(request)


def signed_in(view: View[P]) -> Callable[Concatenate[HttpRequest, P], HttpResponseBase]:
    """The view gets the visitor's connection; `request.visitor` says who it is. Strangers are sent to the
    sign-in page and come back. Every fault of the mail server ends here, as a page."""

    @functools.wraps(view)
    def inner(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
        visitor = current(request)
        if visitor is None:
            return to_sign_in(request)
        known = cast(Request, request)
        known.visitor = visitor
        if visitor.options.language:
            translation.activate(visitor.options.language)
        zone = ZoneInfo(visitor.options.time_zone) if visitor.options.time_zone else None
        with timezone.override(zone), keys.of(visitor.options.keys):
            response = _answered(view, known, args, kwargs)
        return with_seal(request, response)

    return cast(Callable[Concatenate[HttpRequest, P], HttpResponseBase], inner)


def _answered(view: View[P], request: Request, args: Any, kwargs: Any) -> HttpResponseBase:
    try:
        with pool.borrow(request.visitor.login, request.visitor.secret) as mail:
            mail.prefer(request.visitor.options.homes)
            return view(request, mail, *args, **kwargs)
    except imap.BadCredential:
        end(request)
        messages.error(request, _("The mail server no longer accepts this sign-in. Please sign in again."))
        return to_sign_in(request)
    except imap.Refused as refusal:
        return problem(request, _("The mail server refused this."), str(refusal), 409)
    except imap.Unreachable as fault:
        log.warning("imap: %s", fault)
        return problem(request, _("The mail server cannot be reached."), _("Please try again in a moment."), 503)


def to_sign_in(request: HttpRequest) -> HttpResponse:
    target = request.get_full_path() if request.method == "GET" else ""
    return redirect(reverse("sign-in") + ("?" + urlencode({"next": target}) if target not in ("", "/") else ""))


def problem(request: HttpRequest, title: str, detail: str, status: int) -> HttpResponse:
    return render(request, "webmail/problem.html", {"title": title, "detail": detail}, status=status)


def with_seal(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response with the cookie that opens what `_seal` closed during this request."""
    fresh = getattr(request, "fresh_seal", None)
    if fresh:
        response.set_cookie(
            SEAL,
            fresh,
            max_age=None if request.session.get_expire_at_browser_close() else request.session.get_expiry_age(),
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )
    return response


def _seal(request: HttpRequest, login: str, secret: str, address: str) -> None:
    half = secrets.token_urlsafe(32)
    token = _box(half).encrypt(json.dumps([login, secret]).encode()).decode()
    request.session[SEAL] = {"token": token, "address": address}
    request.fresh_seal = half  # type: ignore[attr-defined]


def _opened(request: HttpRequest) -> tuple[str, str] | None:
    """(login, secret) of this session, if both halves of its key are there."""
    sealed = request.session.get(SEAL)
    return _unseal(sealed["token"], _half(request)) if sealed else None


def _half(request: HttpRequest) -> str:
    """The browser's half of the key: made during this request, else what its cookie says."""
    return getattr(request, "fresh_seal", "") or request.COOKIES.get(SEAL, "")


def _unseal(token: str, half: str) -> tuple[str, str] | None:
    try:
        login, secret = json.loads(_box(half).decrypt(token.encode()))
    except (InvalidToken, ValueError):
        return None
    return login, secret


def _box(half: str) -> Fernet:
    key = hmac.digest(hashlib.sha256(settings.SECRET_KEY.encode()).digest(), b"webmail seal" + half.encode(), "sha256")
    return Fernet(base64.urlsafe_b64encode(key))
