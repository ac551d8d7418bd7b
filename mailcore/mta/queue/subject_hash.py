"""Search of messages by subject without storing it: the message's row has a keyed hash.

Without SECRET_KEY the database does not allow guessing subjects.
"""

import hashlib
from functools import cache

from django.conf import settings

from mailcore.wire.message.message_scan import base_subject


@cache
def _key(secret_key: str) -> bytes:
    return hashlib.blake2b(b"subject\0" + secret_key.encode(), digest_size=32).digest()


def hash_subject(base: str) -> int:
    """Return 63 bits of a base subject's keyed hash; 0 if it is empty."""
    if not base:
        return 0
    digest = hashlib.blake2b(base.encode("utf-8", "replace"), key=_key(settings.SECRET_KEY), digest_size=8).digest()
    return int.from_bytes(digest) >> 1 or 1


def hash_typed_subject(text: str) -> int:
    """Return the hash of a subject as a person types it, without "Re:" and the like and regardless of case."""
    return hash_subject(base_subject(text))
