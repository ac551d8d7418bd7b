"""Rescan of stored messages: what listings show of them is computed again from their files.

Called by `mailindex --rescan` after an upgrade that reads messages otherwise than the version that stored them. Only
rows that differ are written; EMAILID and THREADID, which must never change (RFC 8474 §5), stay.
"""

from collections.abc import Iterator

from mailcore.models import Mailbox, Message, MessageSummary
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner
from mailcore.wire.message.message_scan import MessageScan, scan_message

_BATCH = 200  # messages read for one statement
_SUMMARY = (
    *("envelope", "body_structure", "subject_key", "from_key", "to_key", "cc_key", "from_display", "to_display"),
    *("preview", "has_attachment", "is_reply"),
)
_MESSAGE = ("sent_at", "sent_zone")


def rescan(owner: Owner, *, dry_run: bool = False) -> Iterator[tuple[str, int, int]]:
    """Scan every message of an account again; yield (mailbox, messages read, messages that differed) of each mailbox.

    A dry run changes nothing. Messages without a file are left alone.
    """
    boxes = Mailbox.objects.filter(account_id=owner.account_id, selectable=True).order_by("id")
    for mailbox_id, name, folder in boxes.values_list("id", "name", "folder"):
        directory = maildir_files.folder_directory(owner.address, folder)
        read = changed = last = 0
        while rows := list(
            Message.objects.filter(mailbox_id=mailbox_id, id__gt=last).select_related("summary").order_by("id")[:_BATCH]
        ):
            last = rows[-1].id
            scanned, differing = _scan_batch(directory, rows)
            read, changed = read + scanned, changed + len(differing)
            if differing and not dry_run:
                MessageSummary.objects.bulk_update([row.summary for row in differing], _SUMMARY)
                Message.objects.bulk_update(differing, _MESSAGE)
        yield name, read, changed


def _scan_batch(directory: str, rows: list[Message]) -> tuple[int, list[Message]]:
    """Return (the number of messages read, those that a scan describes otherwise, with the new values)."""
    read = 0
    differing: list[Message] = []
    for row in rows:
        try:
            content = maildir_files.read_message(directory, row.base_name, row.flags)
        except OSError:
            continue
        read += 1
        if _apply(row, scan_message(content)):
            differing.append(row)
    return read, differing


def _apply(row: Message, seen: MessageScan) -> bool:
    """Put a scan's values into a row and its summary; return True if one was another."""
    sent_at = seen.sent_at if seen.sent_at is not None else row.internal_at
    new: list[tuple[Message | MessageSummary, str, object]] = [
        (row.summary, name, getattr(seen, name)) for name in _SUMMARY
    ]
    new += [(row, "sent_at", sent_at), (row, "sent_zone", seen.sent_zone)]
    differs = False
    for target, name, value in new:
        stored = getattr(target, name)
        if (bytes(stored) if isinstance(stored, memoryview | bytearray) else stored) != value:
            setattr(target, name, value)
            differs = True
    return differs
