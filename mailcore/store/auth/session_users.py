"""The sender of a request, as far as its header tells: is somebody signed in?

Called by `mailcore.asgi` before it takes a large body. It opens nothing: the page asks again, in full.
"""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from importlib import import_module

from django.conf import settings
from django.db import close_old_connections

from mailcore.store.credentials import api_tokens


def is_signed_in(headers: Mapping[bytes, str]) -> bool:
    """Return True for a session that has something in it, or the token of a script. `headers`: by lower-case name."""
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
        found = SimpleCookie(cookies).get(settings.SESSION_COOKIE_NAME)
    except CookieError:
        return False
    if found is None:
        return False
    store = import_module(settings.SESSION_ENGINE).SessionStore(found.value)
    return bool(list(store.keys()))
