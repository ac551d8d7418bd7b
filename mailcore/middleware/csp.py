"""Middleware that sets the Content-Security-Policy of pages.

A policy that a view sets itself (for untrusted HTML in a frame, for downloads) is kept.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from mailcore.conf import content_policies


def csp_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    def with_policy(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", content_policies.PAGE)
        return response

    return with_policy
