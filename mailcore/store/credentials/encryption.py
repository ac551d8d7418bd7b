"""Encryption of secrets in the database under SECRET_KEY, so that a copy of the database alone reveals none.

For secrets that must be read again: the key of an authenticator app, a DKIM key, the key of a browser's session.
Passwords are hashed instead (`hasher`, `issued_passwords`). SECRET_KEY is stored beside the database, not in it.
"""

import base64
import hashlib
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings


class DecryptionError(Exception):
    """Raised for a text that was encrypted under another SECRET_KEY, or not by `encrypt`."""


@lru_cache(maxsize=16)
def _fernet(purpose: str, secret_key: str) -> Fernet:
    person = purpose.encode()[:64]
    key = hashlib.blake2b(person, key=hashlib.sha512(secret_key.encode()).digest(), digest_size=32).digest()
    return Fernet(base64.urlsafe_b64encode(key))


def encrypt(purpose: str, text: str) -> str:
    """Encrypt a text; a text encrypted for one `purpose` cannot be decrypted for another."""
    return _fernet(purpose, settings.SECRET_KEY).encrypt(text.encode()).decode()


def decrypt(purpose: str, encrypted: str) -> str:
    """Decrypt a text that `encrypt` made for this purpose; raise DecryptionError if that fails."""
    try:
        return _fernet(purpose, settings.SECRET_KEY).decrypt(encrypted.encode()).decode()
    except (InvalidToken, ValueError) as error:
        raise DecryptionError(purpose) from error
