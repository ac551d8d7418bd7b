"""The style sheets of the pages, each one response made of the files of static/styles.

A page may make three requests when it is loaded first: its HTML, one style sheet, one script.
"""

import functools
import hashlib

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

# Files in the order of the cascade.
_BASE = tuple(
    f"base/{name}"
    for name in (
        "theme", "controls", "layout", "message_list", "reading", "compose", "settings", "narrow", "filters",
    )
)  # fmt: skip
_FILES = {"webmail": _BASE, "admin": (*_BASE, "admin/dashboard", "admin/lists", "admin/forms")}
_YEAR = 365 * 24 * 3600  # Seconds.


@functools.cache
def content(name: str) -> bytes:
    """Return a style sheet, "webmail" or "admin"."""
    folder = settings.BASE_DIR / "static/styles"
    return b"\n".join((folder / f"{file}.css").read_bytes() for file in _FILES[name])


@functools.cache
def url(name: str) -> str:
    """Return a style sheet's URL, which changes with its content, so that browsers may keep it."""
    return reverse("stylesheet", args=[name, hashlib.blake2b(content(name), digest_size=6).hexdigest()])


@require_safe
def stylesheet(request: HttpRequest, name: str, version: str) -> HttpResponse:
    """Return a style sheet; browsers of an earlier version get the present one and do not keep it long."""
    if name not in _FILES:
        raise Http404
    response = HttpResponse(content(name), content_type="text/css; charset=utf-8")
    is_present = request.path == url(name)
    response["Cache-Control"] = f"public, max-age={_YEAR}, immutable" if is_present else "public, max-age=60"
    return response
