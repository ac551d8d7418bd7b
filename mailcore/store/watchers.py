"""Which mailboxes somebody on this machine waits for news of: memory that all server processes share.

A change of a mailbox is told to every server process by a datagram, which wakes it; for most letters nobody
waits. So a process notes here what its sessions watch, and whoever has news looks here first. What is
noted may say "somebody" too often (mailboxes share places, a process that died may stand here until
the supervisor clears it), never too seldom. A process the supervisor did not start does not share the
memory: it speaks without asking, and nobody counts on it to be asked.
"""

import mmap
from collections.abc import Iterable

from mailcore import anvil

_PLACES = 8192
_NOBODY = bytes(anvil.PROCESSES)

_memory = mmap.mmap(-1, _PLACES * anvil.PROCESSES)  # place by place, one octet for each process
_own: dict[int, int] = {}  # place → how often this process watches something there


def watch(mailbox_id: int) -> None:
    """A session of this process waits for news of this mailbox from now on; look at it once more after this."""
    place = mailbox_id % _PLACES
    _own[place] = _own.get(place, 0) + 1
    _memory[place * anvil.PROCESSES + anvil.process()] = 1


def unwatch(mailbox_id: int) -> None:
    """One `watch` is over."""
    place = mailbox_id % _PLACES
    _own[place] = _own.get(place, 0) - 1
    if _own[place] <= 0:
        del _own[place]
        _memory[place * anvil.PROCESSES + anvil.process()] = 0


def clear(process: int) -> None:
    """Said by the supervisor: that child is gone."""
    for place in range(_PLACES):
        _memory[place * anvil.PROCESSES + process] = 0


def somebody(mailbox_ids: Iterable[int]) -> bool:
    """May there be a session that waits for news of one of these? Of accounts (negative ids) always."""
    if not anvil.process():
        return True
    for mailbox_id in mailbox_ids:
        if mailbox_id < 0:
            return True
        start = mailbox_id % _PLACES * anvil.PROCESSES
        if _memory[start : start + anvil.PROCESSES] != _NOBODY:
            return True
    return False
