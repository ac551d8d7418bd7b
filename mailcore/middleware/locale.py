"""Whose language pages are in: the signed-in account's, else what Django's LocaleMiddleware found (a cookie, the
browser, the site's)."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils import translation


def locale_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Stands behind LocaleMiddleware, which also ends it, and behind AuthenticationMiddleware."""

    def in_own_language(request: HttpRequest) -> HttpResponseBase:
        if code := getattr(request.user, "language", ""):
            translation.activate(code)
            request.LANGUAGE_CODE = code  # type: ignore[attr-defined]
        return get_response(request)

    return in_own_language
