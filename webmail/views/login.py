"""Logging in and out, and the language of pages shown before that."""

import hashlib
from collections.abc import Callable

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from mailcore import conf
from webmail.account import preferences, session
from webmail.composing import draft_store
from webmail.mailserver import connection_pool, imap_client
from webmail.mailserver.server_addresses import is_guest

FAILURES_ALLOWED = 8  # per client address and user name, within FAILURE_MEMORY seconds
ADDRESS_FAILURES_ALLOWED = 40  # per client address for all names: an office behind one address mistypes now and then
FAILURE_MEMORY = 600
_YEAR = 365 * 86400


@never_cache
@sensitive_post_parameters("password")
def login(request: HttpRequest) -> HttpResponseBase:
    target = _redirect_target(request)
    if request.method != "POST":
        return _redirect_to_target(request, target) or _login_form(request, target)
    name, password = request.POST.get("username", "").strip(), request.POST.get("password", "")
    outcome = _attempt_login(request, name, password, target)
    if outcome and isinstance(outcome, str):
        return _login_form(request, target, name, outcome)
    if not request.POST.get("remember"):
        request.session.set_expiry(0)
    if isinstance(outcome, HttpResponse):
        return outcome  # a second factor is required; its page leads back here, logged in
    return _redirect_to_target(request, target) or _login_form(
        request, target, name, _("Signing in did not work. Please try again.")
    )


def _redirect_to_target(request: HttpRequest, target: str) -> HttpResponseBase | None:
    """Redirect a logged-in user to the target."""
    person = session.current_user(request)
    if person is None:
        return None
    draft_store.remove_stale()
    chosen = person.options.language or request.POST.get("language", "")
    return session.set_credential_cookie(request, _set_language_cookie(redirect(target), chosen))


def _attempt_login(request: HttpRequest, name: str, password: str, target: str) -> str | HttpResponse:
    """Log in with this name and password.

    Return "" on success, an error text for the user, or the response that asks for a second factor.
    """
    if not name or not password:
        return _("Please enter your name and your password.")
    if any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in name + password):
        return _("The name or the password is not right.")
    if is_guest():
        return _throttled_guest_login(request, name, password)
    log_in: Callable[[HttpRequest, str, str, str], str | HttpResponse] = import_string(settings.WEBMAIL["DOOR"])
    return log_in(request, name, password, target)


def _throttled_guest_login(request: HttpRequest, name: str, password: str) -> str:
    """Limit the guesses of passwords of another server's users.

    That server sees all of them come from our address, so they are counted here.
    """
    client_ip = request.META.get("REMOTE_ADDR")
    limits = {f"{client_ip} {name.casefold()}": FAILURES_ALLOWED, f"{client_ip}": ADDRESS_FAILURES_ALLOWED}
    counters = {f"sign-in:{hashlib.sha256(key.encode()).hexdigest()}": limit for key, limit in limits.items()}
    # Counted before the check, so that simultaneous guesses all count.
    for counter, limit in counters.items():
        cache.add(counter, 0, FAILURE_MEMORY)
        if cache.incr(counter) > limit:
            return _("Too many attempts. Please wait ten minutes.")
    problem = _guest_login(request, name, password)
    if not problem:
        for counter in counters:
            cache.decr(counter)
    return problem


def _guest_login(request: HttpRequest, name: str, password: str) -> str:
    try:
        with connection_pool.borrow_connection(name, password):
            pass
    except imap_client.InvalidCredential:
        return _("The name or the password is not right.")
    except (imap_client.ServerUnreachable, imap_client.CommandRefused):
        return _("The mail server cannot be reached. Please try again in a moment.")
    address = name if "@" in name else f"{name}@{conf.current().mydomain}"
    session.start_guest_session(request, name, password, address.lower())
    return ""


@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    session.end_session(request)
    response = redirect("sign-in")
    response.delete_cookie(session.CREDENTIAL_COOKIE)
    return response


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Set the language of pages shown before logging in, in a cookie."""
    return _set_language_cookie(
        redirect(_redirect_target(request, reverse("sign-in"))), request.POST.get("language", "")
    )


def _set_language_cookie(response: HttpResponse, code: str) -> HttpResponse:
    if code in dict(settings.LANGUAGES):
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, code, max_age=_YEAR, samesite="Lax", httponly=True)
    return response


def _redirect_target(request: HttpRequest, default: str = "") -> str:
    """Return the path to continue at, on this site; a name without a slash would be taken for that of a view."""
    target = request.POST.get("next") or request.GET.get("next") or ""
    safe = target.startswith("/") and url_has_allowed_host_and_scheme(target, None)
    return target if safe and "\\" not in target else default or reverse("box")


def _login_form(request: HttpRequest, target: str, name: str = "", problem: str = "") -> HttpResponse:
    context = {
        "next": target if target != reverse("box") else "",
        "name": name,
        "problem": problem,
        "languages": settings.LANGUAGES,
        "domain": conf.current().mydomain,
        "is_guest": is_guest(),
    }
    return render(request, "webmail/sign_in.html", context, status=401 if problem else 200)


def set_language_cookie(response: HttpResponse, chosen: preferences.WebmailPreferences) -> HttpResponse:
    """Set the language of pages shown before logging in to the user's; without one, the browser's applies."""
    if not chosen.language:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME, samesite="Lax")
    return _set_language_cookie(response, chosen.language)
