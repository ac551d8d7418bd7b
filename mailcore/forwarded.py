"""Who a request comes from when a web server stands in front (BEHIND_PROXY): the last address in X-Forwarded-For, which
that server wrote itself. What stands before it anybody may have written."""

import contextlib
import ipaddress
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase


def client_address(answer: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    def with_address(request: HttpRequest) -> HttpResponseBase:
        last = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
        with contextlib.suppress(ValueError):  # not forwarded: asked by somebody on this machine
            request.META["REMOTE_ADDR"] = str(ipaddress.ip_address(last))
        return answer(request)

    return with_address
