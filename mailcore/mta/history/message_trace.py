"""Where is my mail? What happened to messages, and where they are now, as values in order of time.

Asked by `maillog --story` and the screens, by queue id, Message-ID, address, subject or time. What the queue did with a
message stands in its rows (there for queue_history_time), what its owners did with it in the events
(events_retention), where it lies and whether it was read in the index.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from mailcore.models import Attempt, Event, Message, Queued, Recipient
from mailcore.mta.queue import content_files, subject_hash
from mailcore.wire.imap.system_flags import SEEN

_AT_MOST = 1000  # messages of one answer


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One thing that happened, microseconds; `address` of the recipient it happened to, "" for the message."""

    at_us: int
    kind: str  # received, expanded, delivered, deferred, failed, removed, or an event's kind
    address: str = ""
    dsn: str = ""
    relay: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class MessageLocation:
    """Where a copy of a message is now."""

    address: str  # the account's
    mailbox: str
    is_read: bool


@dataclass(slots=True)
class MessageTrace:
    """One message: what the envelope says, what happened, oldest first, and where it is now."""

    queue_id: str
    state: str
    sender: str
    message_id: str
    size: int
    recipients: list[str] = field(default_factory=list)
    moments: list[TraceEvent] = field(default_factory=list)
    places: list[MessageLocation] = field(default_factory=list)


def find_traces(text: str = "", *, since_us: int | None = None, until_us: int | None = None) -> list[MessageTrace]:
    """The stories of the messages that `text` names: a queue id, a Message-ID (with or without <>), a sender's or
    recipient's address, or a whole subject, "" for all; of those that came at or after `since_us` and before
    `until_us`. Newest message last, at most 1,000 (the newest)."""
    rows = Queued.objects.filter(_matching_rows(text.strip().strip("<>")))
    if since_us is not None:
        rows = rows.filter(received_us__gte=since_us)
    if until_us is not None:
        rows = rows.filter(received_us__lt=until_us)
    return list(_build_traces(list(rows.order_by("-id")[:_AT_MOST])[::-1]))


def _matching_rows(text: str) -> Q:
    if not text:
        return Q()
    wanted = Q(message_id=text)
    with contextlib.suppress(ValueError):
        return wanted | Q(id=content_files.parse_id(text))
    if "@" not in text or " " in text:
        # No index: a look through the week that the queue remembers.
        same = Queued.objects.filter(subject_mark=subject_hash.hash_typed_subject(text)).exclude(subject_mark=0)
        return wanted | Q(id__in=list(same.order_by("-id").values_list("id", flat=True)[:_AT_MOST]))
    # The index on addresses first, then the keys it gave.
    named = Recipient.objects.filter(Q(address=text.lower()) | Q(original=text.lower()))
    ids = list(named.order_by("-queued_id").values_list("queued_id", flat=True).distinct()[:_AT_MOST])
    return wanted | Q(id__in=ids) | Q(sender=text)


def _build_traces(rows: Sequence[Queued]) -> Iterator[MessageTrace]:
    stories = {}
    for row in rows:
        story = MessageTrace(f"{row.id:X}", row.state, row.sender, row.message_id, row.size)
        by = f"{row.client_name}[{row.client_address}]" if row.client_address else ""
        story.moments.append(TraceEvent(row.received_us, "received", text=f"{row.protocol} {by}".strip()))
        stories[row.id] = story
    chosen = list(stories)
    for recipient in Recipient.objects.filter(queued_id__in=chosen).order_by("id"):
        stories[recipient.queued_id].recipients.append(recipient.address)
        stories[recipient.queued_id].moments += _final_event(recipient)
    attempts = Attempt.objects.filter(recipient__queued_id__in=chosen).select_related("recipient")
    for attempt in attempts.order_by("id"):
        if attempt.status == "deferred":  # how others ended, the recipient's row says
            stories[attempt.recipient.queued_id].moments.append(
                TraceEvent(
                    attempt.at_us, "deferred", attempt.recipient.address, attempt.dsn, attempt.relay, attempt.reason
                )
            )
    _add_messages({story.message_id: story for story in stories.values() if story.message_id})
    for story in stories.values():
        story.moments.sort(key=lambda moment: moment.at_us)
        yield story


def _add_messages(by_message_id: Mapping[str, MessageTrace]) -> None:
    """What owners did with their copies, and where those are."""
    for event in Event.objects.filter(message_id__in=by_message_id).select_related("account").order_by("id"):
        way = f"{event.mailbox} → {event.target}" if event.target else event.mailbox
        by_message_id[event.message_id].moments.append(
            TraceEvent(event.at_us, event.kind, event.account.address, text=way)
        )
    copies = Message.objects.filter(summary__header_message_id__in=by_message_id).order_by("id")
    columns = ("summary__header_message_id", "mailbox__account__address", "mailbox__name", "flags")
    for message_id, address, mailbox, flags in copies.values_list(*columns):
        by_message_id[message_id].places.append(MessageLocation(address, mailbox, bool(flags & SEEN)))


def _final_event(recipient: Recipient) -> Iterator[TraceEvent]:
    if recipient.settled_us is not None:
        yield TraceEvent(
            recipient.settled_us,
            recipient.state,
            recipient.address,
            recipient.dsn,
            recipient.relay,
            recipient.reason or (f"for {recipient.original}" if recipient.original != recipient.address else ""),
        )
