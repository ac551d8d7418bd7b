"""Message traces: the events of queued messages in order of time, and where their copies are now.

Used by `maillog --story` and the screens; searched by queue id, Message-ID, address, subject or time. The queue's
actions come from its rows (stored for queue_history_time), the owners' actions from the events (events_retention),
location and read state from the index.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from django.db.models import Q

from mailcore.models import Attempt, Event, Message, Queued, Recipient
from mailcore.mta.queue import content_files, subject_hash
from mailcore.wire.imap.system_flags import SEEN

_MAX_RESULTS = 1000  # Messages per result.


@dataclass(frozen=True, slots=True)
class TraceEvent:
    """One event of a message at `at_us` microseconds; `address` is its recipient, "" for the whole message."""

    at_us: int
    kind: str  # received, expanded, delivered, deferred, failed, removed, or an event's kind
    address: str = ""
    dsn: str = ""
    relay: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class MessageLocation:
    """The mailbox that holds a copy of a message now."""

    address: str  # Of the account.
    mailbox: str
    is_read: bool


@dataclass(slots=True)
class MessageTrace:
    """One message: its envelope, its events, oldest first, and where its copies are now."""

    queue_id: str
    state: str
    sender: str
    message_id: str
    size: int
    recipients: list[str] = field(default_factory=list)
    moments: list[TraceEvent] = field(default_factory=list)
    places: list[MessageLocation] = field(default_factory=list)


def find_traces(text: str = "", *, since_us: int | None = None, until_us: int | None = None) -> list[MessageTrace]:
    """Return the traces of messages that match `text`, newest last, at most the newest 1,000.

    `text` is a queue id, a Message-ID (with or without <>), the address of a sender or recipient, or a whole subject;
    "" matches all. Only messages received at or after `since_us` and before `until_us`.
    """
    rows = Queued.objects.filter(_matching_rows(text.strip().strip("<>")))
    if since_us is not None:
        rows = rows.filter(received_us__gte=since_us)
    if until_us is not None:
        rows = rows.filter(received_us__lt=until_us)
    return list(_build_traces(list(rows.order_by("-id")[:_MAX_RESULTS])[::-1]))


def _matching_rows(text: str) -> Q:
    if not text:
        return Q()
    query = Q(message_id=text)
    with contextlib.suppress(ValueError):
        return query | Q(id=content_files.parse_id(text))
    if "@" not in text or " " in text:
        # There is no index on subjects: this scans the rows of queue_history_time.
        matching = Queued.objects.filter(subject_mark=subject_hash.hash_typed_subject(text)).exclude(subject_mark=0)
        return query | Q(id__in=list(matching.order_by("-id").values_list("id", flat=True)[:_MAX_RESULTS]))
    # The index on addresses first, then the keys it gave.
    by_address = Recipient.objects.filter(Q(address=text.lower()) | Q(original=text.lower()))
    ids = list(by_address.order_by("-queued_id").values_list("queued_id", flat=True).distinct()[:_MAX_RESULTS])
    return query | Q(id__in=ids) | Q(sender=text)


def _build_traces(rows: Sequence[Queued]) -> Iterator[MessageTrace]:
    traces = {}
    for row in rows:
        trace = MessageTrace(f"{row.id:X}", row.state, row.sender, row.message_id, row.size)
        client = f"{row.client_name}[{row.client_address}]" if row.client_address else ""
        trace.moments.append(TraceEvent(row.received_us, "received", text=f"{row.protocol} {client}".strip()))
        traces[row.id] = trace
    ids = list(traces)
    for recipient in Recipient.objects.filter(queued_id__in=ids).order_by("id"):
        traces[recipient.queued_id].recipients.append(recipient.address)
        traces[recipient.queued_id].moments += _final_event(recipient)
    attempts = Attempt.objects.filter(recipient__queued_id__in=ids).select_related("recipient")
    for attempt in attempts.order_by("id"):
        if attempt.status == "deferred":  # Final outcomes are in the recipient's row.
            traces[attempt.recipient.queued_id].moments.append(
                TraceEvent(
                    attempt.at_us, "deferred", attempt.recipient.address, attempt.dsn, attempt.relay, attempt.reason
                )
            )
    _add_messages({trace.message_id: trace for trace in traces.values() if trace.message_id})
    for trace in traces.values():
        trace.moments.sort(key=lambda moment: moment.at_us)
        yield trace


def _add_messages(by_message_id: Mapping[str, MessageTrace]) -> None:
    """Add the actions of owners on their copies, and the location of these."""
    for event in Event.objects.filter(message_id__in=by_message_id).select_related("account").order_by("id"):
        path = f"{event.mailbox} → {event.target}" if event.target else event.mailbox
        by_message_id[event.message_id].moments.append(
            TraceEvent(event.at_us, event.kind, event.account.address, text=path)
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
