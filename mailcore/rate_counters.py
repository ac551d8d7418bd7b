"""Rate and connection counters that all processes of this machine share (Postfix's anvil).

Used by the servers for connections and messages of a client, and by `store.auth.throttle` for failed log-ins. The table
is memory that the supervisor allocates and its children inherit: counting takes a few microseconds, needs no other
process, and is lost when the system stops. A process that the supervisor did not start (a command, a separate web
server) counts alone.

Limits are the callers', from `conf`; this module only counts. Keys are stored as keyed hashes of eight bytes, never as
text. When the table is full, a new counter replaces the one with the fewest events, the oldest of these, unless it
counts something held: a flood of new keys replaces itself, not the counters of attackers. If all neighbours hold
something there is no slot, and the result is NO_ROOM, above every limit.
"""

import fcntl
import hashlib
import mmap
import secrets
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

PROCESSES = 128  # largest number of processes; the supervisor numbers its children
_ENTRIES = 32768  # a power of two
_PROBES = 16  # neighbouring slots searched for a key or a free slot
NO_ROOM = 0x7FFFFFFF
_HEAD = struct.Struct("<QdIfI")  # hash of the key, start of the window, events in it, length of the window, number held
_STRIDE = 32 + 2 * PROCESSES  # the head, then the number that each process holds


class _Table:
    """A hash table with open addressing in shared memory; all access is under one lock, released if its holder dies."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _ENTRIES * _STRIDE)
        self.process = 0
        self._secret = secrets.token_bytes(32)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (a lock between processes, open as long as they live)
        self._threads = Lock()

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._threads:
            fcntl.lockf(self._file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN)

    def find(self, kind: str, key: str, now: float, *, make: bool = True) -> int | None:
        """Return the offset of this key's entry, creating it if needed and `make`.

        Return None if there is no slot, or no entry and `make` is false.
        """
        digest = hashlib.blake2b(f"{kind}\0{key}".encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8)
        key_hash = int.from_bytes(digest.digest(), "little") or 1
        free, weakest = None, (0, 0.0)
        for probe in range(_PROBES):
            offset = (key_hash + probe) % _ENTRIES * _STRIDE
            stored_hash, start, events, unit, held = _HEAD.unpack_from(self.memory, offset)
            if stored_hash == key_hash:
                return offset
            strength = (0, 0.0) if start + unit <= now else (events, start)
            if not held and (free is None or strength < weakest):
                free, weakest = offset, strength
        if not make:
            return None
        if free is not None:
            _HEAD.pack_into(self.memory, free, key_hash, now, 0, 0.0, 0)
        return free

    def change_held(self, offset: int, process: int, change: int) -> int:
        """Change the number a process holds of an entry, and return the number held by all."""
        key_hash, start, events, unit, held = _HEAD.unpack_from(self.memory, offset)
        position = offset + 32 + 2 * process
        own_count = int.from_bytes(self.memory[position : position + 2], "little")
        change = max(-own_count, min(change, 0xFFFF - own_count))
        self.memory[position : position + 2] = (own_count + change).to_bytes(2, "little")
        _HEAD.pack_into(self.memory, offset, key_hash, start, events, unit, held + change)
        return int(held + change)


_table = _Table()


def join_as(process: int) -> None:
    """Set the number of this child of the supervisor, under which it holds counters (0 is the supervisor's own)."""
    _table.process = process % PROCESSES


def current_process() -> int:
    """Return the number set by `join_as`, or 0."""
    return _table.process


def clear_process(process: int) -> None:
    """Release everything held by a child process that has ended; called by the supervisor."""
    with _table.locked():
        for offset in range(0, _ENTRIES * _STRIDE, _STRIDE):
            position = offset + 32 + 2 * process
            own_count = int.from_bytes(_table.memory[position : position + 2], "little")
            if own_count:
                _table.change_held(offset, process, -own_count)


def reset() -> None:
    """Clear all counters."""
    with _table.locked():
        _table.memory[:] = bytes(_ENTRIES * _STRIDE)


def increment_held(kind: str, key: str) -> int:
    """Count one more item held under this key, such as a connection, and return the new number."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic())
        return NO_ROOM if offset is None else _table.change_held(offset, _table.process, 1)


def decrement_held(kind: str, key: str) -> None:
    """Undo one `increment_held`."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic(), make=False)
        if offset is not None:
            _table.change_held(offset, _table.process, -1)


def count_events(kind: str, key: str, unit: float, events: int = 1) -> int:
    """Count events and return their number in the current window, which lasts `unit` seconds from its first event.

    With `events=0` return the number without counting.
    """
    now = time.monotonic()
    with _table.locked():
        offset = _table.find(kind, key, now, make=events > 0)
        if offset is None:
            return NO_ROOM if events else 0
        key_hash, start, before, _, held = _HEAD.unpack_from(_table.memory, offset)
        if start + unit <= now:
            start, before = now, 0
        _HEAD.pack_into(_table.memory, offset, key_hash, start, min(before + events, 0xFFFFFFFF), unit, held)
        return int(before) + events


def clear_events(kind: str, key: str) -> None:
    """Clear the events under this key, after its owner logged in."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic(), make=False)
        if offset is not None:
            key_hash, _, _, _, held = _HEAD.unpack_from(_table.memory, offset)
            _HEAD.pack_into(_table.memory, offset, key_hash, 0.0, 0, 0.0, held)
