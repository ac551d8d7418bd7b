"""Messages that wait because their sender said so (FUTURERELEASE, RFC 4865), and their owner's way to call them
back: for the programs and the screens. Nobody calls back what is somebody else's or on its way already."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models, transaction

from mailcore.logs import writer
from mailcore.models import Queued
from mailcore.mta.queue import content_files, states


@dataclass(frozen=True, slots=True)
class ScheduledMessage:
    """A message that waits. Microseconds, bytes."""

    id: int
    release_us: int
    size: int
    message_id: str
    recipients: tuple[str, ...]

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"


def list_scheduled(owner: str) -> Iterator[ScheduledMessage]:
    """The messages that `owner` (the address of the account that handed them in) can call back, next first."""
    for row in _own_scheduled(owner).prefetch_related("recipients").order_by("due_us"):
        recipients = tuple(each.original for each in row.recipients.all())
        yield ScheduledMessage(row.id, row.due_us, row.size, row.message_id, recipients)


def recall(queue_id: str, owner: str) -> bytes | None:
    """Take a message out of the queue for good; returns its content. None: there is none of this owner's that
    still waits by that name."""
    try:
        queued_id = content_files.parse_id(queue_id)
    except ValueError:
        return None
    with transaction.atomic():
        row = _own_scheduled(owner).select_for_update().filter(id=queued_id).first()
        if row is None:
            return None
        if content_files.damage(queued_id, row.trace_size + row.size, row.checksum):
            return None  # a courier sets it aside when it is due
        with open(content_files.content_path(queued_id), "rb") as file:
            file.seek(row.trace_size)
            content = file.read()
        states.remove([queued_id])
    writer.write("recall", f"{row}: called back by {owner}")
    return content


def _own_scheduled(owner: str) -> models.QuerySet[Queued]:
    """Never tried, and not due yet: no courier looks at it."""
    return Queued.unsettled.filter(login=owner.lower(), state=Queued.State.INCOMING, due_us__gt=states.now_us())
