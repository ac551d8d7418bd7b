"""Letters that wait because their sender said so (FUTURERELEASE, RFC 4865), and their owner's way to call them
back: for the programs and the screens. Nobody calls back what is somebody else's or on its way already."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models, transaction

from mailcore import log
from mailcore.models import Queued
from mailcore.post import files, queue


@dataclass(frozen=True, slots=True)
class Kept:
    """A letter that waits. Microseconds, octets."""

    id: int
    release_us: int
    size: int
    message_id: str
    recipients: tuple[str, ...]

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"


def waiting(owner: str) -> Iterator[Kept]:
    """The letters that `owner` (the address of the account that handed them in) can call back, next first."""
    for row in _own(owner).prefetch_related("recipients").order_by("due_us"):
        recipients = tuple(each.original for each in row.recipients.all())
        yield Kept(row.id, row.due_us, row.size, row.message_id, recipients)


def call_back(queue_id: str, owner: str) -> bytes | None:
    """Take a letter out of the queue for good; returns its content. None: there is none of this owner's that
    still waits by that name."""
    try:
        letter_id = files.parse_id(queue_id)
    except ValueError:
        return None
    with transaction.atomic():
        row = _own(owner).select_for_update().filter(id=letter_id).first()
        if row is None:
            return None
        if files.damage(letter_id, row.trace_size + row.size, row.checksum):
            return None  # a courier sets it aside when it is due
        with open(files.path(letter_id), "rb") as file:
            file.seek(row.trace_size)
            content = file.read()
        queue.remove([letter_id])
    log.write("recall", f"{row}: called back by {owner}")
    return content


def _own(owner: str) -> models.QuerySet[Queued]:
    """Never tried, and not due yet: no courier looks at it."""
    return Queued.unsettled.filter(login=owner.lower(), state=Queued.State.INCOMING, due_us__gt=queue.now_us())
