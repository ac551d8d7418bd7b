"""The sign-in page's judge where the accounts are ours (setting WEBMAIL["DOOR"]): the password, then, where there is a
second factor, the page that asks for it. Guessing is slowed down as at every other door (`store.guessing`).
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

PENDING_LOGIN = "second step"  # in the session: who gave a right password, and must now show more
PROVED_AT = "proved"  # in the session: when the password or a factor was last shown
PENDING_LIFETIME = 600  # seconds the second step may take


def client_ip(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def throttled(
    request: HttpRequest, address: str, judge: Callable[[], T | None], step: str = throttle.FIRST
) -> T | None:
    """`guessing.judged` for whoever sends this request. Raises Busy."""
    return throttle.check_throttled(address, client_ip(request), judge, step)


def too_many_attempts() -> str:
    return _("Too many attempts. Please try again in a moment.")


def invalid_credentials() -> str:
    return _("The name or the password is not right.")


def attempt_login(request: HttpRequest, name: str, password: str, target: str) -> str | HttpResponse:
    """Let somebody in: "", or why not in words for a person, or the way to the second step. `target`: the page that
    was wanted."""

    def right() -> Account | None:
        user = authenticate(request, username=name, password=password)
        return user if isinstance(user, Account) else None

    try:
        user = throttled(request, full_address(name), right)
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
    """What was chosen among the webmail's options is the account's (setting WEBMAIL["PROFILE_KEEPER"])."""
    if (user.language, user.time_zone) != (language, time_zone):
        directory.change_own(user.pk, name=user.name, language=language, time_zone=time_zone)


def prove(request: HttpRequest, user: Account) -> None:
    """Everything that was asked has been shown, now."""
    request.session[PROVED_AT] = time.time()
    throttle.forgive(user.address, client_ip(request))
    throttle.forgive_codes(request.session.session_key or "")


def finish_login(request: HttpRequest, user: Account, backend: str | None = None) -> None:
    """Everything that was asked has been shown: the session is this account's."""
    login(request, user, backend)
    prove(request, user)
    record_known_address(user, client_ip(request))
