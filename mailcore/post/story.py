"""Where is my mail? What happened to letters, from the queue's rows and the events, as values in order of time.

Asked by `maillog --story` and the screens, by queue id, Message-ID or address. A letter's story is there
for queue_history_time after it was settled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from mailcore.models import Attempt, Event, Queued, Recipient
from mailcore.post import files

_AT_MOST = 1000  # letters of one answer


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened, microseconds; `address` of the recipient it happened to, "" for the letter."""

    at_us: int
    kind: str  # received, expanded, delivered, deferred, failed, removed, or an event's kind
    address: str = ""
    dsn: str = ""
    relay: str = ""
    text: str = ""


@dataclass(slots=True)
class Story:
    """One letter: what the envelope says, where it is now, and what happened, oldest first."""

    queue_id: str
    state: str
    sender: str
    message_id: str
    size: int
    moments: list[Moment] = field(default_factory=list)


def find(text: str) -> list[Story]:
    """The stories of the letters that `text` names: a queue id, a Message-ID (with or without <>), or a
    sender's or recipient's address. Newest letter last, at most 1,000."""
    text = text.strip().strip("<>")
    wanted = Q(message_id=text)
    try:
        wanted |= Q(id=files.parse_id(text))
    except ValueError:
        if "@" in text:
            # The index on addresses first, then the keys it gave.
            named = Recipient.objects.filter(Q(address=text.lower()) | Q(original=text.lower()))
            ids = list(named.order_by("-letter_id").values_list("letter_id", flat=True).distinct()[:_AT_MOST])
            wanted |= Q(id__in=ids) | Q(sender=text)
    rows = list(Queued.objects.filter(wanted).order_by("-id")[:_AT_MOST])
    return list(_told(rows[::-1]))


def _told(rows: Sequence[Queued]) -> Iterator[Story]:
    stories = {}
    for row in rows:
        story = Story(f"{row.id:X}", row.state, row.sender, row.message_id, row.size)
        by = f"{row.client_name}[{row.client_address}]" if row.client_address else ""
        story.moments.append(Moment(row.received_us, "received", text=f"{row.protocol} {by}".strip()))
        stories[row.id] = story
    chosen = list(stories)
    for recipient in Recipient.objects.filter(letter_id__in=chosen).order_by("id"):
        stories[recipient.letter_id].moments += _settled(recipient)
    attempts = Attempt.objects.filter(recipient__letter_id__in=chosen).select_related("recipient")
    for attempt in attempts.order_by("id"):
        if attempt.status == "deferred":  # how others ended, the recipient's row says
            stories[attempt.recipient.letter_id].moments.append(
                Moment(attempt.at_us, "deferred", attempt.recipient.address, attempt.dsn, attempt.relay, attempt.reason)
            )
    by_message_id = {story.message_id: story for story in stories.values() if story.message_id}
    for event in Event.objects.filter(message_id__in=by_message_id).select_related("account").order_by("id"):
        way = f"{event.mailbox} → {event.target}" if event.target else event.mailbox
        moment = Moment(event.at_us, event.kind, event.account.address, text=way)
        by_message_id[event.message_id].moments.append(moment)
    for story in stories.values():
        story.moments.sort(key=lambda moment: moment.at_us)
        yield story


def _settled(recipient: Recipient) -> Iterator[Moment]:
    if recipient.settled_us is not None:
        yield Moment(
            recipient.settled_us,
            recipient.state,
            recipient.address,
            recipient.dsn,
            recipient.relay,
            recipient.reason or (f"for {recipient.original}" if recipient.original != recipient.address else ""),
        )
