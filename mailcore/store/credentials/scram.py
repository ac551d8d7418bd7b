"""The stored keys with which SCRAM-SHA-256 is verified without the password (RFC 5802, RFC 7677).

They are stored beside the argon2 hash, and made whenever a password is set or first used. All passwords of an account,
app passwords too, share one salt, since the server sends it before it can know which password the client has. Unknown
names get a constant salt too, so that clients cannot find out which accounts exist.
"""

import contextlib
import hashlib

from django.conf import settings

from mailcore import conf
from mailcore.wire.auth import sasl
from mailcore.wire.auth.sasl import ScramKeys


def is_offered() -> bool:
    """Return True if the administrator enabled SCRAM (auth_scram_iterations)."""
    return conf.current().auth_scram_iterations > 0


def account_salt(address: str) -> bytes:
    """Return the salt for an address, which need not exist."""
    key = hashlib.sha512(settings.SECRET_KEY.encode()).digest()
    return hashlib.blake2b(b"scram\0" + address.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()


def parse_keys(stored: str) -> list[ScramKeys]:
    """Parse the keys in a database column."""
    return [sasl.parse_keys(keys) for keys in stored.split()]


def make_keys(address: str, existing: str, *spellings: str) -> str:
    """Return the keys, as stored, of one password in each spelling.

    They use the salt and the iterations of the keys the account has (`existing`), if it has any. Return "" if SCRAM is
    off or cannot encode the password.
    """
    if not is_offered():
        return ""
    salt, iterations = account_salt(address), conf.current().auth_scram_iterations
    if existing:
        first = parse_keys(existing)[0]
        salt, iterations = first.salt, first.iterations
    with contextlib.suppress(ValueError):
        return " ".join(str(sasl.make_keys(spelling, salt, iterations)) for spelling in spellings)
    return ""
