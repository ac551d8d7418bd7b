"""Who comes how often: counters that all processes of this machine share (Postfix's anvil).

Used by the servers for connections and messages of a client, by `store.login` for failed sign-ins.
The table is memory that the supervisor makes and its children inherit: counting is a few microseconds,
asks no other process, and is forgotten when the system stops. A process that the supervisor did not
start (a command, a web server of its own) counts for itself.

Limits are the callers', from `conf`; here is only arithmetic. Keys are kept as keyed hashes of eight
bytes, never as text. When the table is full, a new counter takes the place of the one with the fewest events, the
oldest of these, of those that hold nothing: a flood of new keys drives out itself, not the counters of attackers.
Where all neighbours hold something there is no room, and the answer is NO_ROOM, above every limit.
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

PROCESSES = 128  # that can hold something at once; the supervisor numbers its children
_ENTRIES = 32768  # a power of two
_PROBES = 16  # neighbours looked at for a key, or for room for it
NO_ROOM = 0x7FFFFFFF
_HEAD = struct.Struct("<QdIfI")  # key's hash, window's start, events in it, window's length, held at once
_STRIDE = 32 + 2 * PROCESSES  # the head, then what each process holds


class _Table:
    """Open addressing over shared memory; every access under one lock, which dies with its holder."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, _ENTRIES * _STRIDE)
        self.process = 0
        self._secret = secrets.token_bytes(32)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (a lock between processes, as long as they live)
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
        """Return the offset of this key's entry; one is made where there is none. None: no room, or none and not
        to be made."""
        digest = hashlib.blake2b(f"{kind}\0{key}".encode("utf-8", "surrogateescape"), key=self._secret, digest_size=8)
        mark = int.from_bytes(digest.digest(), "little") or 1
        free, weakest = None, (0, 0.0)
        for probe in range(_PROBES):
            offset = (mark + probe) % _ENTRIES * _STRIDE
            found, start, events, unit, held = _HEAD.unpack_from(self.memory, offset)
            if found == mark:
                return offset
            strength = (0, 0.0) if start + unit <= now else (events, start)
            if not held and (free is None or strength < weakest):
                free, weakest = offset, strength
        if not make:
            return None
        if free is not None:
            _HEAD.pack_into(self.memory, free, mark, now, 0, 0.0, 0)
        return free

    def holds(self, offset: int, process: int, change: int) -> int:
        """Change what a process holds of an entry; the number held by all."""
        mark, start, events, unit, held = _HEAD.unpack_from(self.memory, offset)
        at = offset + 32 + 2 * process
        mine = int.from_bytes(self.memory[at : at + 2], "little")
        change = max(-mine, min(change, 0xFFFF - mine))
        self.memory[at : at + 2] = (mine + change).to_bytes(2, "little")
        _HEAD.pack_into(self.memory, offset, mark, start, events, unit, held + change)
        return int(held + change)


_table = _Table()


def join_as(process: int) -> None:
    """Said by a child of the supervisor: what I enter is held under this number (0 is the supervisor's own)."""
    _table.process = process % PROCESSES


def current_process() -> int:
    """The number this process joined under; 0 if it never did."""
    return _table.process


def clear_process(process: int) -> None:
    """Said by the supervisor: that child is gone, and with it all it held."""
    with _table.locked():
        for offset in range(0, _ENTRIES * _STRIDE, _STRIDE):
            at = offset + 32 + 2 * process
            mine = int.from_bytes(_table.memory[at : at + 2], "little")
            if mine:
                _table.holds(offset, process, -mine)


def reset() -> None:
    """Forget everything."""
    with _table.locked():
        _table.memory[:] = bytes(_ENTRIES * _STRIDE)


def increment_held(kind: str, key: str) -> int:
    """One more is held at once under this key, such as a connection; how many that makes, with this one."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic())
        return NO_ROOM if offset is None else _table.holds(offset, _table.process, 1)


def decrement_held(kind: str, key: str) -> None:
    """One that `enter` counted is over."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic(), make=False)
        if offset is not None:
            _table.holds(offset, _table.process, -1)


def count_events(kind: str, key: str, unit: float, events: int = 1) -> int:
    """Count events; how many there were, with these, in the window of `unit` seconds that the first began.
    With `events=0` it only tells."""
    now = time.monotonic()
    with _table.locked():
        offset = _table.find(kind, key, now, make=events > 0)
        if offset is None:
            return NO_ROOM if events else 0
        mark, start, before, _, held = _HEAD.unpack_from(_table.memory, offset)
        if start + unit <= now:
            start, before = now, 0
        _HEAD.pack_into(_table.memory, offset, mark, start, min(before + events, 0xFFFFFFFF), unit, held)
        return int(before) + events


def clear_events(kind: str, key: str) -> None:
    """The events under this key never happened: its owner signed in."""
    with _table.locked():
        offset = _table.find(kind, key, time.monotonic(), make=False)
        if offset is not None:
            mark, _, _, _, held = _HEAD.unpack_from(_table.memory, offset)
            _HEAD.pack_into(_table.memory, offset, mark, 0.0, 0, 0.0, held)
