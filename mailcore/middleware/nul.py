"""Middleware that refuses addresses with NUL, which PostgreSQL cannot hold in a text.

Forms refuse it by themselves (ProhibitNullCharactersValidator); values of a path or query reach the database unchecked.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase


def nul_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def checked(request: HttpRequest) -> HttpResponseBase:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            return HttpResponseBadRequest("NUL is not allowed in an address.", content_type="text/plain")
        return get_response(request)

    return checked
