"""Password check of the login page for accounts on this server (setting WEBMAIL["DOOR"]).

If the account has a second factor, its page follows. Failures are throttled as in every other service
(`mailcore.store.auth.throttle`).
"""

import time
from collections.abc import Callable
from typing import TypeVar

from django.contrib.auth import authenticate, login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import throttle
from mailcore.store.auth.account_login import full_address, record_known_address
from mailcore.store.auth.throttle import TooManyAttempts

T = TypeVar("T")

PENDING_LOGIN = "second step"  # session key: the account that gave the right password and needs the second factor
PROVED_AT = "proved"  # session key: time of the last proof by password or factor
PENDING_LIFETIME = 600  # seconds to complete the second step


def client_ip(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def throttled(
    request: HttpRequest, address: str, check: Callable[[], T | None], step: str = throttle.FIRST
) -> T | None:
    """Check a secret with `throttle.check_throttled` for the request's client address.

    Raise `TooManyAttempts`.
    """
    return throttle.check_throttled(address, client_ip(request), check, step)


def too_many_attempts() -> str:
    return _("Too many attempts. Please try again in a moment.")


def invalid_credentials() -> str:
    return _("The name or the password is not right.")


def attempt_login(request: HttpRequest, name: str, password: str, target: str) -> str | HttpResponse:
    """Log in with name and password.

    Return "" on success, an error text for the user, or the redirect to the second step. `target` is the page to
    continue at.
    """

    def check_password() -> Account | None:
        user = authenticate(request, username=name, password=password)
        return user if isinstance(user, Account) else None

    try:
        user = throttled(request, full_address(name), check_password)
    except TooManyAttempts:
        return too_many_attempts()
    if user is None:
        return invalid_credentials()
    if not user.second_factor:
        finish_login(request, user)
        return ""
    request.session.cycle_key()
    request.session[PENDING_LOGIN] = {
        "account": user.pk,
        "backend": user.backend,  # type: ignore[attr-defined]
        "hash": user.get_session_auth_hash(),
        "since": time.time(),
        "target": target,
    }
    return redirect("mailadmin:second-step")


def save_profile(user: Account, language: str, time_zone: str) -> None:
    """Save language and time zone from the webmail's options in the account (setting WEBMAIL["PROFILE_KEEPER"])."""
    if (user.language, user.time_zone) != (language, time_zone):
        directory.change_own(user.pk, name=user.name, language=language, time_zone=time_zone)


def record_proof(request: HttpRequest, user: Account) -> None:
    """Record that the user has just proved their identity, and clear the throttle's failures."""
    request.session[PROVED_AT] = time.time()
    throttle.forgive(user.address, client_ip(request))
    throttle.forgive_codes(request.session.session_key or "")


def finish_login(request: HttpRequest, user: Account, backend: str | None = None) -> None:
    """Log the user in after all required proofs."""
    login(request, user, backend)
    record_proof(request, user)
    record_known_address(user, client_ip(request))
