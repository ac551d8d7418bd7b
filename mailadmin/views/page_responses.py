"""Responses shared by the views: render a page, redirect with a notice, confirm a deletion, show a secret."""

import contextlib
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone

from mailadmin.permissions import Permissions
from mailcore.conf import content_policies
from mailcore.store.directory import DirectoryError

log = logging.getLogger("mailadmin")


# Scripts only from our own files; style attributes have the sizes of bars and charts.
def render_page(
    request: HttpRequest, permissions: Permissions, template: str, context: Mapping[str, object], status: int = 200
) -> HttpResponse:
    with in_time_zone_of(permissions):
        response = render(request, f"mailadmin/{template}.html", {"permissions": permissions, **context}, status=status)
    response["Content-Security-Policy"] = content_policies.ADMIN_PAGE
    return response


@contextlib.contextmanager
def in_time_zone_of(permissions: Permissions) -> Iterator[None]:
    """Read and show times in the user's time zone."""
    zone = permissions.visitor.time_zone
    with timezone.override(ZoneInfo(zone) if zone else None):
        yield


def redirect_with_notice(
    request: HttpRequest, permissions: Permissions, text: str, to: str, *values: object
) -> HttpResponse:
    """Redirect with a success notice, and log the user and the page."""
    log.info("%s: %s", permissions.visitor.address, request.path)
    messages.success(request, text)
    return redirect(to, *values)


def generate_password() -> str:
    """Return an initial password for another person: four groups of four characters, easy to read out."""
    alphabet = "abcdefghijkmnpqrstuvwxyz23456789"  # without l, o, 0 and 1, which look alike
    return "-".join("".join(secrets.choice(alphabet) for _ in range(4)) for _ in range(4))


def confirm_and_delete(
    request: HttpRequest, permissions: Permissions, *, delete: Callable[[], None], question: Mapping[str, object],
    text: str, to: str,
) -> HttpResponse:  # fmt: skip
    """Show what a deletion removes (`question`: title, name, losses, back); delete on POST."""
    problem = ""
    if request.method == "POST":
        try:
            delete()
        except DirectoryError as refused:
            problem = str(refused)
        else:
            return redirect_with_notice(request, permissions, text, to)
    context = {**question, "problem": problem}
    return render_page(request, permissions, "delete", context, status=409 if problem else 200)


def show_secret_once(
    request: HttpRequest, permissions: Permissions, *, title: str, address: str, secret: str, back: str
) -> HttpResponse:
    """Show a generated secret once; it is not stored in readable form."""
    log.info("%s: %s", permissions.visitor.address, request.path)
    context = {"title": title, "address": address, "secret": secret, "back": back}
    response = render_page(request, permissions, "secret", context)
    response["Cache-Control"] = "no-store"
    return response
