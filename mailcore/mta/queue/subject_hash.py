"""Finding a message by its subject without keeping the subject: a mark of it stands in the message's row. Who has the
database but not SECRET_KEY can try no words against it."""

import hashlib
from functools import cache

from django.conf import settings

from mailcore.wire.message.message_scan import base_subject


@cache
def _key(secret_key: str) -> bytes:
    return hashlib.blake2b(b"subject\0" + secret_key.encode(), digest_size=32).digest()


def hash_subject(base: str) -> int:
    """63 bits of a base subject's keyed hash; 0 of none."""
    if not base:
        return 0
    digest = hashlib.blake2b(base.encode("utf-8", "replace"), key=_key(settings.SECRET_KEY), digest_size=8).digest()
    return int.from_bytes(digest) >> 1 or 1


def hash_typed_subject(words: str) -> int:
    """Of a subject as a person types it: "Re:" and the like make no difference, nor do capitals."""
    return hash_subject(base_subject(words))
