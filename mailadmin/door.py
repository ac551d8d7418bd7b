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
from mailcore.store import directory, guessing
from mailcore.store.guessing import Busy
from mailcore.store.login import full_address, note_place

T = TypeVar("T")

PENDING = "second step"  # in the session: who gave a right password, and must now show more
PROVED = "proved"  # in the session: when the password or a factor was last shown
PATIENCE = 600  # seconds the second step may take


def place(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR", ""))


def judged(request: HttpRequest, address: str, judge: Callable[[], T | None], step: str = guessing.FIRST) -> T | None:
    """`guessing.judged` for whoever sends this request. Raises Busy."""
    return guessing.judged(address, place(request), judge, step)


def busy() -> str:
    return _("Too many attempts. Please try again in a moment.")


def wrong() -> str:
    return _("The name or the password is not right.")


def knock(request: HttpRequest, name: str, password: str, target: str) -> str | HttpResponse:
    """Let somebody in: "", or why not in words for a person, or the way to the second step. `target`: the page that
    was wanted."""

    def right() -> Account | None:
        user = authenticate(request, username=name, password=password)
        return user if isinstance(user, Account) else None

    try:
        user = judged(request, full_address(name), right)
    except Busy:
        return busy()
    if user is None:
        return wrong()
    if not user.second_factor:
        enter(request, user)
        return ""
    request.session.cycle_key()
    request.session[PENDING] = {
        "account": user.pk,
        "backend": user.backend,  # type: ignore[attr-defined]
        "hash": user.get_session_auth_hash(),
        "since": time.time(),
        "target": target,
    }
    return redirect("mailadmin:second-step")


def keep_profile(user: Account, language: str, time_zone: str) -> None:
    """What was chosen among the webmail's options is the account's (setting WEBMAIL["PROFILE_KEEPER"])."""
    if (user.language, user.time_zone) != (language, time_zone):
        directory.change_own(user.pk, name=user.name, language=language, time_zone=time_zone)


def prove(request: HttpRequest, user: Account) -> None:
    """Everything that was asked has been shown, now."""
    request.session[PROVED] = time.time()
    guessing.forgive(user.address, place(request))
    guessing.forgive_codes(request.session.session_key or "")


def enter(request: HttpRequest, user: Account, backend: str | None = None) -> None:
    """Everything that was asked has been shown: the session is this account's."""
    login(request, user, backend)
    prove(request, user)
    note_place(user, place(request))
