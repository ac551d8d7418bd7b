"""A cache of passwords that were verified recently, so that mail programs that log in all day cost no argon2.

Each entry lives auth_cache_ttl seconds, as a hash under a key that only this process has. The account's stored hash is
part of it, so a changed password is no longer found.
"""

import hashlib
import secrets
from collections import OrderedDict
from threading import Lock
from time import monotonic

from mailcore import conf


class VerifiedCache:
    """Passwords that were verified in the last auth_cache_ttl seconds; safe to use from several threads."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._until: OrderedDict[bytes, float] = OrderedDict()
        self._lock = Lock()

    def _digest(self, account_id: int, stored: str, password: str) -> bytes:
        state = hashlib.blake2b(b"%d\0" % account_id, key=self._key, digest_size=32)
        state.update(stored.encode() + b"\0" + password.encode("utf-8", "surrogatepass"))
        return state.digest()

    def contains(self, account_id: int, stored: str, password: str) -> bool:
        return self._until.get(self._digest(account_id, stored, password), 0.0) > monotonic()

    def add(self, account_id: int, stored: str, password: str) -> None:
        ttl = conf.current().auth_cache_ttl
        if not ttl:
            return
        with self._lock:
            self._until[self._digest(account_id, stored, password)] = monotonic() + ttl
            if len(self._until) > self.LIMIT:
                self._until.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._until.clear()
