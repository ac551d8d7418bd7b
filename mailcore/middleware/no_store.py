"""Middleware that keeps pages out of caches (Cache-Control: no-store, RFC 9111 §5.2.2.5).

Pages show mail, accounts and one-time secrets; the next user of a shared computer must not find them with the back
button, nor a proxy's next client. A view that sets Cache-Control itself keeps it; static files are served before.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

POLICY = "no-store, private"


def no_store_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def uncached(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", POLICY)
        return response

    return uncached
