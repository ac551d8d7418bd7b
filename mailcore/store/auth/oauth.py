"""A judge of OAuth tokens (setting OAUTH_VERIFIER): asks the server that issued them (RFC 7662).

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

_ANSWER_LIMIT = 65536  # bytes


def introspect_token(token: str) -> str | None:
    """The address the token was issued for; None: it is none in force, or the server does not say."""
    url = urlsplit(settings.OAUTH_INTROSPECTION_URL)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=conf.current().oauth_timeout)
    secret = f"{unquote(url.username or '')}:{unquote(url.password or '')}".encode()
    headers = {
        "Authorization": "Basic " + base64.b64encode(secret).decode(),
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }
    try:
        connection.request("POST", url.path or "/", urlencode({"token": token}), headers)
        answer = connection.getresponse()
        told = json.loads(answer.read(_ANSWER_LIMIT)) if answer.status == 200 else {}
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        log.error("token introspection failed: %s: %s", url.hostname, type(error).__name__)
        return None
    finally:
        connection.close()
    if not isinstance(told, dict) or told.get("active") is not True:
        return None
    found = told.get("email") or told.get("username")
    return found if isinstance(found, str) else None
