"""Recall of scheduled messages (FUTURERELEASE, RFC 4865) by their senders, for the programs and the screens.

A message of another account, or one whose delivery has begun, cannot be recalled.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from django.db import models, transaction

from mailcore.logs import writer
from mailcore.models import Queued
from mailcore.mta.queue import content_files, states


@dataclass(frozen=True, slots=True)
class ScheduledMessage:
    """A scheduled message. Times in microseconds, sizes in bytes."""

    id: int
    release_us: int
    size: int
    message_id: str
    recipients: tuple[str, ...]

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"


def list_scheduled(owner: str) -> Iterator[ScheduledMessage]:
    """Yield the messages that the account with address `owner` submitted and can recall, the next due first."""
    for row in _own_scheduled(owner).prefetch_related("recipients").order_by("due_us"):
        recipients = tuple(each.original for each in row.recipients.all())
        yield ScheduledMessage(row.id, row.due_us, row.size, row.message_id, recipients)


def recall(queue_id: str, owner: str) -> bytes | None:
    """Remove a message from the queue and return its content.

    Return None if this owner has no such message, or it is not scheduled any more.
    """
    try:
        queued_id = content_files.parse_id(queue_id)
    except ValueError:
        return None
    with transaction.atomic():
        row = _own_scheduled(owner).select_for_update().filter(id=queued_id).first()
        if row is None:
            return None
        if content_files.damage(queued_id, row.trace_size + row.size, row.checksum):
            return None  # A courier marks it corrupt when it is due.
        with open(content_files.content_path(queued_id), "rb") as file:
            file.seek(row.trace_size)
            content = file.read()
        states.remove([queued_id])
    writer.write("recall", f"{row}: recalled by {owner}")
    return content


def _own_scheduled(owner: str) -> models.QuerySet[Queued]:
    """Return the owner's messages that were never tried and are not due: no courier claims them."""
    return Queued.unsettled.filter(login=owner.lower(), state=Queued.State.INCOMING, due_us__gt=states.now_us())
