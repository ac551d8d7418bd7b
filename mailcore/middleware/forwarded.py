"""The client's address when a web server stands in front (BEHIND_PROXY): the last one in X-Forwarded-For, which that
server wrote itself. What stands before it anybody may have written. A request without a readable one is refused: its
own address would be that server's, for which nobody may be slowed down or trusted. Header names with an underscore
have been dropped before (`mailcore.asgi`; WSGI servers drop them too)."""

import ipaddress
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBadRequest, HttpResponseBase

HEALTH = "/healthz"


def forwarded_middleware(
    answer: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def with_address(request: HttpRequest) -> HttpResponseBase:
        last = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        try:
            request.META["REMOTE_ADDR"] = str(ipaddress.ip_address(last))
        except ValueError:
            if request.path != HEALTH:  # asked by a watchdog on this machine, for which no address counts
                return HttpResponseBadRequest("X-Forwarded-For is missing\n", content_type="text/plain")
        return answer(request)

    return with_address
