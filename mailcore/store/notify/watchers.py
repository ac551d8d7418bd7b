"""A table in shared memory of the mailboxes that sessions on this machine wait for.

A change of a mailbox is sent to every server process as a datagram, which wakes it; most changes interest no session.
So each process records here which mailboxes its sessions watch, and a process with a notification checks this table
first. The table may report a watcher where there is none (mailboxes share slots, and the slots of a dead process count
until the supervisor clears them), but never misses one. A process that the supervisor did not start does not share the
memory: it always sends its notifications.
"""

import mmap
from collections.abc import Iterable

from mailcore import rate_counters

_SLOTS = 8192
_NO_WATCHERS = bytes(rate_counters.PROCESSES)

_memory = mmap.mmap(-1, _SLOTS * rate_counters.PROCESSES)  # slot by slot, one byte for each process
_own_counts: dict[int, int] = {}  # slot → number of sessions of this process that watch a mailbox in it


def watch(mailbox_id: int) -> None:
    """Register a session of this process for changes of a mailbox.

    The caller must look at the mailbox once more afterwards: a change just before the call sent no notification.
    """
    slot = mailbox_id % _SLOTS
    _own_counts[slot] = _own_counts.get(slot, 0) + 1
    _memory[slot * rate_counters.PROCESSES + rate_counters.current_process()] = 1


def unwatch(mailbox_id: int) -> None:
    """Undo one call of `watch`."""
    slot = mailbox_id % _SLOTS
    _own_counts[slot] = _own_counts.get(slot, 0) - 1
    if _own_counts[slot] <= 0:
        del _own_counts[slot]
        _memory[slot * rate_counters.PROCESSES + rate_counters.current_process()] = 0


def clear_process(process: int) -> None:
    """Clear the entries of a child process that has ended; called by the supervisor."""
    for slot in range(_SLOTS):
        _memory[slot * rate_counters.PROCESSES + process] = 0


def has_watcher(mailbox_ids: Iterable[int]) -> bool:
    """Return True if a session may be waiting for changes of one of these mailboxes.

    Negative ids (accounts) are always watched.
    """
    if not rate_counters.current_process():
        return True
    for mailbox_id in mailbox_ids:
        if mailbox_id < 0:
            return True
        start = mailbox_id % _SLOTS * rate_counters.PROCESSES
        if _memory[start : start + rate_counters.PROCESSES] != _NO_WATCHERS:
            return True
    return False
