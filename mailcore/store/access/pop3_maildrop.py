r"""The maildrop: the INBOX as one POP3 session sees it, from log-in to QUIT (RFC 1939 §4, §6).

Called by `servers.pop3`. `open_maildrop` locks it (across processes, with a lock on a file in the account's directory)
and lists it once; messages that arrive later wait for the next session. `commit_session` ends the session: deletions
and \Seen in one transaction, or nothing.
"""

import contextlib
import fcntl
import operator
import os
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO

from django.db import transaction
from django.db.models import F

from mailcore.models import Account, Expunged, Mailbox, Message, MessageSummary, MessageText
from mailcore.store.access import external_deliveries
from mailcore.store.db import message_table
from mailcore.store.mailbox import expunge
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.values import Owner
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.message.message_scan import count_line_end_growth

_LOCK_FILE = "pop3.lock"
_BATCH = 1000  # messages in one statement
_PIECE = 1 << 18  # bytes of a large message read at once


@dataclass(frozen=True, slots=True)
class Maildrop:
    """A locked maildrop and its messages, in order, one tuple for each column.

    The number a client uses is the index plus one. `lock` is an open file, which `close_maildrop` closes. `sizes` count
    the bytes as they are sent, which are `growths` more than those of the file (RFC 1939 §11).
    """

    mailbox_id: int
    account_id: int
    directory: str
    lock: int
    uid_validity: int
    uids: tuple[int, ...]
    sizes: tuple[int, ...]
    base_names: tuple[str, ...]
    flags: tuple[int, ...]
    growths: tuple[int, ...]


class MaildropLocked(Exception):
    """Raised if another session has locked this maildrop."""


def open_maildrop(owner: Owner) -> Maildrop:
    """Lock and list the owner's INBOX; raise MaildropLocked if another session has it."""
    lock = _lock_maildrop(owner.address)
    try:
        return _list_messages(owner, lock)
    except BaseException:
        os.close(lock)
        raise


def _lock_maildrop(address: str) -> int:
    home = maildir_files.account_directory(address)
    os.makedirs(home, mode=0o700, exist_ok=True)
    handle = os.open(os.path.join(home, _LOCK_FILE), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise MaildropLocked(address) from error
    return handle


def _list_messages(owner: Owner, lock: int) -> Maildrop:
    mailbox_id, uid_validity = Mailbox.objects.values_list("id", "uid_validity").get(
        account_id=owner.account_id, name="INBOX"
    )
    folder_path = maildir_files.folder_directory(owner.address, "")
    external_deliveries.index_new_files(MailboxHandle(mailbox_id, owner.account_id, "INBOX", folder_path, uid_validity))
    rows = Message.objects.filter(mailbox_id=mailbox_id).order_by("uid")
    found = rows.values_list("uid", "size", "base_name", "flags", "line_end_growth", "id")
    uids, sizes, base_names, flags, growths, ids = list(zip(*found, strict=True)) or [()] * 6
    if None in growths:
        growths = _count_growths(folder_path, ids, base_names, flags, growths)
    sizes = tuple(map(operator.add, sizes, growths))
    return Maildrop(
        mailbox_id, owner.account_id, folder_path, lock, uid_validity, uids, sizes, base_names, flags, growths
    )


def _count_growths(
    folder_path: str,
    ids: Sequence[int],
    base_names: Sequence[str],
    flags: Sequence[int],
    growths: Sequence[int | None],
) -> tuple[int, ...]:
    """Count and store the growths that are missing, those of messages from before they were counted at delivery."""
    counted: list[int] = []
    missing: list[tuple[int, int]] = []
    for message_id, base_name, flag_bits, growth in zip(ids, base_names, flags, growths, strict=True):
        if growth is None:
            growth = 0
            with contextlib.suppress(FileNotFoundError):
                growth = count_line_end_growth(maildir_files.read_message(folder_path, base_name, flag_bits))
                missing.append((growth, message_id))
        counted.append(growth)
    with transaction.atomic():
        message_table.execute_many(f"UPDATE {message_table.MESSAGE} SET line_end_growth = %s WHERE id = %s", missing)
    return tuple(counted)


def close_maildrop(drop: Maildrop) -> None:
    """Release the lock of a maildrop."""
    os.close(drop.lock)


def read_message(drop: Maildrop, index: int) -> bytes:
    """Return a whole message; raise FileNotFoundError if it has no file."""
    return maildir_files.read_message(drop.directory, drop.base_names[index], drop.flags[index])


def read_pieces(drop: Maildrop, index: int) -> Generator[bytes, None, None]:
    """Yield a large message piece by piece; raise FileNotFoundError if it has no file."""
    with maildir_files.with_current_path(drop.directory, drop.base_names[index], drop.flags[index], FileIO) as file:
        while piece := file.read(_PIECE):
            yield piece


def commit_session(drop: Maildrop, deleted: Collection[int], retrieved: Collection[int]) -> None:
    """Delete the messages at the indexes `deleted` and mark those `retrieved` as seen, all or nothing.

    Messages that another program deleted meanwhile are skipped. Files are removed after the commit.
    """
    deleted_uids = sorted(drop.uids[index] for index in deleted)
    seen_uids = sorted(drop.uids[index] for index in set(retrieved) - set(deleted))
    with transaction.atomic():
        modseq = expunge.lock_mailbox(drop.mailbox_id)
        if not modseq:
            return  # the mailbox itself has been deleted
        marked = _mark_seen(drop.mailbox_id, seen_uids, modseq)
        removed = _remove_messages(drop.mailbox_id, deleted_uids, modseq)
        if not (marked or removed.files):
            return
        rows = len(removed.files)
        expunge.subtract_counters(
            drop.mailbox_id, modseq, rows=rows, unseen=removed.unseen + marked, byte_count=removed.byte_count
        )
        if rows:
            Account.objects.filter(pk=drop.account_id).update(
                used_bytes=F("used_bytes") - removed.byte_count, used_messages=F("used_messages") - rows
            )
        notifications.publish_mailboxes([drop.mailbox_id])
    expunge.remove_files(drop.directory, removed.files)


def write_seen_names(drop: Maildrop, indexes: Collection[int]) -> None:
    r"""Write \Seen into the file names, after `commit_session`."""
    for index in indexes:
        maildir_files.rename_flags(drop.directory, drop.base_names[index], drop.flags[index] | wire_flags.SEEN)


@dataclass(slots=True)
class _RemovedTotals:
    files: list[tuple[str, int]]
    byte_count: int = 0
    unseen: int = 0


def _batches(uids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(uids), _BATCH):
        yield uids[start : start + _BATCH]


def _mark_seen(mailbox_id: int, uids: list[int], modseq: int) -> int:
    """Mark messages as seen and return how many were not seen before."""
    marked = 0
    for batch in _batches(uids):
        unseen = Message.objects.filter(mailbox_id=mailbox_id, uid__in=batch)
        unseen = unseen.annotate(seen_uids=F("flags").bitand(wire_flags.SEEN)).filter(seen_uids=0)
        marked += unseen.update(flags=F("flags").bitor(wire_flags.SEEN), modseq=modseq)
    return marked


def _remove_messages(mailbox_id: int, uids: list[int], modseq: int) -> _RemovedTotals:
    removed = _RemovedTotals([])
    for batch in _batches(uids):
        rows = Message.objects.filter(mailbox_id=mailbox_id, uid__in=batch)
        ids, expunged = [], []
        for id_, uid, base_name, flags, size in rows.values_list("id", "uid", "base_name", "flags", "size"):
            ids.append(id_)
            expunged.append(Expunged(mailbox_id=mailbox_id, uid=uid, modseq=modseq))
            removed.files.append((base_name, flags))
            removed.byte_count += size
            removed.unseen += not flags & wire_flags.SEEN
        Expunged.objects.bulk_create(expunged)
        # By primary key, one statement for each table: cascading would read every message first, and for a subquery
        # MariaDB locks rows of other mailboxes too.
        for table in (
            MessageText.objects.filter(message_id__in=ids),
            MessageSummary.objects.filter(message_id__in=ids),
            Message.objects.filter(id__in=ids),
        ):
            table._raw_delete(table.db)
    return removed
