"""Middleware that refuses addresses with NUL, which PostgreSQL cannot hold in a text.

Forms refuse it by themselves (ProhibitNullCharactersValidator), and so does the API, in its own format. Values of a
path or query of other pages would reach the database unchecked.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase


def nul_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def checked(request: HttpRequest) -> HttpResponseBase:
        has_nul = "\0" in request.path or "%00" in request.META.get("QUERY_STRING", "")
        if has_nul and not request.path.startswith(settings.API_PATH):
            return HttpResponseBadRequest("NUL is not allowed in an address.", content_type="text/plain")
        return get_response(request)

    return checked
