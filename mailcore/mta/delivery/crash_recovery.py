"""Removal of content files after delivery, and recovery of messages that a power failure cut off.

Making the file names in a Maildir durable costs a flush of the disk, so it is done once a second for all mailboxes that
received messages, not once per message. Until then the queue still has the content of each message: after a power
failure `recover_after_crash`, called when a courier starts, restores messages whose names were lost.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic

from mailcore.logs import writer
from mailcore.models import Queued, Recipient
from mailcore.mta.queue import content_files
from mailcore.mta.queue.claim import Claim, DeliveryResult, PendingRecipient
from mailcore.store.mailbox import insert
from mailcore.store.maildir import maildir_files
from mailcore.store.processes import locks
from mailcore.values import Arrival, Local

_FLUSH_INTERVAL = 1.0  # Seconds between two flushes.
_FLUSH_COUNT = 2000  # Messages after which a flush does not wait for the interval.
_BATCH = 500  # Messages per query.


class PendingCleanup:
    def __init__(self) -> None:
        self._messages: list[int] = []
        self._directories: set[str] = set()
        self._since = 0.0

    def add(self, results: Iterable[DeliveryResult], paths: Iterable[str]) -> None:
        """Add messages whose results are committed, and the paths of the files written for them."""
        self._directories.update(os.path.dirname(path) for path in paths)
        done = [result.claim.id for result in results if result.is_complete]
        if done and not self._messages:
            self._since = monotonic()
        self._messages += done

    @property
    def due(self) -> bool:
        return bool(self._messages) and (
            monotonic() - self._since > _FLUSH_INTERVAL or len(self._messages) > _FLUSH_COUNT
        )

    @property
    def waiting(self) -> bool:
        return bool(self._messages)

    def clear(self) -> None:
        """Make the file names durable, then remove the content files."""
        messages, self._messages = self._messages, []
        directories, self._directories = self._directories, set()
        maildir_files.sync_directories(name for name in directories if os.path.isdir(name))
        for queued_id in messages:
            content_files.remove_content(queued_id)


def recover_after_crash(
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival], locate: Callable[[str], Local | None]
) -> int:
    """Restore delivered messages whose file names were lost, then remove their content files. Return their number.

    `arrival` and `locate` are the courier's functions that build an arrival and find an account. One process runs this
    at a time; couriers at work are not disturbed. A message that cannot be restored is logged; its row and content file
    stay.
    """
    with locks.exclusive("recovery"):
        present, recovered = list(content_files.stored_ids()), 0
        for start in range(0, len(present), _BATCH):
            done = Queued.objects.filter(id__in=present[start : start + _BATCH], state=Queued.State.DONE)
            recovered += _recover(list(done), arrival, locate)
        return recovered


def _recover(
    messages: Sequence[Queued],
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival],
    locate: Callable[[str], Local | None],
) -> int:
    """Restore several messages with one flush of the disk per mailbox, and return how many are safe."""
    changed: set[str] = set()
    restored: list[Queued] = []
    for message in messages:
        try:
            arrivals = _rebuild_arrivals([message], arrival, locate)
            changed |= insert.restore_files(arrivals, partial(_check_and_log, message))
        except OSError as error:
            writer.write("qmgr", f"{message}: error: cannot restore delivered message: {error}")
        else:
            restored.append(message)
    try:
        maildir_files.sync_directories(changed)
    except OSError as error:
        writer.write("qmgr", f"error: fsync of recovered messages failed: {error}")
        return 0
    for message in restored:
        content_files.remove_content(message.id)
    return len(restored)


def _check_and_log(message: Queued) -> None:
    """Log that a message is restored. Raise OSError if the queue's copy is damaged too."""
    if damage := _claim_of(message).damage():
        raise OSError(damage)
    writer.write("qmgr", f"{message}: delivered message restored after a power failure")


def _rebuild_arrivals(
    done: Iterable[Queued],
    arrival: Callable[[Claim, PendingRecipient, Local], Arrival],
    locate: Callable[[str], Local | None],
) -> list[Arrival]:
    arrivals: list[Arrival] = []
    for message in done:
        claim = _claim_of(message)
        for row in Recipient.objects.filter(queued=message, state=Recipient.State.DELIVERED, relay="virtual"):
            route = locate(row.address)
            if route is not None:
                arrivals.append(arrival(claim, PendingRecipient(row.id, row.address, row.original, row.final), route))
    return arrivals


def _claim_of(message: Queued) -> Claim:
    return Claim(
        id=message.id,
        sender=message.sender,
        size=message.size,
        trace_size=message.trace_size,
        received_us=message.received_us,
        claimed_us=0,
        is_first_attempt=False,
        message_id=message.message_id,
        login=message.login,
        envelope_id=message.envelope_id,
        return_full=message.return_full,
        eight_bit=message.eight_bit,
        smtputf8=message.smtputf8,
        checksum=message.checksum,
    )
