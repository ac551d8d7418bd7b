"""What becomes of messages, noted: filtered, moved and deleted, which no other row tells afterwards.

Called by `expunge` and `transfer` inside their transactions: one INSERT … SELECT for each, however many messages; by
`post.filters` for a message at its delivery.
Delivered, deferred and failed stand in the queue's rows, read and unread in the message's flags; none of those is
written a second time. events_retention says how long events are kept, 0 that none are.
"""

from collections.abc import Iterable
from time import time

from mailcore import conf
from mailcore.models import Event
from mailcore.store.db import message_table
from mailcore.store.mailbox.open_mailbox import MailboxHandle

_MICRO = 1_000_000
_AT_ONCE = 10_000


def record_moved(message_ids: Iterable[int], source: MailboxHandle, target: MailboxHandle) -> None:
    """These messages (by key) go from one mailbox to another."""
    _record_events("moved", message_ids, source, target.display_name)


def record_deleted(message_ids: Iterable[int], source: MailboxHandle) -> None:
    """These messages (by key) are about to be removed for good."""
    _record_events("deleted", message_ids, source, "")


def record_filtered(account_id: int, message_id: str, script: str, words: str) -> None:
    """A message went through its recipient's filters, and this came of it."""
    if message_id and conf.current().events_retention:
        Event.objects.create(
            at_us=int(time() * _MICRO),
            kind="filtered",
            message_id=message_id,
            account_id=account_id,
            mailbox=script[:255],
            target=words[:255],
        )


def _record_events(kind: str, message_ids: Iterable[int], source: MailboxHandle, target: str) -> None:
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
    """Remove events older than events_retention; returns how many (at most 10,000 at once)."""
    before = int((time() - conf.current().events_retention) * _MICRO)
    old = list(Event.objects.filter(at_us__lt=before).values_list("id", flat=True)[:_AT_ONCE])
    Event.objects.filter(id__in=old).delete()
    return len(old)
