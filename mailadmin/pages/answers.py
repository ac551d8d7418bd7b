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

from mailadmin.permissions import Reach
from mailcore.store.directory import Problem

log = logging.getLogger("mailadmin")

# No script but our own files; style attributes carry measures of bars and charts.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)


def show(
    request: HttpRequest, reach: Reach, template: str, context: Mapping[str, object], status: int = 200
) -> HttpResponse:
    with in_zone_of(reach):
        response = render(request, f"mailadmin/{template}.html", {"reach": reach, **context}, status=status)
    response["Content-Security-Policy"] = POLICY
    return response


@contextlib.contextmanager
def in_zone_of(reach: Reach) -> Iterator[None]:
    """Times are read and written on the visitor's clock."""
    zone = reach.visitor.time_zone
    with timezone.override(ZoneInfo(zone) if zone else None):
        yield


def done(request: HttpRequest, reach: Reach, words: str, to: str, *values: object) -> HttpResponse:
    """It is done: say so on the page that follows, and in the log who did it."""
    log.info("%s: %s", reach.visitor.address, request.path)
    messages.success(request, words)
    return redirect(to, *values)


def make_password() -> str:
    """A password for somebody else to begin with: four groups of four, easy to read out."""
    letters = "abcdefghijkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def confirm_and_delete(
    request: HttpRequest, reach: Reach, *, delete: Callable[[], None], question: Mapping[str, object],
    words: str, to: str,
) -> HttpResponse:  # fmt: skip
    """Ask first, saying what goes (`question`: title, name, losses, back); a POST does it."""
    problem = ""
    if request.method == "POST":
        try:
            delete()
        except Problem as refused:
            problem = str(refused)
        else:
            return done(request, reach, words, to)
    context = {**question, "problem": problem}
    return show(request, reach, "delete", context, status=409 if problem else 200)


def shown_once(request: HttpRequest, reach: Reach, *, title: str, address: str, secret: str, back: str) -> HttpResponse:
    """A password that was made: on this page and never again."""
    log.info("%s: %s", reach.visitor.address, request.path)
    context = {"title": title, "address": address, "secret": secret, "back": back}
    response = show(request, reach, "secret", context)
    response["Cache-Control"] = "no-store"
    return response
