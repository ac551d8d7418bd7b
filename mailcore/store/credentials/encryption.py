"""Secrets that must be read again, kept in the database so that a copy of it alone tells nobody anything: sealed under
SECRET_KEY, which lies beside the database and not in it.

Passwords are hashed instead (`passwords`, `credentials`); this is for what somebody has to be shown: the key of an
authenticator app, a DKIM key, the key of a browser's session.
"""

import base64
import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class DecryptionError(Exception):
    """Sealed under another SECRET_KEY, or not by us."""


@lru_cache(maxsize=16)
def _fernet(purpose: str, secret_key: str) -> Fernet:
    person = purpose.encode()[:64]
    key = hashlib.blake2b(person, key=hashlib.sha512(secret_key.encode()).digest(), digest_size=32).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def encrypt(purpose: str, text: str) -> str:
    """`purpose` keeps what was sealed for one thing from being taken for another."""
    return _fernet(purpose, settings.SECRET_KEY).encrypt(text.encode()).decode()


def decrypt(purpose: str, sealed: str) -> str:
    """Raises Unreadable."""
    try:
        return _fernet(purpose, settings.SECRET_KEY).decrypt(sealed.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise DecryptionError(purpose) from error
