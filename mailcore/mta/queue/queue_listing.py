"""The messages in the queue as values, for `postqueue`, `postsuper` and the screens.

Read page by page, so that the first lines appear at once and memory use stays small however long the queue is. A
message that changes state during the listing may appear twice or not at all, as in Postfix.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db.models import Q

from mailcore.models import Queued, Recipient
from mailcore.mta.queue.states import MICRO, now_us

State = Queued.State

# Postfix's order; corrupt messages are listed separately.
QUEUES: tuple[str, ...] = (State.ACTIVE, State.INCOMING, State.DEFERRED, State.HOLD)
ALL_QUEUES: tuple[str, ...] = (*QUEUES, State.CORRUPT)

_FIRST_PAGE, _PAGE = 50, 1000  # Messages per page: few at first, so that the first lines appear at once.


@dataclass(frozen=True, slots=True)
class PendingAddress:
    """A recipient still to be served; `reason` is that of the last attempt, "" before the first."""

    address: str
    original: str
    reason: str


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One message in the queue. Sizes in bytes, times in microseconds; `sender` "" is the null sender."""

    id: int
    queue: str
    arrived_us: int
    due_us: int
    size: int
    sender: str
    recipients: tuple[PendingAddress, ...]

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    @property
    def arrived_at(self) -> int:
        return self.arrived_us // MICRO


_COLUMNS = ("id", "state", "received_us", "due_us", "size", "sender")


def list_entries(queues: Sequence[str] = QUEUES) -> Iterator[QueueEntry]:
    """Yield every message in these queues, queue by queue, by due time."""
    size = _FIRST_PAGE
    for name in queues:
        due, last = -1, -1
        while True:
            # By the index (state, due_us): every page costs equally little.
            after = Q(due_us__gte=due) & (Q(due_us__gt=due) | Q(id__gt=last))
            rows = Queued.unsettled.filter(after, state=name).order_by("due_us", "id").values_list(*_COLUMNS)[:size]
            page = list(rows)
            if not page:
                break
            yield from _with_recipients(page)
            last, _, _, due, _, _ = page[-1]
            size = _PAGE


def _with_recipients(page: Sequence[tuple[int, str, int, int, int, str]]) -> Iterator[QueueEntry]:
    waiting: dict[int, list[PendingAddress]] = defaultdict(list)
    rows = Recipient.objects.filter(queued_id__in=[row[0] for row in page], state=Recipient.State.WAITING)
    for queued_id, address, original, reason in rows.order_by("id").values_list(
        "queued_id", "address", "original", "reason"
    ):
        waiting[queued_id].append(PendingAddress(address, original, reason))
    for queued_id, name, arrived, due, size, sender in page:
        if name == State.INCOMING and due > now_us():
            text = f"scheduled by its sender for {datetime.fromtimestamp(due // MICRO).astimezone():%c}"
            waiting[queued_id] = [replace(each, reason=text) for each in waiting[queued_id]]
        yield QueueEntry(queued_id, name, arrived, due, size, sender, tuple(waiting[queued_id]))


def list_ids(queues: Sequence[str]) -> list[int]:
    """Return the ids of the messages in these queues now."""
    return list(Queued.unsettled.filter(state__in=queues).order_by("id").values_list("id", flat=True))


def count_entries(queue_name: str) -> int:
    return Queued.unsettled.filter(state=queue_name).count()


def deferred_ids_for(domain: str) -> list[int]:
    """Return the ids of deferred messages with a pending recipient in this domain."""
    rows = Recipient.objects.filter(
        state=Recipient.State.WAITING, queued__state=State.DEFERRED, address__iendswith=f"@{domain}"
    )
    return list(rows.values_list("queued_id", flat=True).distinct())
