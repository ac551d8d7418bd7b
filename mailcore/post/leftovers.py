"""Content files of letters that are done, kept until the names of their messages are durable.

Making a Maildir's names durable costs a flush of the disk, so it is done once a second for all mailboxes
that got something, not once a letter. Until then the queue still has each letter's content: after a
power failure `recover`, at a courier's start, puts back what lost its name.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from time import monotonic

from mailcore import log
from mailcore.models import Queued, Recipient
from mailcore.post import files
from mailcore.post.queue import Claim, Duty, Settlement
from mailcore.store import delivery, locks, maildir
from mailcore.terms import Arrival, Local

_KEEP = 1.0  # seconds
_MANY = 2000  # letters
_AT_ONCE = 500  # letters looked up at once


class Leftovers:
    def __init__(self) -> None:
        self._letters: list[int] = []
        self._directories: set[str] = set()
        self._since = 0.0

    def add(self, settlements: Iterable[Settlement], paths: Iterable[str]) -> None:
        """These letters have been settled (and committed), these files placed."""
        self._directories.update(os.path.dirname(path) for path in paths)
        done = [settlement.claim.id for settlement in settlements if settlement.done]
        if done and not self._letters:
            self._since = monotonic()
        self._letters += done

    @property
    def due(self) -> bool:
        return bool(self._letters) and (monotonic() - self._since > _KEEP or len(self._letters) > _MANY)

    @property
    def waiting(self) -> bool:
        return bool(self._letters)

    def clear(self) -> None:
        """Make the names durable, then remove the files."""
        letters, self._letters = self._letters, []
        directories, self._directories = self._directories, set()
        maildir.sync_directories(name for name in directories if os.path.isdir(name))
        for letter_id in letters:
            files.remove(letter_id)


def recover(arrival: Callable[[Claim, Duty, Local], Arrival], locate: Callable[[str], Local | None]) -> int:
    """Files whose letters are done: put back messages that lost their names, then remove the files.

    `arrival` and `locate` are the courier's own ways to name a message and to find an account. One process does it at
    a time; couriers that are at work just now are not disturbed. What cannot be put back is logged, and its row and
    file stay. Returns how many letters there were.
    """
    with locks.exclusive("recovery"):
        present, recovered = list(files.present()), 0
        for start in range(0, len(present), _AT_ONCE):
            done = Queued.objects.filter(id__in=present[start : start + _AT_ONCE], state=Queued.State.DONE)
            recovered += _recover(list(done), arrival, locate)
        return recovered


def _recover(
    letters: Sequence[Queued], arrival: Callable[[Claim, Duty, Local], Arrival], locate: Callable[[str], Local | None]
) -> int:
    """One flush of the disk for each mailbox of them all."""
    changed: set[str] = set()
    whole: list[Queued] = []
    for letter in letters:
        try:
            arrivals = _arrivals([letter], arrival, locate)
            changed |= delivery.restore(arrivals, partial(_restoring, letter))
        except OSError as error:
            log.write("qmgr", f"{letter}: error: delivered message cannot be put back: {error}")
        else:
            whole.append(letter)
    try:
        maildir.sync_directories(changed)
    except OSError as error:
        log.write("qmgr", f"error: recovered messages are not durable yet: {error}")
        return 0
    for letter in whole:
        files.remove(letter.id)
    return len(whole)


def _restoring(letter: Queued) -> None:
    """A message lost its name. OSError: the queue's copy is no better."""
    if damage := _claim(letter).damage():
        raise OSError(damage)
    log.write("qmgr", f"{letter}: delivered message lost its name in a power failure and is put back")


def _arrivals(
    done: Iterable[Queued],
    arrival: Callable[[Claim, Duty, Local], Arrival],
    locate: Callable[[str], Local | None],
) -> list[Arrival]:
    arrivals: list[Arrival] = []
    for letter in done:
        claim = _claim(letter)
        for row in Recipient.objects.filter(letter=letter, state=Recipient.State.DELIVERED, relay="virtual"):
            way = locate(row.address)
            if way is not None:
                arrivals.append(arrival(claim, Duty(row.id, row.address, row.original, row.final), way))
    return arrivals


def _claim(letter: Queued) -> Claim:
    return Claim(
        id=letter.id,
        sender=letter.sender,
        size=letter.size,
        trace_size=letter.trace_size,
        received_us=letter.received_us,
        claimed_us=0,
        first=False,
        message_id=letter.message_id,
        login=letter.login,
        envelope_id=letter.envelope_id,
        return_full=letter.return_full,
        eight_bit=letter.eight_bit,
        smtputf8=letter.smtputf8,
        checksum=letter.checksum,
    )
