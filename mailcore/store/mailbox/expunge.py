"""Messages removed for good (RFC 9051 §6.4.3): rows now, their UIDs remembered for those who were away, files
once the transaction stands."""

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
    """UIDs that are gone, in order; `files` are what `remove_files` has still to take away."""

    uids: list[int]
    modseq: int
    files: list[tuple[str, int]]  # base name, flags


def expunge_deleted(box: MailboxHandle, ranges: UidRanges) -> ExpungeResult:
    """Remove those messages in `ranges` that have \\Deleted."""
    with transaction.atomic():
        modseq = lock_mailbox(box.id)
        rows = message_table.select_messages(box.id, COLUMNS, ranges)
        rows = [row for row in rows if row[2] & wire_flags.DELETED]
        if not rows or not modseq:
            return ExpungeResult([], 0, [])
        return remove_rows(box, rows, modseq)


COLUMNS = ("uid", "id", "flags", "size", "base_name")


def remove_rows(box: MailboxHandle, rows: Sequence[message_table.Row], modseq: int) -> ExpungeResult:
    """Remove messages of a locked mailbox, given as rows of COLUMNS, inside the caller's transaction. Rows go by
    their keys, so that no other mailbox's are locked."""
    for at in range(0, len(rows), BATCH):
        piece = rows[at : at + BATCH]
        ids = ",".join([str(row[1]) for row in piece])
        event_log.record_deleted((row[1] for row in piece), box)
        message_table.execute(f"DELETE FROM {TEXT} WHERE message_id IN ({ids})")
        message_table.execute(f"DELETE FROM {SUMMARY} WHERE message_id IN ({ids})")
        message_table.execute(f"DELETE FROM {MESSAGE} WHERE id IN ({ids})")
        gone = ",".join([f"({box.id:d},{row[0]:d},{modseq:d})" for row in piece])
        message_table.execute(f"INSERT INTO {EXPUNGED} (mailbox_id, uid, modseq) VALUES {gone}")
    octets = sum(row[3] for row in rows)
    subtract_counters(
        box.id, modseq, rows=len(rows), unseen=sum(not row[2] & wire_flags.SEEN for row in rows), octets=octets
    )
    Account.objects.filter(pk=box.account_id).update(
        used_bytes=F("used_bytes") - octets, used_messages=F("used_messages") - len(rows)
    )
    notifications.publish_mailboxes([box.id])
    return ExpungeResult([row[0] for row in rows], modseq, [(row[4], row[2]) for row in rows])


def lock_mailbox(mailbox_id: int) -> int:
    """Lock a mailbox's row until the transaction ends; returns the modseq of what will be done, 0 if it is gone."""
    mailbox = message_table.locked_mailbox(mailbox_id, "highest_modseq")
    return mailbox[0] + 1 if mailbox is not None else 0


def subtract_counters(mailbox_id: int, modseq: int, *, rows: int, unseen: int, octets: int) -> None:
    """What left a mailbox leaves its counters."""
    message_table.execute(
        f"UPDATE {MAILBOX} SET highest_modseq = %s, messages = messages - %s, unseen = unseen - %s, size = size - %s"
        " WHERE id = %s",
        (modseq, rows, unseen, octets, mailbox_id),
    )


def remove_files(directory: str, files: Sequence[tuple[str, int]]) -> None:
    """After the commit; a file that is gone already is no fault."""
    if len(files) < 50:
        for base_name, flags in files:
            maildir_files.remove_file(directory, base_name, flags)
    else:
        maildir_files.remove_files(directory, {base_name for base_name, _ in files})
