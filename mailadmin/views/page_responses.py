"""What pages have in common: drawing one, saying what was done, deleting after having asked."""

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
from mailcore.store.directory import DirectoryError

log = logging.getLogger("mailadmin")

# No script but our own files; style attributes carry measures of bars and charts.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def render_page(
    request: HttpRequest, permissions: Permissions, template: str, context: Mapping[str, object], status: int = 200
) -> HttpResponse:
    with in_time_zone_of(permissions):
        response = render(request, f"mailadmin/{template}.html", {"permissions": permissions, **context}, status=status)
    response["Content-Security-Policy"] = POLICY
    return response


@contextlib.contextmanager
def in_time_zone_of(permissions: Permissions) -> Iterator[None]:
    """Times are read and written on the visitor's clock."""
    zone = permissions.visitor.time_zone
    with timezone.override(ZoneInfo(zone) if zone else None):
        yield


def redirect_with_notice(
    request: HttpRequest, permissions: Permissions, words: str, to: str, *values: object
) -> HttpResponse:
    """It is done: say so on the page that follows, and in the log who did it."""
    log.info("%s: %s", permissions.visitor.address, request.path)
    messages.success(request, words)
    return redirect(to, *values)


def generate_password() -> str:
    """A password for somebody else to begin with: four groups of four, easy to read out."""
    messages = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(messages) for _ in range(4)) for _ in range(4))


def confirm_and_delete(
    request: HttpRequest, permissions: Permissions, *, delete: Callable[[], None], question: Mapping[str, object],
    words: str, to: str,
) -> HttpResponse:  # fmt: skip
    """Ask first, saying what goes (`question`: title, name, losses, back); a POST does it."""
    problem = ""
    if request.method == "POST":
        try:
            delete()
        except DirectoryError as refused:
            problem = str(refused)
        else:
            return redirect_with_notice(request, permissions, words, to)
    context = {**question, "problem": problem}
    return render_page(request, permissions, "delete", context, status=409 if problem else 200)


def show_secret_once(
    request: HttpRequest, permissions: Permissions, *, title: str, address: str, secret: str, back: str
) -> HttpResponse:
    """A password that was made: on this page and never again."""
    log.info("%s: %s", permissions.visitor.address, request.path)
    context = {"title": title, "address": address, "secret": secret, "back": back}
    response = render_page(request, permissions, "secret", context)
    response["Cache-Control"] = "no-store"
    return response
