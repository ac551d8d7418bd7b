"""Queue ids that no two processes deal twice, on however many machines.

A queue id counts ticks of 2 µs since 2020, so it rises with time; its last eight bits are a number that the process
has leased in the database. A lease is a range of ids: `reserve` moves the end of a number's range ahead by a guarded
UPDATE, and whoever moved it owns what lies between the old end and the new one. So ranges never overlap, whatever the
clocks of machines say and however often they are set back; a process that was killed leaves a range that nobody uses.

Processes that take in messages all day call `reserve_ahead` when they start and now and then (`is_low`); they then deal
ids without asking anybody. All others reserve one id at a time.
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
_TICKS = 500_000  # a second; a number is dealt 1,953 ids a second, more run ahead of the clock
_AHEAD = 600 * _TICKS  # reserved at once: a process that was killed keeps its number from others for ten minutes
_ATTEMPTS = 100  # other processes may be quicker to lease a number


def first_id_at(at_us: int) -> int:
    """Return the least queue id that can be dealt at this time (µs)."""
    return _aligned(at_us / 1_000_000)


def _aligned(seconds: float) -> int:
    return max(int((seconds - _EPOCH) * _TICKS) & -NUMBERS, NUMBERS)


class Generator:
    """The queue ids of one process; safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = Lock()  # for these
        self._number = -1
        self._last = 0  # of its ids, without the number
        self._until = 0  # the end of its range
        self._reserving = Lock()

    def take(self) -> int | None:
        """Return the next id of the reserved range, None where none is left. Never asks the database."""
        with self._lock:
            # A clock that was set back, or far ahead, does not matter: ids go on from the last one.
            wanted = max(_aligned(self._clock()), self._last + NUMBERS)
            if wanted >= self._until:
                wanted = self._last + NUMBERS
            if self._number < 0 or wanted >= self._until:
                return None
            self._last = wanted
            return wanted + self._number

    def is_low(self) -> bool:
        """Is less than half of what is reserved at once still ahead?"""
        with self._lock:
            return self._until - max(self._last, min(_aligned(self._clock()), self._until)) < _AHEAD // 2

    def reserve(self) -> None:
        """Reserve ids for the time to come; call outside a transaction. DatabaseError: nothing has changed."""
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
        """Give back what is left of the range: the process ends."""
        with self._reserving, self._lock:
            number, self._number = self._number, -1
            if number >= 0:
                _move(number, self._until, self._last + NUMBERS)
            self._last = self._until = 0


def _lease(now: int, length: int) -> tuple[int, int, int]:
    """Reserve ids of some number: (the number, the range's begin, its end)."""
    for _ in range(_ATTEMPTS):
        ends = dict(QueueIdRange.objects.values_list("number", "reserved_until"))
        free = [number for number in range(NUMBERS) if ends.get(number, 0) <= now]
        # More processes than numbers: they share them, and some ids run ahead of the clock.
        number = random.choice(free) if free else min(ends, key=ends.__getitem__)
        old = ends.get(number, 0)
        begin = max(now, old)
        if number not in ends:
            QueueIdRange.objects.bulk_create([QueueIdRange(number=number)], ignore_conflicts=True)
        if _move(number, old, begin + length):
            return number, begin, begin + length
    raise TemporaryFault("no queue id can be reserved")


def _move(number: int, old: int, new: int) -> bool:
    """Move the end of a number's range. False: somebody else has moved it since."""
    with transaction.atomic():
        own = QueueIdRange.objects.filter(number=number, reserved_until=old)
        return bool(own.update(reserved_until=new, holder=instance.name()))


_generator = Generator()


def _forget() -> None:
    global _generator
    _generator = Generator()


os.register_at_fork(after_in_child=_forget)  # what the parent reserved is the parent's


def next_id() -> int:
    """Return a queue id that nobody else has. Without reserved ones this asks the database; inside a transaction the
    id is the transaction's: rolled back, it may be dealt again."""
    found = _generator.take()
    if found is None:
        number, begin, _ = _lease(_aligned(time.time()), NUMBERS)
        found = begin + number
    return found


def next_reserved() -> int:
    """Return a queue id at once, for event loops. TemporaryFault: none is reserved, for the database is away."""
    found = _generator.take()
    if found is None:
        raise TemporaryFault("no queue id is reserved")
    return found


def is_low() -> bool:
    """Is it time for `reserve_ahead`?"""
    return _generator.is_low()


def reserve_ahead() -> None:
    """See that this process has queue ids for the minutes to come. DatabaseError."""
    if _generator.is_low():
        _generator.reserve()


def release() -> None:
    """Give back what this process has reserved. DatabaseError."""
    _generator.release()
