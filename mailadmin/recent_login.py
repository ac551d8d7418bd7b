"""A recent proof of identity, required before a change that would outlast a stolen session (step_up_time)."""

import functools
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from mailadmin import sign_in
from mailadmin.permissions import Permissions
from mailcore import conf

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, Permissions, P], HttpResponse]


def has_recent_login(request: HttpRequest) -> bool:
    """Return True if the user proved the password or a second factor within step_up_time."""
    return time.time() - float(request.session.get(sign_in.PROVED_AT, 0)) < conf.current().step_up_time


def ask_for_proof(request: HttpRequest, back: str = "") -> HttpResponse:
    """Redirect to the page that asks for a proof and returns to `back`, by default to the requested page."""
    if request.method == "POST":
        messages.info(request, _("Please confirm that it is you, and then make this change again."))
    return redirect(f"{reverse('mailadmin:confirm')}?{urlencode({'next': back or request.get_full_path()})}")


def requires_recent_login(view: View[P]) -> View[P]:
    """Require a proof within step_up_time for a whole page; otherwise the user is asked for one and returns."""

    @functools.wraps(view)
    def checked(request: HttpRequest, permissions: Permissions, /, *values: P.args, **named: P.kwargs) -> HttpResponse:
        if has_recent_login(request):
            return view(request, permissions, *values, **named)
        return ask_for_proof(request)

    return checked


def changes_need_recent_login(view: View[P]) -> View[P]:
    """Require a proof within step_up_time for what the page changes, not for looking at it."""

    @functools.wraps(view)
    def checked(request: HttpRequest, permissions: Permissions, /, *values: P.args, **named: P.kwargs) -> HttpResponse:
        if request.method != "POST" or has_recent_login(request):
            return view(request, permissions, *values, **named)
        return ask_for_proof(request)

    return checked
