"""A check of a request's header for a session or token, before a large body is read.

Called by `mailcore.asgi`. It grants nothing: the view authenticates the request in full.
"""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.db import close_old_connections

from mailcore.store.credentials import api_tokens


def is_signed_in(headers: Mapping[bytes, str]) -> bool:
    """Return True if a request carries a session with data, or a valid API token.

    `headers` maps lower-case names to values.
    """
    close_old_connections()
    try:
        scheme, _space, token = headers.get(b"authorization", "").partition(" ")
        if scheme.lower() == "bearer" and api_tokens.find_holder(token.strip()):
            return True
        return _has_session(headers.get(b"cookie", ""))
    finally:
        close_old_connections()


def _has_session(cookies: str) -> bool:
    try:
        cookie = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if cookie is None:
        return False
    store = import_module(settings.SESSION_ENGINE).SessionStore(cookie.value)
    return bool(list(store.keys()))
