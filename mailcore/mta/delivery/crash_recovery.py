"""Content files of messages that are done, kept until the names of their messages are durable.

Making a Maildir's names durable costs a flush of the disk, so it is done once a second for all mailboxes
that got something, not once a message. Until then the queue still has each message's content: after a
power failure `recover`, at a courier's start, puts back what lost its name.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic

from mailcore.logs import writer
from mailcore.models import Queued, Recipient
from mailcore.mta.queue import content_files
from mailcore.mta.queue.states import Claim, DeliveryResult, PendingRecipient
from mailcore.store.mailbox import insert
from mailcore.store.maildir import maildir_files
from mailcore.store.processes import locks
from mailcore.values import Arrival, Local

_KEEP = 1.0  # seconds
_MANY = 2000  # messages
_AT_ONCE = 500  # messages looked up at once


class PendingCleanup:
    def __init__(self) -> None:
        self._messages: list[int] = []
        self._directories: set[str] = set()
        self._since = 0.0

    def add(self, settlements: Iterable[DeliveryResult], paths: Iterable[str]) -> None:
        """These messages have been settled (and committed), these files placed."""
        self._directories.update(os.path.dirname(path) for path in paths)
        done = [settlement.claim.id for settlement in settlements if settlement.is_complete]
        if done and not self._messages:
            self._since = monotonic()
        self._messages += done

    @property
    def due(self) -> bool:
        return bool(self._messages) and (monotonic() - self._since > _KEEP or len(self._messages) > _MANY)

    @property
    def waiting(self) -> bool:
        return bool(self._messages)

    def clear(self) -> None:
        """Make the names durable, then remove the files."""
        messages, self._messages = self._messages, []
        directories, self._directories = self._directories, set()
        maildir_files.sync_directories(name for name in directories if os.path.isdir(name))
        for queued_id in messages:
            content_files.remove_content(queued_id)


def recover_after_crash(
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival], locate: Callable[[str], Local | None]
) -> int:
    """Files whose messages are done: put back messages that lost their names, then remove the files.

    `arrival` and `locate` are the courier's own ways to name a message and to find an account. One process does it at
    a time; couriers that are at work just now are not disturbed. What cannot be put back is logged, and its row and
    file stay. Returns how many messages there were.
    """
    with locks.exclusive("recovery"):
        present, recovered = list(content_files.stored_ids()), 0
        for start in range(0, len(present), _AT_ONCE):
            done = Queued.objects.filter(id__in=present[start : start + _AT_ONCE], state=Queued.State.DONE)
            recovered += _recover(list(done), arrival, locate)
        return recovered


def _recover(
    messages: Sequence[Queued],
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival],
    locate: Callable[[str], Local | None],
) -> int:
    """One flush of the disk for each mailbox of them all."""
    changed: set[str] = set()
    whole: list[Queued] = []
    for message in messages:
        try:
            arrivals = _rebuild_arrivals([message], arrival, locate)
            changed |= insert.restore_files(arrivals, partial(_restoring, message))
        except OSError as error:
            writer.write("qmgr", f"{message}: error: delivered message cannot be put back: {error}")
        else:
            whole.append(message)
    try:
        maildir_files.sync_directories(changed)
    except OSError as error:
        writer.write("qmgr", f"error: recovered messages are not durable yet: {error}")
        return 0
    for message in whole:
        content_files.remove_content(message.id)
    return len(whole)


def _restoring(message: Queued) -> None:
    """A message lost its name. OSError: the queue's copy is no better."""
    if damage := _claim_of(message).damage():
        raise OSError(damage)
    writer.write("qmgr", f"{message}: delivered message lost its name in a power failure and is put back")


def _rebuild_arrivals(
    done: Iterable[Queued],
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival],
    locate: Callable[[str], Local | None],
) -> list[Arrival]:
    arrivals: list[Arrival] = []
    for message in done:
        claim = _claim_of(message)
        for row in Recipient.objects.filter(queued=message, state=Recipient.State.DELIVERED, relay="virtual"):
            way = locate(row.address)
            if way is not None:
                arrivals.append(arrival(claim, PendingRecipient(row.id, row.address, row.original, row.final), way))
    return arrivals


def _claim_of(message: Queued) -> Claim:
    return Claim(
        id=message.id,
        sender=message.sender,
        size=message.size,
        trace_size=message.trace_size,
        received_us=message.received_us,
        claimed_us=0,
        first=False,
        message_id=message.message_id,
        login=message.login,
        envelope_id=message.envelope_id,
        return_full=message.return_full,
        eight_bit=message.eight_bit,
        smtputf8=message.smtputf8,
        checksum=message.checksum,
    )
