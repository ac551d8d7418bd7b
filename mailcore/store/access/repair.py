"""Repairs of one account's index: recount counters, restore lost files, or remove the rows of messages without a file.

Called by `mailindex`. A file is accepted as a message's only if it has the message's size and the hash computed when
the message arrived (EMAILID), wherever it was found. Rows are removed only if the administrator requests it.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction

from mailcore.models import Mailbox, Message, Unsynced
from mailcore.store.access.reindex import FolderReport
from mailcore.store.db import message_table
from mailcore.store.db.message_table import BATCH, MAILBOX, MESSAGE
from mailcore.store.mailbox import expunge, insert, quota_limits
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.values import Owner
from mailcore.wire.imap import system_flags as wire_flags

_TRACE_LINES = 8  # at most so many trace header fields of local delivery precede the content that EMAILID covers


# --- Counters -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counters:
    """The counters of a mailbox or an account."""

    messages: int
    unseen: int
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class Correction:
    """A mailbox (or, with the name "", the account) with counters that differ from its messages."""

    mailbox: str
    before: Counters
    after: Counters


_COUNT = (
    f"SELECT COUNT(*), COALESCE(SUM(CASE WHEN flags & {wire_flags.SEEN:d} = 0 THEN 1 ELSE 0 END), 0),"
    f" COALESCE(SUM(size), 0), COALESCE(MAX(uid), 0), COALESCE(MAX(modseq), 0) FROM {MESSAGE} WHERE mailbox_id = %s"
)
_COUNTER_COLUMNS = "messages, unseen, size, uid_next, highest_modseq"


def recount(owner: Owner, *, dry_run: bool = False) -> Iterator[Correction]:
    """Count the messages of every mailbox and of the account, and yield each correction; a dry run changes nothing."""
    boxes = Mailbox.objects.filter(account_id=owner.account_id).order_by("id")
    for mailbox_id, name in boxes.values_list("id", "name"):
        with transaction.atomic():
            result = _recount_mailbox(mailbox_id, name, dry_run)
        if result is not None:
            yield result
    usage = quota_limits.read_allowance(owner.account_id)
    total = Mailbox.objects.filter(account_id=owner.account_id).values_list("messages", "size")
    messages, size = sum(row[0] for row in total), sum(row[1] for row in total)
    if usage is not None and (usage.used_messages, usage.used_bytes) != (messages, size):
        if not dry_run:
            size, messages = quota_limits.recount_usage(owner.account_id)
        yield Correction("", Counters(usage.used_messages, 0, usage.used_bytes), Counters(messages, 0, size))


def _recount_mailbox(mailbox_id: int, name: str, dry_run: bool) -> Correction | None:
    """Correct the counters of one mailbox; call inside a transaction."""
    row = message_table.locked_mailbox(mailbox_id, _COUNTER_COLUMNS)
    if row is None:
        return None
    before, uid_next, modseq = Counters(*map(int, row[:3])), row[3], row[4]
    counted = message_table.fetch_rows(_COUNT, (mailbox_id,))[0]
    after = Counters(*map(int, counted[:3]))
    if before == after and counted[3] < uid_next and counted[4] <= modseq:
        return None
    if not dry_run:
        message_table.execute(
            f"UPDATE {MAILBOX} SET messages = %s, unseen = %s, size = %s, uid_next = %s, highest_modseq = %s"
            " WHERE id = %s",
            (after.messages, after.unseen, after.size, max(uid_next, counted[3] + 1), max(modseq, counted[4]) + 1,
             mailbox_id),
        )  # fmt: skip
        notifications.publish_mailboxes([mailbox_id])
    return Correction(name, before, after)


# --- Lost files -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _LostMessage:
    """A message with a lost file; `email_id` is the hash of its content below the trace headers."""

    id: int
    uid: int
    base_name: str
    size: int
    flags: int
    email_id: str

    def is_content(self, content: bytes) -> bool:
        if len(content) != self.size:
            return False
        start = 0
        for _ in range(_TRACE_LINES):
            if insert.email_id(memoryview(content)[start:]) == self.email_id:
                return True
            start = content.find(b"\n", start) + 1
            if not start:
                return False
        return False


def restore(owner: Owner, folder: FolderReport, backups: Sequence[str] = ()) -> Iterator[tuple[int, str]]:
    """Write lost files again from content found elsewhere; yield (UID, place where it was found).

    Searched are the write-behind copies in the database, the account's other directories, directories of backups, and
    other messages with equal content.
    """
    lost = _lost_messages(folder)
    by_name = _files_by_name(
        [maildir_files.account_directory(owner.address), *backups], {each.base_name for each in lost}
    )
    for each in lost:
        for content, source in _candidates(each, by_name.get(each.base_name, ())):
            if each.is_content(content):
                path = maildir_files.write_file(folder.directory, each.base_name, [content])
                maildir_files.sync_directories([os.path.dirname(path)])
                if each.flags:
                    maildir_files.rename_flags(folder.directory, each.base_name, each.flags)
                yield each.uid, source
                break


def _lost_messages(folder: FolderReport) -> list[_LostMessage]:
    names = [base_name for _, base_name in folder.lost]
    result: list[_LostMessage] = []
    for start in range(0, len(names), BATCH):
        rows = Message.objects.filter(mailbox_id=folder.mailbox_id, base_name__in=names[start : start + BATCH])
        columns = ("id", "uid", "base_name", "size", "flags", "summary__email_id")
        result += [_LostMessage(*row) for row in rows.order_by("uid").values_list(*columns)]
    return result


def _files_by_name(directories: Iterable[str], base_names: set[str]) -> dict[str, list[str]]:
    """Return base name → paths of files with these base names, whatever their flags."""
    result: dict[str, list[str]] = {}
    for top in directories if base_names else ():
        for folder, _, names in os.walk(top):
            for name in names:
                base_name = name.partition(":2,")[0]
                if base_name in base_names:
                    result.setdefault(base_name, []).append(os.path.join(folder, name))
    return result


def _candidates(lost: _LostMessage, paths: Iterable[str]) -> Iterator[tuple[bytes, str]]:
    for (copy,) in Unsynced.objects.filter(message_id=lost.id).values_list("octets"):
        yield bytes(copy), "the database"
    for path in paths:
        if (content := _try_read(_read_file, path)) is not None:
            yield content, path
    others = Message.objects.filter(summary__email_id=lost.email_id, size=lost.size).exclude(id=lost.id)
    columns = ("base_name", "flags", "mailbox__folder", "mailbox__account__address", "mailbox__name")
    for base_name, flags, directory, address, name in others.values_list(*columns)[:_COPIES]:
        if (
            content := _try_read(
                maildir_files.read_message, maildir_files.folder_directory(address, directory), base_name, flags
            )
        ) is not None:
            yield content, f"{address} {name}"


_COPIES = 10  # other messages with equal content that are tried


def _read_file(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _try_read(read: Callable[..., bytes], *arguments: object) -> bytes | None:
    try:
        return read(*arguments)
    except OSError:
        return None


def drop(owner: Owner, folder: FolderReport) -> list[int]:
    """Remove the rows of messages with lost files, as EXPUNGE would, and return their UIDs."""
    mailbox = MailboxHandle(folder.mailbox_id, owner.account_id, folder.name, folder.directory, 0)
    removed_uids: list[int] = []
    lost = _lost_messages(folder)
    for start in range(0, len(lost), BATCH):
        with transaction.atomic():
            modseq = expunge.lock_mailbox(mailbox.id)
            ranges = [(each.uid, each.uid) for each in lost[start : start + BATCH]]
            rows = [
                row
                for row in message_table.select_messages(mailbox.id, expunge.COLUMNS, ranges)
                if not maildir_files.has_file(mailbox.directory, row[expunge.COLUMNS.index("base_name")])
            ]
            if rows and modseq:
                removed_uids += expunge.remove_rows(mailbox, rows, modseq).uids
    return removed_uids
