"""Which mailboxes somebody on this machine waits for news of: memory that all server processes share.

A change of a mailbox is told to every server process by a datagram, which wakes it; for most messages nobody
waits. So a process notes here what its sessions watch, and whoever has news looks here first. What is
noted may say "somebody" too often (mailboxes share places, a process that died may stand here until
the supervisor clears it), never too seldom. A process the supervisor did not start does not share the
memory: it speaks without asking, and nobody counts on it to be asked.
"""

import mmap
from collections.abc import Iterable

from mailcore import rate_counters

_PLACES = 8192
_NOBODY = bytes(rate_counters.PROCESSES)

_memory = mmap.mmap(-1, _PLACES * rate_counters.PROCESSES)  # place by place, one byte for each process
_own: dict[int, int] = {}  # place → how often this process watches something there


def watch(mailbox_id: int) -> None:
    """A session of this process waits for news of this mailbox from now on; look at it once more after this."""
    place = mailbox_id % _PLACES
    _own[place] = _own.get(place, 0) + 1
    _memory[place * rate_counters.PROCESSES + rate_counters.current_process()] = 1


def unwatch(mailbox_id: int) -> None:
    """One `watch` is over."""
    place = mailbox_id % _PLACES
    _own[place] = _own.get(place, 0) - 1
    if _own[place] <= 0:
        del _own[place]
        _memory[place * rate_counters.PROCESSES + rate_counters.current_process()] = 0


def clear_process(process: int) -> None:
    """Said by the supervisor: that child is gone."""
    for place in range(_PLACES):
        _memory[place * rate_counters.PROCESSES + process] = 0


def has_watcher(mailbox_ids: Iterable[int]) -> bool:
    """May there be a session that waits for news of one of these? Of accounts (negative ids) always."""
    if not rate_counters.current_process():
        return True
    for mailbox_id in mailbox_ids:
        if mailbox_id < 0:
            return True
        start = mailbox_id % _PLACES * rate_counters.PROCESSES
        if _memory[start : start + rate_counters.PROCESSES] != _NOBODY:
            return True
    return False
