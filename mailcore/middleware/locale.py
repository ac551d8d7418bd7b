"""Middleware that shows pages in the language of the logged-in account.

Otherwise the language is what Django's LocaleMiddleware found (a cookie, the browser's or the site's).
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils import translation


def locale_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Activate the language of the logged-in account.

    To be placed after LocaleMiddleware, which resets the language, and AuthenticationMiddleware.
    """

    def in_own_language(request: HttpRequest) -> HttpResponseBase:
        if code := getattr(request.user, "language", ""):
            translation.activate(code)
            request.LANGUAGE_CODE = code  # type: ignore[attr-defined]
        return get_response(request)

    return in_own_language
