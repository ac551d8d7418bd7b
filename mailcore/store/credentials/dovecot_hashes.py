"""Password hashes imported from another mail system, in Dovecot's notation: "{SSHA512}…", "{CRYPT}$6$…".

Named in Django's PASSWORD_HASHERS. They are checked, never made: after a log-in the hash is replaced by this system's
own. In the database they begin with "dovecot$".
"""

import base64
import binascii
import ctypes
import hashlib
import hmac
import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import argon2
from django.contrib.auth.hashers import BasePasswordHasher
from django.utils.translation import gettext as _

from mailcore.wire.auth import sasl

_NOTATION = re.compile(r"\{([A-Za-z0-9-]+)(?:\.(hex|b64|base64))?\}(.*)", re.ASCII | re.IGNORECASE | re.DOTALL)


def encode_hash(stored: str, default: str = "CRYPT") -> str:
    """Return a hash in Dovecot's notation as the database stores it; one without "{SCHEME}" has the default scheme.

    Raise ValueError for an unknown scheme or an invalid hash.
    """
    if not _NOTATION.fullmatch(stored):
        stored = f"{{{default}}}{stored}"
    scheme, encoding, data = _split_scheme(stored)
    if scheme not in _SCHEMES:
        raise ValueError(f"unknown password scheme {scheme}")
    if not data or not _validate(scheme, encoding, data):
        raise ValueError(f"invalid {scheme} hash")
    return f"{DovecotHasher.algorithm}${stored}"


def scram_keys(stored: str) -> str:
    """Return the SCRAM keys in a hash in Dovecot's notation, or "" for other schemes."""
    scheme, _encoding, data = _split_scheme(stored)
    return data if scheme == "SCRAM-SHA-256" else ""


def cleartext_password(stored: str) -> str | None:
    """Return the password itself if it was stored as clear text, else None."""
    scheme, encoding, data = _split_scheme(stored)
    return _decode_plain(encoding, data) if scheme in _CLEAR and data else None


class DovecotHasher(BasePasswordHasher):
    """Django password hasher that only checks; its hashes always need an update."""

    algorithm = "dovecot"

    def verify(self, password: str, encoded: str) -> bool:
        scheme, encoding, data = _split_scheme(encoded.partition("$")[2])
        try:
            return _SCHEMES[scheme](password.encode(), encoding, data)
        except (KeyError, ValueError):
            return False

    def encode(self, password: str, salt: str) -> str:
        raise NotImplementedError("Dovecot hashes are only verified, never created")

    def must_update(self, encoded: str) -> bool:
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Do nothing: each hash is checked once and then replaced."""

    def safe_summary(self, encoded: str) -> dict[Any, Any]:
        return {_("algorithm"): f"{self.algorithm} {_split_scheme(encoded.partition('$')[2])[0]}"}


def _split_scheme(stored: str) -> tuple[str, str, str]:
    """Return (scheme in upper case, encoding "", "hex" or "b64", hash)."""
    match = _NOTATION.fullmatch(stored)
    if match is None:
        return "", "", stored
    scheme, encoding, data = match.groups()
    return scheme.upper(), (encoding or "").lower().replace("base64", "b64"), data


# --- The schemes ----------------------------------------------------------------------------------


def _decode_hash(encoding: str, data: str, default_encoding: str) -> bytes:
    """Decode a hash; raise ValueError if it is not in that encoding."""
    try:
        return bytes.fromhex(data) if (encoding or default_encoding) == "hex" else base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError("bad encoding") from error


def _decode_plain(encoding: str, data: str) -> str:
    return _decode_hash(encoding, data, "").decode() if encoding else data


def _check_plain(password: bytes, encoding: str, data: str) -> bool:
    return hmac.compare_digest(password, _decode_plain(encoding, data).encode())


def _check_digest(
    algorithm: str, default_encoding: str, salted: bool, password: bytes, encoding: str, data: str
) -> bool:
    """Check a digest of the password and of the salt appended to it."""
    raw = _decode_hash(encoding, data, default_encoding)
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size
    if len(raw) < size or (len(raw) > size) is not salted:
        raise ValueError("wrong length")
    computed = hashlib.new(algorithm, password + raw[size:], usedforsecurity=False).digest()
    return hmac.compare_digest(computed, raw[:size])


def _check_pbkdf2(password: bytes, _encoding: str, data: str) -> bool:
    """Check PBKDF2 with SHA-1, written $1$salt$rounds$hex."""
    _empty, version, salt, rounds, digest = data.split("$")
    if version != "1":
        raise ValueError("unknown version")
    computed = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), int(rounds))
    return hmac.compare_digest(computed, bytes.fromhex(digest))


def _check_argon2(password: bytes, _encoding: str, data: str) -> bool:
    try:
        return argon2.PasswordHasher().verify(data, password)
    except argon2.exceptions.InvalidHashError as error:
        raise ValueError("invalid argon2 hash") from error
    except argon2.exceptions.VerificationError:
        return False


def _check_scram(password: bytes, _encoding: str, data: str) -> bool:
    keys = sasl.parse_keys(data)
    computed_keys = sasl.make_keys(password.decode(), keys.salt, keys.iterations)
    return hmac.compare_digest(computed_keys.stored_key, keys.stored_key)


@lru_cache(maxsize=1)
def _crypt_library() -> ctypes.CDLL | None:
    """Load the system's crypt(3); libxcrypt supports every scheme that a shadow file may hold, old and new."""
    for name in ("libcrypt.so.1", "libcrypt.so.2", None):
        try:
            library = ctypes.CDLL(name)
            library.crypt_r.restype = ctypes.c_char_p
            library.crypt_r.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
        except (OSError, AttributeError):
            continue
        return library
    return None


_CRYPT_DATA = 1 << 18  # bytes; no library's struct crypt_data is larger


def _check_crypt(prefix: str, password: bytes, _encoding: str, data: str) -> bool:
    library = _crypt_library()
    if library is None or not data.startswith(prefix) or b"\0" in password:
        raise ValueError("unsupported crypt hash")
    computed_keys = library.crypt_r(password, data.encode(), ctypes.create_string_buffer(_CRYPT_DATA))
    if computed_keys is None or computed_keys.startswith(b"*"):
        raise ValueError("unsupported crypt hash")
    return hmac.compare_digest(computed_keys, data.encode())


_Check = Callable[[bytes, str, str], bool]

_SCHEMES: dict[str, _Check] = {
    "PLAIN": _check_plain,
    "CLEAR": _check_plain,
    "CLEARTEXT": _check_plain,
    "PLAIN-MD5": partial(_check_digest, "md5", "hex", False),
    "LDAP-MD5": partial(_check_digest, "md5", "b64", False),
    "SMD5": partial(_check_digest, "md5", "b64", True),
    "SHA": partial(_check_digest, "sha1", "b64", False),
    "SHA1": partial(_check_digest, "sha1", "b64", False),
    "SSHA": partial(_check_digest, "sha1", "b64", True),
    "SHA256": partial(_check_digest, "sha256", "b64", False),
    "SSHA256": partial(_check_digest, "sha256", "b64", True),
    "SHA512": partial(_check_digest, "sha512", "b64", False),
    "SSHA512": partial(_check_digest, "sha512", "b64", True),
    "CRYPT": partial(_check_crypt, ""),
    "DES-CRYPT": partial(_check_crypt, ""),
    "MD5": partial(_check_crypt, "$1$"),
    "MD5-CRYPT": partial(_check_crypt, "$1$"),
    "SHA256-CRYPT": partial(_check_crypt, "$5$"),
    "SHA512-CRYPT": partial(_check_crypt, "$6$"),
    "BLF-CRYPT": partial(_check_crypt, "$2"),
    "PBKDF2": _check_pbkdf2,
    "ARGON2I": _check_argon2,
    "ARGON2ID": _check_argon2,
    "SCRAM-SHA-256": _check_scram,
}
_CLEAR = frozenset(("PLAIN", "CLEAR", "CLEARTEXT"))


def _validate(scheme: str, encoding: str, data: str) -> bool:
    try:
        _SCHEMES[scheme](b"", encoding, data)
    except ValueError:
        return False
    return True
