"""Queue ids that are unique over all processes and machines.

A queue id counts ticks of 2 µs since 2020, so it rises with time; its last eight bits are a number leased by the
process in the database. A lease is a range of ids: `reserve` moves the end of a number's range ahead by a guarded
UPDATE, and the process whose UPDATE succeeds owns the ids between the old end and the new one. So ranges never overlap,
however far the machines' clocks differ or are set back; a killed process leaves a range that is never used.

Long-running processes that receive messages call `reserve_ahead` when they start and again when `is_low`; they then
assign ids without a query. All others reserve one id at a time.
"""

import os
import random
import time
from collections.abc import Callable
from threading import Lock

from django.db import transaction

from mailcore.models import QueueIdRange
from mailcore.store.processes import instance
from mailcore.values import TemporaryFault

NUMBERS = 256
# Twelve hexadecimal digits until 2037, about as long as Postfix's.
_EPOCH = 1577836800
_TICKS = 500_000  # Per second. A number has 1,953 ids a second; more run ahead of the clock.
_AHEAD = 600 * _TICKS  # Reserved at once. A killed process withholds its number from others for ten minutes.
_ATTEMPTS = 100  # Other processes may lease a number first.


def first_id_at(at_us: int) -> int:
    """Return the lowest queue id that can be assigned at this time (µs)."""
    return _aligned(at_us / 1_000_000)


def _aligned(seconds: float) -> int:
    return max(int((seconds - _EPOCH) * _TICKS) & -NUMBERS, NUMBERS)


class Generator:
    """The queue ids of one process; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()  # Guards the three below.
        self._number = -1
        self._last = 0  # Last id assigned, without the number.
        self._until = 0  # The end of the range.
        self._reserving = Lock()

    def take(self) -> int | None:
        """Return the next id of the reserved range, None if it is used up. Never queries the database."""
        with self._lock:
            # A clock that was set back, or far ahead, does no harm: ids continue after the last one.
            candidate = max(_aligned(self._clock()), self._last + NUMBERS)
            if candidate >= self._until:
                candidate = self._last + NUMBERS
            if self._number < 0 or candidate >= self._until:
                return None
            self._last = candidate
            return candidate + self._number

    def is_low(self) -> bool:
        """Return True if less than half of a full reservation is left."""
        with self._lock:
            return self._until - max(self._last, min(_aligned(self._clock()), self._until)) < _AHEAD // 2

    def reserve(self) -> None:
        """Reserve ids for the next minutes; call outside a transaction. If it raises DatabaseError nothing changed."""
        with self._reserving:
            now = _aligned(self._clock())
            number, last, until = self._number, self._last, self._until
            goal = max(now, last) + _AHEAD
            if number >= 0 and goal > until and _move(number, until, goal):
                with self._lock:
                    self._until = goal
            elif number < 0 or goal > until:
                number, begin, until = _lease(now, _AHEAD)
                with self._lock:
                    self._number, self._last, self._until = number, begin - NUMBERS, until

    def release(self) -> None:
        """Return the rest of the range, when the process ends."""
        with self._reserving, self._lock:
            number, self._number = self._number, -1
            if number >= 0:
                _move(number, self._until, self._last + NUMBERS)
            self._last = self._until = 0


def _lease(now: int, length: int) -> tuple[int, int, int]:
    """Lease a range of `length` ids of any number; return (number, begin, end)."""
    for _ in range(_ATTEMPTS):
        ends = dict(QueueIdRange.objects.values_list("number", "reserved_until"))
        free = [number for number in range(NUMBERS) if ends.get(number, 0) <= now]
        # More processes than numbers: they share numbers, and some ids run ahead of the clock.
        number = random.choice(free) if free else min(ends, key=ends.__getitem__)
        old = ends.get(number, 0)
        begin = max(now, old)
        if number not in ends:
            QueueIdRange.objects.bulk_create([QueueIdRange(number=number)], ignore_conflicts=True)
        if _move(number, old, begin + length):
            return number, begin, begin + length
    raise TemporaryFault("no queue id can be reserved")


def _move(number: int, old: int, new: int) -> bool:
    """Move the end of a number's range. Return False if another process has moved it."""
    with transaction.atomic():
        own = QueueIdRange.objects.filter(number=number, reserved_until=old)
        return bool(own.update(reserved_until=new, holder=instance.name()))


_generator = Generator()


def _reset() -> None:
    global _generator
    _generator = Generator()


os.register_at_fork(after_in_child=_reset)  # The range belongs to the parent process.


def next_id() -> int:
    """Return a unique queue id; without reserved ones this queries the database.

    Inside a transaction the id depends on it: after a rollback it may be assigned again.
    """
    queue_id = _generator.take()
    if queue_id is None:
        number, begin, _ = _lease(_aligned(time.time()), NUMBERS)
        queue_id = begin + number
    return queue_id


def next_reserved() -> int:
    """Return a queue id without a query, for event loops. Raise TemporaryFault if none is reserved."""
    queue_id = _generator.take()
    if queue_id is None:
        raise TemporaryFault("no queue id is reserved")
    return queue_id


def is_low() -> bool:
    """Return True if `reserve_ahead` is due."""
    return _generator.is_low()


def reserve_ahead() -> None:
    """Reserve queue ids for the next minutes if few are left. Raise DatabaseError."""
    if _generator.is_low():
        _generator.reserve()


def release() -> None:
    """Return the ids this process has reserved. Raise DatabaseError."""
    _generator.release()
