"""EXPUNGE (RFC 9051 §6.4.3): permanent removal of messages.

Rows are deleted in the transaction, which records their UIDs for clients that were disconnected; files are removed
after the commit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from mailcore.models import Account
from mailcore.store.db import event_log, message_table
from mailcore.store.db.message_table import BATCH, EXPUNGED, MAILBOX, MESSAGE, SUMMARY, TEXT, UidRanges
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.wire.imap import system_flags as wire_flags


@dataclass(frozen=True, slots=True)
class ExpungeResult:
    """The expunged UIDs, in order, and the files that `remove_files` has yet to delete."""

    uids: list[int]
    modseq: int
    files: list[tuple[str, int]]  # base name, flags


def expunge_deleted(mailbox: MailboxHandle, ranges: UidRanges) -> ExpungeResult:
    r"""Remove the messages in `ranges` that have \Deleted."""
    with transaction.atomic():
        modseq = lock_mailbox(mailbox.id)
        rows = message_table.select_messages(mailbox.id, COLUMNS, ranges)
        rows = [row for row in rows if row[2] & wire_flags.DELETED]
        if not rows or not modseq:
            return ExpungeResult([], 0, [])
        return remove_rows(mailbox, rows, modseq)


COLUMNS = ("uid", "id", "flags", "size", "base_name")


def remove_rows(mailbox: MailboxHandle, rows: Sequence[message_table.Row], modseq: int) -> ExpungeResult:
    """Remove messages of a locked mailbox, given as rows of COLUMNS, inside the caller's transaction.

    Rows are deleted by primary key, so that no other mailbox's rows are locked.
    """
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        ids = ",".join([str(row[1]) for row in batch])
        event_log.record_deleted((row[1] for row in batch), mailbox)
        message_table.execute(f"DELETE FROM {TEXT} WHERE message_id IN ({ids})")
        message_table.execute(f"DELETE FROM {SUMMARY} WHERE message_id IN ({ids})")
        message_table.execute(f"DELETE FROM {MESSAGE} WHERE id IN ({ids})")
        values = ",".join([f"({mailbox.id:d},{row[0]:d},{modseq:d})" for row in batch])
        message_table.execute(f"INSERT INTO {EXPUNGED} (mailbox_id, uid, modseq) VALUES {values}")
    byte_count = sum(row[3] for row in rows)
    subtract_counters(
        mailbox.id,
        modseq,
        rows=len(rows),
        unseen=sum(not row[2] & wire_flags.SEEN for row in rows),
        byte_count=byte_count,
    )
    Account.objects.filter(pk=mailbox.account_id).update(
        used_bytes=F("used_bytes") - byte_count, used_messages=F("used_messages") - len(rows)
    )
    notifications.publish_mailboxes([mailbox.id])
    return ExpungeResult([row[0] for row in rows], modseq, [(row[4], row[2]) for row in rows])


def lock_mailbox(mailbox_id: int) -> int:
    """Lock a mailbox's row until the transaction ends.

    Return the modseq for the changes to come, or 0 if the mailbox does not exist.
    """
    mailbox = message_table.locked_mailbox(mailbox_id, "highest_modseq")
    return mailbox[0] + 1 if mailbox is not None else 0


def subtract_counters(mailbox_id: int, modseq: int, *, rows: int, unseen: int, byte_count: int) -> None:
    """Subtract removed messages from a mailbox's counters."""
    message_table.execute(
        f"UPDATE {MAILBOX} SET highest_modseq = %s, messages = messages - %s, unseen = unseen - %s, size = size - %s"
        " WHERE id = %s",
        (modseq, rows, unseen, byte_count, mailbox_id),
    )


def remove_files(directory: str, files: Sequence[tuple[str, int]]) -> None:
    """Delete files of expunged messages, after the commit; missing files are ignored."""
    if len(files) < 50:
        for base_name, flags in files:
            maildir_files.remove_file(directory, base_name, flags)
    else:
        maildir_files.remove_files(directory, {base_name for base_name, _ in files})
