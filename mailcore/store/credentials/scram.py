"""The keys by which SCRAM-SHA-256 is answered without knowing a password (RFC 5802, 7677).

Kept beside the argon2 hash, made whenever a password is set or first used. All passwords of an account,
those made for programs too, share one salt, for the server names it before it knows which one the client
has. Names that open nothing have a salt as well, and always the same: nobody learns who has mail here.
"""

import contextlib
import hashlib

from django.conf import settings

from mailcore import conf
from mailcore.wire.auth import sasl
from mailcore.wire.auth.sasl import ScramKeys


def is_offered() -> bool:
    """Does the administrator want keys kept, and SCRAM offered?"""
    return conf.current().auth_scram_iterations > 0


def account_salt(address: str) -> bytes:
    """The salt of an account's keys, or of nobody's."""
    key = hashlib.sha512(settings.SECRET_KEY.encode()).digest()
    return hashlib.blake2b(b"scram\0" + address.encode("utf-8", "surrogatepass"), key=key, digest_size=16).digest()


def parse_keys(stored: str) -> list[ScramKeys]:
    """The keys in a column of the database."""
    return [sasl.parse_keys(keys) for keys in stored.split()]


def make_keys(address: str, kept: str, *spellings: str) -> str:
    """Keys, as stored, of one password in each way it is typed; with the salt and the iterations of the keys the
    account has (`kept`), if it has any. "": SCRAM is not wanted, or cannot carry this password."""
    if not is_offered():
        return ""
    salt, iterations = account_salt(address), conf.current().auth_scram_iterations
    if kept:
        before = parse_keys(kept)[0]
        salt, iterations = before.salt, before.iterations
    with contextlib.suppress(ValueError):
        return " ".join(str(sasl.make_keys(spelling, salt, iterations)) for spelling in spellings)
    return ""
