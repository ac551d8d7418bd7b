"""Raw reads of the index: columns of messages by ranges of UIDs, as plain values without model instances.

Used by everything in `store` that lists, searches or changes many messages. The statements are few and constant, so
that the database can keep them prepared; numbers from a client are passed as parameters or, where there are many, as
digits.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model

from mailcore.models import Event, Expunged, Mailbox, Message, MessageSummary, MessageText
from mailcore.store.db.compiled_queries import execute as execute
from mailcore.store.db.compiled_queries import execute_many as execute_many
from mailcore.store.db.compiled_queries import fetch_rows as fetch_rows

Row = tuple[Any, ...]
UidRanges = Sequence[tuple[int, int]]  # ascending, not overlapping, both ends included

# Up to this many separate ranges are queried one by one; for more, everything between is read and filtered.
_FEW_RANGES = 32
BATCH = 1000  # numbers in one IN (…)


def table_name(model: type[Model]) -> str:
    """Return the quoted name of a model's table."""
    return connection.ops.quote_name(model._meta.db_table)


MAILBOX, MESSAGE, SUMMARY, TEXT, EXPUNGED, EVENT = (
    table_name(model) for model in (Mailbox, Message, MessageSummary, MessageText, Expunged, Event)
)

_MESSAGE_COLUMNS = (
    "id",
    "uid",
    "modseq",
    "flags",
    "keywords",
    "base_name",
    "size",
    "internal_at",
    "saved_at",
    "sent_at",
    "sent_zone",
)
OF_SUMMARY = (
    "envelope", "body_structure", "subject_key", "from_key", "to_key", "cc_key", "from_display", "to_display",
    "header_message_id", "references", "preview", "email_id", "thread_id",
    "is_reply",
)  # fmt: skip
COLUMNS = {name: f"m.{name}" for name in _MESSAGE_COLUMNS} | {
    name: f"s.{connection.ops.quote_name(name)}" for name in OF_SUMMARY
}


def from_clause(columns: Iterable[str]) -> str:
    """Return the FROM clause of a query that selects these columns."""
    if any(column in OF_SUMMARY for column in columns):
        return f"{MESSAGE} m JOIN {SUMMARY} s ON s.message_id = m.id"
    return f"{MESSAGE} m"


def locked_mailbox(mailbox_id: int, columns: str) -> Row | None:
    """Return columns of a mailbox's row and lock it until the transaction ends; None if the mailbox does not exist."""
    rows = fetch_rows(f"SELECT {columns} FROM {MAILBOX} WHERE id = %s{_FOR_UPDATE}", (mailbox_id,))
    return rows[0] if rows else None


# SQLite needs no row lock: it has one writer at a time, and BEGIN IMMEDIATE waits for that lock.
_FOR_UPDATE = "" if connection.vendor == "sqlite" else " FOR UPDATE"


def select_messages(mailbox_id: int, columns: Sequence[str], ranges: UidRanges, changed_since: int = -1) -> list[Row]:
    """Return rows of `columns`, the first of which is "uid", in the order of UIDs.

    With `changed_since`, return only messages with a higher modseq.
    """
    start = (
        f"SELECT {', '.join([COLUMNS[name] for name in columns])} FROM {from_clause(columns)} WHERE m.mailbox_id = %s"
    )
    if changed_since >= 0:
        start += f" AND m.modseq > {int(changed_since)}"
    if len(ranges) == 1:
        low, high = ranges[0]
        if low == high:
            return fetch_rows(f"{start} AND m.uid = %s", (mailbox_id, low))
        return fetch_rows(f"{start} AND m.uid BETWEEN %s AND %s ORDER BY m.uid", (mailbox_id, low, high))
    rows: list[Row] = []
    for condition in uid_conditions(ranges):
        rows += fetch_rows(f"{start} AND {condition}", (mailbox_id,))
    rows.sort()
    return rows


def uid_conditions(ranges: UidRanges) -> Iterator[str]:
    """Yield SQL conditions on m.uid which together select exactly these UIDs, each row once."""
    singles = [low for low, high in ranges if low == high]
    wide = [(low, high) for low, high in ranges if low != high]
    if len(wide) > _FEW_RANGES:
        singles += (
            [uid for low, high in wide for uid in range(low, high + 1)] if _count_ranges(wide) <= 20 * BATCH else []
        )
        if _count_ranges(wide) > 20 * BATCH:
            yield from _group_ranges(wide)
        wide = []
    for offset in range(0, len(singles), BATCH):
        yield f"m.uid IN ({','.join(map(str, singles[offset : offset + BATCH]))})"
    for low, high in wide:
        yield f"m.uid BETWEEN {low:d} AND {high:d}"


def _count_ranges(ranges: UidRanges) -> int:
    return sum(high - low + 1 for low, high in ranges)


def _group_ranges(ranges: UidRanges) -> Iterator[str]:
    for offset in range(0, len(ranges), _FEW_RANGES * 4):
        group = ranges[offset : offset + _FEW_RANGES * 4]
        either = " OR ".join([f"m.uid BETWEEN {low:d} AND {high:d}" for low, high in group])
        yield f"m.uid BETWEEN {group[0][0]:d} AND {group[-1][1]:d} AND ({either})"
