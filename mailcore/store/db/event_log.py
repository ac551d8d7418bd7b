"""The event log of messages that were filtered, moved or deleted.

Called by `expunge` and `copy_move` inside their transactions, with one INSERT … SELECT however many messages, and by
`mta.delivery.sieve_filter` for a message at its delivery. Deliveries, deferrals and failures are recorded in the
queue's rows, read and unread in a message's flags; they are not written a second time here. events_retention is the
time events are kept; 0 records none.
"""

from collections.abc import Iterable
from time import time
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.models import Event
from mailcore.store.db import message_table

if TYPE_CHECKING:
    from mailcore.store.mailbox.open_mailbox import MailboxHandle

_MICRO = 1_000_000
_DELETE_BATCH = 10_000


def record_moved(message_ids: Iterable[int], source: "MailboxHandle", target: "MailboxHandle") -> None:
    """Record that messages (by primary key) move from one mailbox to another."""
    _record_events("moved", message_ids, source, target.display_name)


def record_deleted(message_ids: Iterable[int], source: "MailboxHandle") -> None:
    """Record that messages (by primary key) are about to be removed permanently."""
    _record_events("deleted", message_ids, source, "")


def record_filtered(account_id: int, message_id: str, script: str, outcome: str) -> None:
    """Record what the recipient's filters did with a message."""
    if message_id and conf.current().events_retention:
        Event.objects.create(
            at_us=int(time() * _MICRO),
            kind="filtered",
            message_id=message_id,
            account_id=account_id,
            mailbox=script[:255],
            target=outcome[:255],
        )


def _record_events(kind: str, message_ids: Iterable[int], source: "MailboxHandle", target: str) -> None:
    ids = ",".join([str(each) for each in message_ids])
    if not ids or not conf.current().events_retention:
        return
    message_table.execute(
        f"INSERT INTO {message_table.EVENT} (at_us, kind, message_id, account_id, mailbox, target)"
        f" SELECT %s, %s, header_message_id, %s, %s, %s FROM {message_table.SUMMARY}"
        f" WHERE message_id IN ({ids}) AND header_message_id <> ''",
        (int(time() * _MICRO), kind, source.account_id, source.name, target),
    )


def delete_old_events() -> int:
    """Delete events older than events_retention, at most 10,000 at once, and return their number."""
    cutoff_us = int((time() - conf.current().events_retention) * _MICRO)
    event_ids = list(Event.objects.filter(at_us__lt=cutoff_us).values_list("id", flat=True)[:_DELETE_BATCH])
    Event.objects.filter(id__in=event_ids).delete()
    return len(event_ids)
