"""Middleware that replaces NUL in addresses by U+FFFD: PostgreSQL can neither hold nor look for it.

So such an address leads to what no name contains: an empty list, or an answer that there is no such thing. Forms refuse
NUL by themselves (ProhibitNullCharactersValidator).
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ENCODED_REPLACEMENT = "%EF%BF%BD"


def nul_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def without_nul(request: HttpRequest) -> HttpResponseBase:
        request.path_info = request.path_info.replace("\0", _REPLACEMENT)
        request.META["QUERY_STRING"] = request.META.get("QUERY_STRING", "").replace("%00", _ENCODED_REPLACEMENT)
        return get_response(request)

    return without_nul
