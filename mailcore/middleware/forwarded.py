"""Middleware that takes the client's address from X-Forwarded-For behind a web server (BEHIND_PROXY).

The last address is used, which that server wrote itself; earlier ones may be forged. A request without a valid one is
refused: its own address would be the web server's, which must be neither throttled nor trusted. Header names with an
underscore have been dropped before (`mailcore.asgi`; WSGI servers drop them too).
"""

import ipaddress
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase

HEALTH = "/healthz"


def forwarded_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def with_address(request: HttpRequest) -> HttpResponseBase:
        last = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            request.META["REMOTE_ADDR"] = str(ipaddress.ip_address(last))
        except ValueError:
            if request.path != HEALTH:  # health checks from this machine need no address
                return HttpResponseBadRequest("X-Forwarded-For is missing\n", content_type="text/plain")
        return get_response(request)

    return with_address
