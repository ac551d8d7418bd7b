"""COPY and MOVE (RFC 9051 §6.4.7, §6.4.8): a copy is a hard link and a row, a move a link and a changed row.

Links are made and durable before the transaction, and removed again if the transaction does not need them, so that a
row always has its file. The flags that name the links are read again once both mailboxes are locked: every change of a
message takes its mailbox's lock, so the counters match the flags read then.
"""

import contextlib
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import time, time_ns

from django.db.models import F

from mailcore.models import Account, Mailbox
from mailcore.store.db import event_log, message_table, retry
from mailcore.store.db.message_table import BATCH, EXPUNGED, MESSAGE, SUMMARY, TEXT, UidRanges
from mailcore.store.mailbox import expunge, quota_limits
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.store.notify import notifications
from mailcore.values import Refusal
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.syntax import acl_syntax
from mailcore.wire.imap.syntax.acl_syntax import flags_mask

OVER_QUOTA = Refusal("OVERQUOTA", "Quota exceeded")


@dataclass(frozen=True, slots=True)
class CopyResult:
    """The outcome of COPY or MOVE; `source` and `target` are UIDs, pairwise.

    `modseq` is the source's after a move, else 0; `files` are those a move leaves behind, for `expunge.remove_files`.
    """

    uid_validity: int
    source: list[int]
    target: list[int]
    modseq: int = 0
    files: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class _LinkedFile:
    """A message of the source with a second link to its file in the target.

    `flags` and `keywords` are what it gets there, `old_flags` what it has in the source; `path` contains the flags read
    before the link was made.
    """

    uid: int
    id: int
    flags: int
    keywords: str
    base_name: str
    size: int
    path: str
    new_name: str
    old_flags: int


def _new_name() -> str:
    """Return a base name that is unique (cr.yp.to/proto/maildir.html)."""
    current = time_ns()
    return f"{current // 1_000_000_000}.M{current % 1_000_000_000 // 1000}P{os.getpid()}R{secrets.token_hex(6)}"


def _link_files(source: MailboxHandle, ranges: UidRanges, target: MailboxHandle) -> list[_LinkedFile]:
    """Link the files of messages into the target, skipping missing ones.

    Raise OSError if the disk reports an error; nothing is linked then.
    """
    linked: list[_LinkedFile] = []
    columns = ("uid", "id", "flags", "keywords", "base_name", "size")
    try:
        for row in message_table.select_messages(source.id, columns, ranges):
            uid, id_, flags, keywords, base_name, size = row
            flags &= flags_mask(target.rights)
            keywords = keywords if target.has_rights("w") else ""
            name = _new_name()
            path = _path(target, name, flags)
            try:
                maildir_files.with_current_path(source.directory, base_name, row[2], partial(os.link, dst=path))
            except FileNotFoundError:
                continue
            linked.append(_LinkedFile(uid, id_, flags, keywords, base_name, size, path, name, row[2]))
        if linked:
            write_behind.sync_directory(f"{target.directory}/cur")
    except OSError:
        _unlink_files(linked)
        raise
    return linked


def _path(target: MailboxHandle, name: str, flags: int) -> str:
    return f"{target.directory}/cur/{name}{wire_flags.to_info(flags)}"


def _unlink_files(linked: Sequence[_LinkedFile]) -> None:
    for each in linked:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(each.path)


@dataclass(frozen=True, slots=True)
class _LockedTarget:
    uid_validity: int
    uid_next: int
    modseq: int


def lock_both(first: int, second: int) -> dict[int, tuple[int, int, int, str]]:
    """Lock both mailboxes' rows in the order of their ids and return their columns."""
    rows = Mailbox.objects.select_for_update().filter(id__in={first, second}, selectable=True).order_by("id")
    return {row[0]: row[1:] for row in rows.values_list("id", "uid_validity", "uid_next", "highest_modseq", "keywords")}


def copy_messages(source: MailboxHandle, ranges: UidRanges, target: MailboxHandle) -> CopyResult | Refusal:
    """Copy messages to a mailbox: all or nothing."""
    return _transfer(source, ranges, target, _copy)


def move_messages(source: MailboxHandle, ranges: UidRanges, target: MailboxHandle) -> CopyResult | Refusal:
    """Move messages to a mailbox of this or another account, or within one: all or nothing."""
    return _transfer(source, ranges, target, _move)


# Does the work of the transaction; returns its result with the links that are needed.
_Operation = Callable[
    [MailboxHandle, Sequence[_LinkedFile], MailboxHandle], tuple[CopyResult, Sequence[_LinkedFile]] | Refusal
]


def _transfer(
    source: MailboxHandle, ranges: UidRanges, target: MailboxHandle, operation: _Operation
) -> CopyResult | Refusal:
    linked = _link_files(source, ranges, target)
    needed: Sequence[_LinkedFile] = ()
    try:
        outcome = retry.run_in_transaction(lambda: operation(source, linked, target))
        if isinstance(outcome, Refusal):
            return outcome
        transferred, needed = outcome
    finally:
        names = {each.new_name for each in needed}
        _unlink_files([each for each in linked if each.new_name not in names])
    for each in needed:
        path = _path(target, each.new_name, each.flags)
        if path != each.path:  # the flags changed in between; later changes rename the file themselves
            with contextlib.suppress(FileNotFoundError):
                os.rename(each.path, path)
    return transferred


def _copy(
    source: MailboxHandle, linked: Sequence[_LinkedFile], target: MailboxHandle
) -> tuple[CopyResult, Sequence[_LinkedFile]] | Refusal:
    locked = lock_both(source.id, target.id)
    if target.id not in locked:
        return NO_SUCH_MAILBOX
    rows = _reread_locked(source.id, linked, target)
    if refusal := _consume_quota(target.account_id, sum(each.size for each in rows), len(rows)):
        return refusal
    uid_validity, uid_next, highest, keywords = locked[target.id]
    _insert_copies(rows, target, uid_next, highest + 1)
    _add_counters(target.id, rows, uid_next, highest + 1, keywords)
    notifications.publish_mailboxes([target.id])
    uids = list(range(uid_next, uid_next + len(rows)))
    return CopyResult(uid_validity, [each.uid for each in rows], uids), rows


def _reread_locked(mailbox_id: int, linked: Sequence[_LinkedFile], target: MailboxHandle) -> list[_LinkedFile]:
    """Return the messages still in the mailbox, with their current flags and file names; the mailbox must be locked."""
    current: dict[int, tuple[int, str, str]] = {}
    for index in range(0, len(linked), BATCH):
        ids = ",".join([str(each.id) for each in linked[index : index + BATCH]])
        rows = message_table.fetch_rows(
            f"SELECT id, flags, keywords, base_name FROM {MESSAGE} WHERE mailbox_id = %s AND id IN ({ids})",
            (mailbox_id,),
        )
        current.update({row[0]: row[1:] for row in rows})
    mask, allows_keywords = flags_mask(target.rights), target.has_rights("w")
    present = []
    for each in linked:
        if (row := current.get(each.id)) is not None:
            flags, keywords, base_name = row
            present.append(
                replace(
                    each,
                    flags=flags & mask,
                    keywords=keywords if allows_keywords else "",
                    base_name=base_name,
                    old_flags=flags,
                )
            )
    return present


def _consume_quota(account_id: int, byte_count: int, count: int) -> Refusal | None:
    allowance = quota_limits.lock_allowances([account_id])[account_id]
    if allowance.limit_bytes and allowance.used_bytes + byte_count > allowance.limit_bytes:
        return OVER_QUOTA
    if allowance.limit_messages and allowance.used_messages + count > allowance.limit_messages:
        return OVER_QUOTA
    Account.objects.filter(pk=account_id).update(
        used_bytes=F("used_bytes") + byte_count, used_messages=F("used_messages") + count
    )
    return None


_SUMMARY_FIELDS = ", ".join(
    [message_table.COLUMNS[name].removeprefix("s.") for name in message_table.OF_SUMMARY] + ["has_attachment"]
)


def _permitted_flags_sql(target: MailboxHandle) -> tuple[str, str]:
    """Return SQL for flags and keywords of added messages, less those the client may not set there (RFC 4314 §4)."""
    if target.rights == acl_syntax.ALL:
        return "flags", "keywords"
    return f"flags & {flags_mask(target.rights):d}", "keywords" if target.has_rights("w") else "''"


def _insert_copies(rows: Sequence[_LinkedFile], target: MailboxHandle, uid_next: int, modseq: int) -> None:
    """Insert rows that differ from their sources in mailbox, UID, modseq, file and time saved."""
    current = int(time())
    mailbox_id = target.id
    flags, keywords = _permitted_flags_sql(target)
    message_table.execute_many(
        f"INSERT INTO {MESSAGE} (mailbox_id, uid, modseq, flags, keywords, base_name, size, internal_at, saved_at,"
        " sent_at, sent_zone, line_end_growth)"
        f" SELECT %s, %s, %s, {flags}, {keywords}, %s, size, internal_at, %s, sent_at, sent_zone, line_end_growth"
        f" FROM {MESSAGE} WHERE id = %s",
        [(mailbox_id, uid_next + index, modseq, each.new_name, current, each.id) for index, each in enumerate(rows)],
    )
    pairs = [(mailbox_id, uid_next + index, each.id) for index, each in enumerate(rows)]
    new_id = f"(SELECT n.id FROM {MESSAGE} n WHERE n.mailbox_id = %s AND n.uid = %s)"
    message_table.execute_many(
        f"INSERT INTO {SUMMARY} (message_id, {_SUMMARY_FIELDS})"
        f" SELECT {new_id}, {_SUMMARY_FIELDS} FROM {SUMMARY} WHERE message_id = %s",
        pairs,
    )
    message_table.execute_many(
        f"INSERT INTO {TEXT} (message_id, headers, body)"
        f" SELECT {new_id}, headers, body FROM {TEXT} WHERE message_id = %s",
        pairs,
    )


def _add_counters(mailbox_id: int, rows: Sequence[_LinkedFile], uid_next: int, modseq: int, keywords: str) -> None:
    merged = keywords.split()
    for allows_keywords in {each.keywords for each in rows}:
        merged += [word for word in allows_keywords.split() if word.lower() not in {each.lower() for each in merged}]
    Mailbox.objects.filter(pk=mailbox_id).update(
        uid_next=uid_next + len(rows),
        highest_modseq=modseq,
        messages=F("messages") + len(rows),
        unseen=F("unseen") + sum(not each.flags & wire_flags.SEEN for each in rows),
        size=F("size") + sum(each.size for each in rows),
        keywords=" ".join(merged),
    )


def _move(
    source: MailboxHandle, linked: Sequence[_LinkedFile], target: MailboxHandle
) -> tuple[CopyResult, Sequence[_LinkedFile]] | Refusal:
    locked = lock_both(source.id, target.id)
    if source.id not in locked or target.id not in locked:
        return NO_SUCH_MAILBOX
    rows = _reread_locked(source.id, linked, target)
    uid_validity, uid_next, target_modseq, keywords = locked[target.id]
    byte_count = sum(each.size for each in rows)
    if target.account_id != source.account_id:
        if refusal := _consume_quota(target.account_id, byte_count, len(rows)):
            return refusal
        Account.objects.filter(pk=source.account_id).update(
            used_bytes=F("used_bytes") - byte_count, used_messages=F("used_messages") - len(rows)
        )
    modseq = locked[source.id][2] + 1
    target_modseq = modseq if target.id == source.id else target_modseq + 1
    event_log.record_moved((each.id for each in rows), source, target)
    _move_rows(source.id, rows, target, uid_next, target_modseq, modseq)
    unseen = sum(not each.old_flags & wire_flags.SEEN for each in rows)
    expunge.subtract_counters(source.id, modseq, rows=len(rows), unseen=unseen, byte_count=byte_count)
    _add_counters(target.id, rows, uid_next, target_modseq, keywords)
    notifications.publish_mailboxes([source.id, target.id])
    uids = list(range(uid_next, uid_next + len(rows)))
    files = [(each.base_name, each.old_flags) for each in rows]
    return CopyResult(uid_validity, [each.uid for each in rows], uids, modseq, files), rows


def _move_rows(
    source_id: int, rows: Sequence[_LinkedFile], target: MailboxHandle, uid_next: int, target_modseq: int, modseq: int
) -> None:
    current = int(time())
    flags, keywords = _permitted_flags_sql(target)
    message_table.execute_many(
        f"INSERT INTO {EXPUNGED} (mailbox_id, uid, modseq) VALUES (%s, %s, %s)",
        [(source_id, each.uid, modseq) for each in rows],
    )
    message_table.execute_many(
        f"UPDATE {MESSAGE} SET mailbox_id = %s, uid = %s, modseq = %s, base_name = %s, saved_at = %s, flags = {flags},"
        f" keywords = {keywords} WHERE id = %s",
        [
            (target.id, uid_next + index, target_modseq, each.new_name, current, each.id)
            for index, each in enumerate(rows)
        ],
    )
