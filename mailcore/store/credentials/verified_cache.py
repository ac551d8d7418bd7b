"""Passwords that were checked a moment ago, so that phones which sign in all day cost no argon2.

Each is kept for auth_cache_ttl seconds as a hash under a key that only this process has. The account's
stored hash is part of it, so a changed password is forgotten by itself.
"""

import hashlib
import secrets
from collections import OrderedDict
from threading import Lock
from time import monotonic

from mailcore import conf


class VerifiedCache:
    LIMIT = 20_000

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def _mark(self, account_id: int, stored: str, password: str) -> bytes:
        mark = hashlib.blake2b(b"%d\0" % account_id, key=self._key, digest_size=32)
        mark.update(stored.encode() + b"\0" + password.encode("utf-8", "surrogatepass"))
        return mark.digest()

    def knows(self, account_id: int, stored: str, password: str) -> bool:
        return self._until.get(self._mark(account_id, stored, password), 0.0) > monotonic()

    def add(self, account_id: int, stored: str, password: str) -> None:
        ttl = conf.current().auth_cache_ttl
        if not ttl:
            return
        with self._lock:
            self._until[self._mark(account_id, stored, password)] = monotonic() + ttl
            if len(self._until) > self.LIMIT:
                self._until.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._until.clear()
