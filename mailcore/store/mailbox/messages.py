"""Messages as IMAP sees them: list, read, set flags, and find what changed since a modseq.

Called by the IMAP server through the executor; UIDs in, values out. Every change raises the mailbox's highest modseq by
one in its transaction, so every transaction has a number of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from django.db import transaction

from mailcore.models import Mailbox, Message
from mailcore.store.db import message_table
from mailcore.store.db.message_table import BATCH, MAILBOX, MESSAGE, UidRanges
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.sequence_set import to_ranges
from mailcore.wire.imap.syntax.acl_syntax import flags_mask

list_columns = message_table.select_messages


# --- Changes --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MailboxChanges:
    """Changes of a mailbox after a modseq.

    `rows` are (uid, flags, keywords, modseq) of messages that are new or have other flags; `gone` are expunged UIDs.
    `exists` is False if the mailbox has been deleted.
    """

    highest_modseq: int
    uid_next: int
    rows: list[tuple[int, int, str, int]]
    gone: list[int]
    keywords: str
    exists: bool = True


_STATE = f"SELECT highest_modseq, uid_next, keywords, selectable, uid_validity FROM {MAILBOX} WHERE id = %s"


def changes_since(mailbox_id: int, uid_validity: int, since: int) -> MailboxChanges | None:
    """Return what changed after a modseq, or None if nothing did.

    Rows may include changes made during the call; they are then reported twice, which does no harm.
    """
    state = message_table.fetch_rows(_STATE, (mailbox_id,))
    if not state or not state[0][3] or state[0][4] != uid_validity:
        return MailboxChanges(since, 0, [], [], "", exists=False)
    highest, uid_next, keywords, _, _ = state[0]
    if highest == since:
        return None
    rows = message_table.fetch_rows(
        f"SELECT uid, flags, keywords, modseq FROM {MESSAGE} WHERE mailbox_id = %s AND modseq > %s ORDER BY uid",
        (mailbox_id, since),
    )
    return MailboxChanges(highest, uid_next, rows, vanished_uids(mailbox_id, since), keywords)


def vanished_uids(mailbox_id: int, since: int, ranges: UidRanges | None = None) -> list[int]:
    """Return UIDs expunged after a modseq (RFC 7162 §3.2.5), in order."""
    sql = f"SELECT uid FROM {message_table.EXPUNGED} m WHERE mailbox_id = %s AND modseq > %s"
    if ranges is None:
        return [uid for (uid,) in message_table.fetch_rows(sql + " ORDER BY uid", (mailbox_id, since))]
    expunged = [
        uid
        for condition in message_table.uid_conditions(ranges)
        for (uid,) in message_table.fetch_rows(f"{sql} AND {condition}", (mailbox_id, since))
    ]
    return sorted(expunged)


def changed_since(mailbox_id: int, modseq: int, ranges: UidRanges) -> tuple[list[tuple[int, int, str, int]], list[int]]:
    """Return (uid, flags, keywords, modseq) of messages changed after a modseq, and UIDs of those expunged."""
    if not ranges:
        return [], []
    return list_columns(mailbox_id, ("uid", "flags", "keywords", "modseq"), ranges, modseq), vanished_uids(
        mailbox_id, modseq, ranges
    )


# --- Reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MessageFile:
    """The data needed to find one message's file."""

    uid: int
    base_name: str
    flags: int
    size: int


def message_files(mailbox_id: int, ranges: UidRanges) -> list[MessageFile]:
    """Return what is needed to find the files of messages, in the order of UIDs."""
    return [
        MessageFile(*row)
        for row in message_table.select_messages(mailbox_id, ("uid", "base_name", "flags", "size"), ranges)
    ]


def read_message(mailbox: MailboxHandle, file: MessageFile) -> bytes | None:
    """Return the whole message, or None if its file is missing."""
    try:
        return maildir_files.read_message(mailbox.directory, file.base_name, file.flags)
    except FileNotFoundError:
        pass
    directory = _current_directory(mailbox)
    try:
        return maildir_files.read_message(directory, file.base_name, file.flags) if directory else None
    except FileNotFoundError:
        return None


def _current_directory(mailbox: MailboxHandle) -> str | None:
    """Return the mailbox's directory now, since it may have been renamed after it was opened."""
    row = Mailbox.objects.filter(pk=mailbox.id).values_list("account__address", "folder").first()
    return maildir_files.folder_directory(*row) if row else None


def read_messages(mailbox: MailboxHandle, files: Sequence[MessageFile]) -> list[bytes | None]:
    """Return whole messages, None for each without a file."""
    return [read_message(mailbox, file) for file in files]


# --- Flags ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StoreResult:
    """The outcome of STORE.

    `rows` are (uid, flags, keywords, modseq), as they are now, of all requested messages that exist, except `failed`,
    the UIDs that changed since UNCHANGEDSINCE. `stale` are the files whose names do not show their flags yet, for
    `write_flag_names`. `modseq` is 0 if nothing changed.
    """

    rows: list[tuple[int, int, str, int]]
    failed: list[int]
    modseq: int
    stale: list[tuple[str, int, int]]  # base name, flags before, flags now


Mode = Literal["add", "remove", "replace"]


def store_flags(
    mailbox: MailboxHandle,
    ranges: UidRanges,
    mode: Mode,
    flags: int,
    keywords: Sequence[str],
    unchanged_since: int = -1,
) -> StoreResult:
    """Execute STORE (RFC 9051 §6.4.6, RFC 7162 §3.1.3)."""
    with transaction.atomic():
        state = message_table.locked_mailbox(mailbox.id, "highest_modseq, keywords")
        if state is None:
            return StoreResult([], [], 0, [])
        modseq, all_keywords = state[0] + 1, state[1]
        rows: list[tuple[int, int, str, int]] = []
        failed: list[int] = []
        stale: list[tuple[str, int, int]] = []
        changed: dict[tuple[int, str], list[int]] = {}
        unseen = 0
        flags &= flags_mask(mailbox.rights)
        if not mailbox.has_rights("w"):
            keywords = ()
        change = _FlagChange(mode, flags, keywords, mailbox)
        for uid, old_flags, old_keywords, old_modseq, base_name in message_table.select_messages(
            mailbox.id, _STORED, ranges
        ):
            if 0 <= unchanged_since < old_modseq:
                failed.append(uid)
                continue
            new = change.apply(old_flags, old_keywords)
            if new == (old_flags, old_keywords):
                rows.append((uid, old_flags, old_keywords, old_modseq))
                continue
            if new[0] != old_flags:
                stale.append((base_name, old_flags, new[0]))
                unseen += (old_flags & wire_flags.SEEN) - (new[0] & wire_flags.SEEN)
            changed.setdefault(new, []).append(uid)
            rows.append((uid, *new, modseq))
        if not changed:
            return StoreResult(rows, failed, 0, [])
        if mode != "replace" and not keywords and not failed:
            _update_bits(mailbox.id, ranges, mode, flags, modseq)
        else:
            for (new_flags, new_keywords), uids in changed.items():
                _update(mailbox.id, uids, new_flags, new_keywords, modseq)
        message_table.execute(
            f"UPDATE {MAILBOX} SET highest_modseq = %s, unseen = unseen + %s, keywords = %s WHERE id = %s",
            (modseq, unseen, all_keywords if mode == "remove" else _merge_keywords(all_keywords, keywords), mailbox.id),
        )
        notifications.publish_mailboxes([mailbox.id])
    return StoreResult(rows, failed, modseq, stale)


_STORED = ("uid", "flags", "keywords", "modseq", "base_name")


def _merge_keywords(all_keywords: str, keywords: Sequence[str]) -> str:
    present = {word.lower() for word in all_keywords.split()}
    return " ".join([*all_keywords.split(), *[word for word in dict.fromkeys(keywords) if word.lower() not in present]])


class _FlagChange:
    """The effect of a STORE on a message's flags; each combination is computed once."""

    def __init__(self, mode: Mode, flags: int, keywords: Sequence[str], mailbox: MailboxHandle) -> None:
        self._mode = mode
        self._mask = flags_mask(mailbox.rights)  # the flags that a replacement may change
        self._allows_keywords = mailbox.has_rights("w")
        self._flags = flags
        self._keywords = keywords
        self._lower = {word.lower() for word in keywords}
        self._results: dict[tuple[int, str], tuple[int, str]] = {}

    def apply(self, flags: int, keywords: str) -> tuple[int, str]:
        before = (flags, keywords)
        after = self._results.get(before)
        if after is None:
            after = self._results[before] = self._compute(flags, keywords)
        return after

    def _compute(self, flags: int, keywords: str) -> tuple[int, str]:
        old_words = keywords.split()
        if self._mode == "replace":
            new_bits = flags & ~self._mask | self._flags
            return new_bits, " ".join(dict.fromkeys(self._keywords)) if self._allows_keywords else keywords
        if self._mode == "remove":
            return flags & ~self._flags, " ".join(word for word in old_words if word.lower() not in self._lower)
        present = {word.lower() for word in old_words}
        return flags | self._flags, " ".join(
            old_words + [word for word in self._keywords if word.lower() not in present]
        )


def _update(mailbox_id: int, uids: list[int], flags: int, keywords: str, modseq: int) -> None:
    sql = f"UPDATE {MESSAGE} SET flags = %s, keywords = %s, modseq = %s WHERE mailbox_id = %s AND "
    values = (flags, keywords, modseq, mailbox_id)
    ranges = to_ranges(uids)
    if len(ranges) * 4 < len(uids):  # mostly adjacent
        for low, high in ranges:
            message_table.execute(f"{sql} uid BETWEEN %s AND %s", (*values, low, high))
        return
    for start in range(0, len(uids), BATCH):
        message_table.execute(f"{sql} uid IN ({','.join(map(str, uids[start : start + BATCH]))})", values)


def _update_bits(mailbox_id: int, ranges: UidRanges, mode: Mode, bits: int, modseq: int) -> None:
    """Change system flags only: the database computes the new value."""
    if mode == "add":
        new_value, differs = f"flags | {bits:d}", f"flags & {bits:d} <> {bits:d}"
    else:
        new_value, differs = f"flags & {~bits & 0x7FFF:d}", f"flags & {bits:d} <> 0"
    for condition in message_table.uid_conditions(ranges):
        message_table.execute(
            f"UPDATE {MESSAGE} SET flags = {new_value}, modseq = %s"
            f" WHERE mailbox_id = %s AND {condition.replace('m.uid', 'uid')} AND {differs}",
            (modseq, mailbox_id),
        )


def write_flag_names(mailbox: MailboxHandle, stale: Sequence[tuple[str, int, int]]) -> None:
    """Rename files to the flags of their messages (base name, flags before, flags now).

    It may run late: a file that has been renamed since is searched for, and gets the flags its message has by then.
    """
    missing = maildir_files.rename_expected(mailbox.directory, stale)
    for start in range(0, len(missing), BATCH):
        rows = Message.objects.filter(mailbox_id=mailbox.id, base_name__in=missing[start : start + BATCH])
        maildir_files.rename_files(mailbox.directory, dict(rows.values_list("base_name", "flags")))


def uid_batches(ranges: UidRanges, size: int = BATCH) -> Iterator[UidRanges]:
    """Yield parts of the ranges, none of which spans more than `size` UIDs."""
    part: list[tuple[int, int]] = []
    remaining = size
    for low, high in ranges:
        while low <= high:
            end = min(high, low + remaining - 1)
            part.append((low, end))
            remaining -= end - low + 1
            low = end + 1
            if not remaining:
                yield part
                part, remaining = [], size
    if part:
        yield part
