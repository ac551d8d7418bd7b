"""Verifier of OAuth tokens (setting OAUTH_VERIFIER) by introspection at the server that issued them (RFC 7662).

OAUTH_INTROSPECTION_URL names its introspection endpoint, with this mail system's client id and secret:
https://id:secret@login.example.org/introspect. The address is the token's "email", else its "username".
"""

import base64
import http.client
import json
import logging
from urllib.parse import unquote, urlencode, urlsplit

from django.conf import settings

from mailcore import conf

log = logging.getLogger("mailcore.oauth")

_RESPONSE_LIMIT = 65536  # bytes


def introspect_token(token: str) -> str | None:
    """Return the address a token was issued for, or None if the token is not valid or the server names no address."""
    url = urlsplit(settings.OAUTH_INTROSPECTION_URL)
    connection_class = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = connection_class(url.hostname or "", url.port, timeout=conf.current().oauth_timeout)
    secret = f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()
    headers = {
        "Authorization": "Basic " + base64.b64encode(secret).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    try:
        connection.request("POST", url.path or "/", urlencode({"token": token}), headers)
        response = connection.getresponse()
        claims = json.loads(response.read(_RESPONSE_LIMIT)) if response.status == 200 else {}
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        log.error("token introspection failed: %s: %s", url.hostname, type(error).__name__)
        return None
    finally:
        connection.close()
    if not isinstance(claims, dict) or claims.get("active") is not True:
        return None
    address = claims.get("email") or claims.get("username")
    return address if isinstance(address, str) else None
