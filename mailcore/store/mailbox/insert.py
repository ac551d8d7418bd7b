"""Inserting messages into mailboxes, for couriers, APPEND and imports alike.

Two steps, so that no transaction waits for a disk: `stage_files` writes the files and scans them; `insert_messages`,
inside the caller's transaction, gives them UIDs and makes them visible. Inserting one (mailbox, base name) twice makes
one message, so that a repeated delivery creates no duplicate.

File data of a staged file is durable, its directory entry is not yet. A courier keeps the queue's content file until it
has made the directory entries durable too, many messages at once (`mta.delivery.crash_recovery`); `restore_files`
repairs what a power failure lost in between.
"""

import contextlib
import hashlib
import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import time
from typing import Self

from mailcore.models import Account, Mailbox, Message, MessageSummary, MessageText
from mailcore.store.db.compiled_queries import CompiledQuery, execute_many, insert_returning, insert_rows
from mailcore.store.db.message_table import MAILBOX, fetch_rows, table_name
from mailcore.store.mailbox import quota_limits
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.store.notify import notifications
from mailcore.values import Arrival, Reply
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.message.message_scan import MessageScan, scan_message

# A file larger than this is mapped and scanned in place instead of being read into memory.
_MAP_ABOVE = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """A message ready to be inserted: its file at `path` is durable, or its content is stored with its rows."""

    arrival: Arrival
    mailbox_id: int
    path: str
    size: int  # bytes of the file
    scan: MessageScan
    email_id: str
    uid: int = 0  # the UID an import wants to preserve; a higher one is used if that is taken
    is_new: bool = False  # its base name is new, so it cannot have been inserted before
    carried: bytes | None = None  # the content, if the transaction stores it (`write_behind`)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that is visible now; `again` if an earlier attempt had inserted it already."""

    mailbox_id: int
    uid_validity: int
    uid: int
    again: bool = False


def stage_files(arrivals: Sequence[Arrival]) -> list[StagedMessage | Reply]:
    """Write and scan the files of `arrivals`; return them in order, with a Reply where there is no mailbox.

    A file that several arrivals share is scanned once. Raise OSError if the disk reports an error; nothing is lost
    then, since the source files stay.
    """
    places = _find_directories(arrivals)
    scans: dict[tuple[object, int], tuple[MessageScan, str]] = {}
    staged: list[StagedMessage | Reply] = []
    for arrival in arrivals:
        place = places.get((arrival.account_id, arrival.mailbox))
        if place is None:
            staged.append(Reply(550, "5.1.1", "User unknown"))
            continue
        mailbox_id, directory = place
        key = (arrival.file, arrival.skip)
        with _Content(arrival) as content:
            if arrival.header is not None:
                staged.append(_stage_edited(arrival, mailbox_id, directory, content.below_trace()))
                continue
            if key not in scans:
                below = content.below_trace()
                scans[key] = (scan_message(content.data, arrival.skip), email_id(below))
            if arrival.link:
                path = maildir_files.link_into_new(str(arrival.file), directory, arrival.base_name)
                size = content.size
            else:
                path = maildir_files.write_file(directory, arrival.base_name, (arrival.trace, content.below_trace()))
                size = content.size - arrival.skip + len(arrival.trace)
        staged.append(StagedMessage(arrival, mailbox_id, path, size, *scans[key]))
    return staged


def _stage_edited(arrival: Arrival, mailbox_id: int, directory: str, body: bytes | memoryview) -> StagedMessage:
    """Write and scan a message whose header a filter has changed.

    Its name is made durable at once: `restore_files` would restore the message as it was received.
    """
    assert arrival.header is not None
    path = maildir_files.write_file(directory, arrival.base_name, (arrival.trace, arrival.header, body))
    maildir_files.sync_directories([os.path.dirname(path)])
    trace_size = len(arrival.trace)
    with _Content(replace(arrival, file=Path(path), skip=trace_size)) as content:
        scan = scan_message(content.data, trace_size)
        return StagedMessage(arrival, mailbox_id, path, content.size, scan, email_id(content.below_trace()))


def write_tmp_files(contents: Sequence[tuple[Arrival, bytes]]) -> list[StagedMessage | Reply]:
    """Write content in memory, which begins with the arrival's trace headers, into `tmp`, and scan it.

    Like `stage_files`, but the files stay invisible: rename them with `maildir_files.publish_file` once the transaction
    that inserts them has been committed. Insert what this returns, or call `discard_staged`. Raise OSError if the disk
    reports an error; no file is left then.
    """
    places = _find_directories([arrival for arrival, _ in contents])
    paths: list[str] = []  # "" where there is no mailbox
    try:
        for arrival, content in contents:
            place = places.get((arrival.account_id, arrival.mailbox))
            paths.append(maildir_files.write_tmp(place[1], arrival.base_name, content) if place else "")
        carried = [
            bool(path) and write_behind.fits_inline(len(content), os.path.dirname(path))
            for path, (_, content) in zip(paths, contents, strict=True)
        ]
        # The messages are scanned while the disk flushes.
        with maildir_files.durable_when_done(
            [path for path, is_carried in zip(paths, carried, strict=True) if path and not is_carried]
        ):
            return [
                _staged_in_tmp(
                    arrival, content, places[arrival.account_id, arrival.mailbox][0], path, is_carried=is_carried
                )
                if path
                else Reply(550, "5.1.1", "User unknown")
                for (arrival, content), path, is_carried in zip(contents, paths, carried, strict=True)
            ]
    except OSError:
        for path in filter(None, paths):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        raise


def _staged_in_tmp(arrival: Arrival, content: bytes, mailbox_id: int, path: str, *, is_carried: bool) -> StagedMessage:
    return StagedMessage(
        arrival,
        mailbox_id,
        path,
        len(content),
        scan_message(content, arrival.skip),
        email_id(memoryview(content)[arrival.skip :]),
        is_new=True,
        carried=content if is_carried else None,
    )


def discard_staged(staged: Iterable[StagedMessage | Reply]) -> None:
    """Remove the files of staged messages that will not be inserted."""
    for item in staged:
        if isinstance(item, StagedMessage):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(item.path)


def restore_files(arrivals: Sequence[Arrival], restoring: Callable[[], None]) -> set[str]:
    """Write files of inserted messages again after a power failure lost their directory entries.

    `restoring` is called before each. Messages that have since been moved or expunged are left so. Return the
    directories to sync.
    """
    changed: set[str] = set()
    places = _find_directories(arrivals)
    for arrival in arrivals:
        mailbox_id, directory = places.get((arrival.account_id, arrival.mailbox), (0, ""))
        if not directory or not _existing_query.rows([mailbox_id], [arrival.base_name]):
            continue
        changed.add(os.path.join(directory, "new"))
        if not maildir_files.has_file(directory, arrival.base_name):
            restoring()
            with _Content(arrival) as content:
                if arrival.link:
                    maildir_files.link_into_new(str(arrival.file), directory, arrival.base_name)
                else:
                    maildir_files.write_file(directory, arrival.base_name, (arrival.trace, content.below_trace()))
    return changed


NO_FILE = Path()  # for an arrival whose file is in its final place already


def stage_existing_file(arrival: Arrival, mailbox_id: int, path: str, *, uid: int = 0) -> StagedMessage:
    """Scan a message whose file is in its Maildir already; raise FileNotFoundError if there is none."""
    with _Content(replace(arrival, file=Path(path))) as content:
        return StagedMessage(
            arrival,
            mailbox_id,
            path,
            content.size,
            scan_message(content.data, 0),
            email_id(content.below_trace()),
            uid,
        )


def email_id(content: bytes | memoryview | mmap.mmap) -> str:
    """Return the EMAILID (RFC 8474 §5.1), equal for equal content; processors have SHA-256 built in."""
    return hashlib.sha256(content).hexdigest()[:32]


class _Content:
    """The bytes of an arrival's file: read if small, mapped if large."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival

    def __enter__(self) -> Self:
        self._file = open(self._arrival.file, "rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self.size > _MAP_ABOVE else None
        self.data = self._map if self._map is not None else self._file.read()
        # One shared view: the map can be closed only when no view of it is left.
        self._view = memoryview(self._map)[self._arrival.skip :] if self._map is not None else None
        return self

    def below_trace(self) -> bytes | memoryview:
        if self._view is not None:
            return self._view
        assert isinstance(self.data, bytes)
        return self.data[self._arrival.skip :] if self._arrival.skip else self.data

    def __exit__(self, *_: object) -> None:
        if self._view is not None and self._map is not None:
            self._view.release()
            self._map.close()
        self._file.close()


_mailbox_query = CompiledQuery(
    lambda accounts, names: Mailbox.objects.filter(
        account_id__in=accounts, name__in=names, selectable=True
    ).values_list("account_id", "name", "id", "account__address", "folder"),
    (int,),
    (str,),
)


def _find_directories(arrivals: Sequence[Arrival]) -> dict[tuple[int, str], tuple[int, str]]:
    """Return (account, mailbox name) → (mailbox id, directory)."""
    existing = {(a.account_id, a.mailbox): a.place for a in arrivals if a.place}
    unresolved = [a for a in arrivals if not a.place]
    if not unresolved:
        return existing
    rows = _mailbox_query.rows(list({a.account_id for a in unresolved}), list({a.mailbox for a in unresolved}))
    directories = {
        (account, name): (id_, maildir_files.folder_directory(address, dir_))
        for account, name, id_, address, dir_ in rows
    }
    return directories | existing


_lock_mailboxes = CompiledQuery(
    lambda ids: (
        Mailbox.objects.select_for_update()
        .filter(id__in=ids)
        .order_by("id")
        .values_list("id", "account_id", "uid_validity", "uid_next", "highest_modseq")
    ),
    (int,),
)
_existing_query = CompiledQuery(
    lambda ids, names: Message.objects.filter(mailbox_id__in=ids, base_name__in=names).values_list(
        "mailbox_id", "base_name", "uid"
    ),
    (int,),
    (str,),
)


def insert_messages(
    staged: Sequence[StagedMessage | Reply],
    *,
    quotas: bool = True,
    warn: Callable[[Iterable[quota_limits.QuotaCrossing]], None] | None = None,
) -> list[StoredMessage | Reply]:
    """Give staged messages their UIDs; call inside `transaction.atomic()`.

    Return the outcome of each in order: StoredMessage, or a Reply (4.2.2 or 5.2.2 over quota, whose file is removed
    again; or the Reply it had before). Without `quotas` messages are counted but never refused, since they are stored
    already. `warn` is called with the accounts that have become nearly full.
    """
    to_insert = [s for s in staged if isinstance(s, StagedMessage)]
    # Rows are locked in the order of their ids everywhere, so that two writers never deadlock.
    ids = {s.mailbox_id for s in to_insert}
    if not to_insert:
        return [s for s in staged if isinstance(s, Reply)]
    mailboxes = {row[0]: _Counters(*row) for row in _lock_mailboxes.rows(list(ids))}
    names = [s.arrival.base_name for s in to_insert if not s.is_new]
    rows = _existing_query.rows(list(ids), names) if names else []
    existing = {(mailbox_id, base_name): uid for mailbox_id, base_name, uid in rows}
    allowances = quota_limits.lock_allowances({counters.account_id for counters in mailboxes.values()})
    results: list[StoredMessage | Reply] = []
    inserted: list[tuple[StagedMessage, int, int]] = []  # with UID and MODSEQ
    now = int(time())
    for item in staged:
        if isinstance(item, Reply):
            results.append(item)
            continue
        counters = mailboxes.get(item.mailbox_id)
        if counters is None:  # deleted since it was staged
            results.append(Reply(550, "5.1.1", "User unknown"))
            continue
        uid = existing.get((counters.id, item.arrival.base_name))
        if uid is not None:
            results.append(StoredMessage(counters.id, counters.uid_validity, uid, again=True))
            continue
        allowance = allowances[counters.account_id]
        if not quotas:
            allowance.add_usage(item.size)
        elif (refusal := allowance.consume(item.size)) is not None:
            discard_staged([item])
            results.append(refusal)
            continue
        uid = counters.add(item)
        existing[counters.id, item.arrival.base_name] = uid
        inserted.append((item, uid, counters.highest_modseq + 1))
        results.append(StoredMessage(counters.id, counters.uid_validity, uid))
    _insert_rows(inserted, now)
    _add_keywords(inserted)
    _update_counters([counters for counters in mailboxes.values() if counters.messages], allowances.values())
    if warn is not None:
        warn(quota_limits.find_crossings(allowances.values()))
    notifications.publish_mailboxes(counters.id for counters in mailboxes.values() if counters.messages)
    return results


def _add_keywords(inserted: Sequence[tuple[StagedMessage, int, int]]) -> None:
    """Add keywords of new messages to the keywords of their mailbox."""
    added: dict[int, dict[str, None]] = {}
    for item, _, _ in inserted:
        if item.arrival.keywords:
            added.setdefault(item.mailbox_id, {}).update(dict.fromkeys(item.arrival.keywords))
    for mailbox_id, new_keywords in added.items():
        existing = fetch_rows(f"SELECT keywords FROM {MAILBOX} WHERE id = %s", (mailbox_id,))[0][0].split()
        lower = {word.lower() for word in existing}
        if new := [word for word in new_keywords if word.lower() not in lower]:
            Mailbox.objects.filter(pk=mailbox_id).update(keywords=" ".join(existing + new))


@dataclass(slots=True)
class _Counters:
    """A locked mailbox row and what this transaction adds to it."""

    id: int
    account_id: int
    uid_validity: int
    uid_next: int
    highest_modseq: int
    messages: int = 0
    unseen: int = 0
    size: int = 0

    def add(self, item: StagedMessage) -> int:
        uid = max(self.uid_next, item.uid)
        self.uid_next = uid + 1
        self.messages += 1
        self.unseen += not item.arrival.flags & wire_flags.SEEN
        self.size += item.size
        return uid


def _update_counters(boxes: Sequence[_Counters], allowances: Iterable[quota_limits.QuotaAllowance]) -> None:
    """Add the batch to the counters: one statement for each mailbox and each account."""
    execute_many(
        f"UPDATE {MAILBOX} SET uid_next = %s, highest_modseq = %s, messages = messages + %s,"
        " unseen = unseen + %s, size = size + %s WHERE id = %s",
        [(b.uid_next, b.highest_modseq + 1, b.messages, b.unseen, b.size, b.id) for b in boxes],
    )
    execute_many(
        f"UPDATE {_ACCOUNT} SET used_bytes = used_bytes + %s, used_messages = used_messages + %s WHERE id = %s",
        [(p.added_bytes, p.added_messages, p.account_id) for p in allowances if p.added_messages],
    )


_ACCOUNT = table_name(Account)
_MESSAGE = (
    *("mailbox_id", "uid", "modseq", "flags", "keywords", "base_name", "size", "internal_at", "saved_at", "sent_at"),
    *("sent_zone", "line_end_growth"),
)
_SUMMARY = (
    *("message_id", "envelope", "body_structure", "subject_key", "from_key", "to_key", "cc_key", "from_display"),
    *("to_display", "header_message_id", "references", "preview", "has_attachment", "email_id", "thread_id"),
    "is_reply",
)


def _insert_rows(inserted: Sequence[tuple[StagedMessage, int, int]], now: int) -> None:
    keys = insert_returning(Message, _MESSAGE, [_message_row(item, uid, modseq, now) for item, uid, modseq in inserted])
    items = [(key, item) for key, (item, _, _) in zip(keys, inserted, strict=True)]
    insert_rows(MessageSummary, _SUMMARY, [_summary_row(key, item) for key, item in items])
    insert_rows(
        MessageText,
        ("message_id", "headers", "body"),
        [(key, _headers_text(item), item.scan.body_text) for key, item in items],
    )
    write_behind.attach_content([(key, item.path, item.carried) for key, item in items if item.carried is not None])


def _message_row(item: StagedMessage, uid: int, modseq: int, now: int) -> tuple[object, ...]:
    arrival, seen = item.arrival, item.scan
    return (
        item.mailbox_id,
        uid,
        modseq,
        arrival.flags,
        " ".join(arrival.keywords),
        arrival.base_name,
        item.size,
        arrival.internal_at,
        now,
        seen.sent_at if seen.sent_at is not None else arrival.internal_at,
        seen.sent_zone,
        seen.line_end_growth,
    )


def _summary_row(key: int, item: StagedMessage) -> tuple[object, ...]:
    seen = item.scan
    root = seen.references.split(" ", 1)[0] or seen.message_id or item.email_id
    return (
        key,
        seen.envelope,
        seen.body_structure,
        seen.subject_key,
        seen.from_key,
        seen.to_key,
        seen.cc_key,
        seen.from_display,
        seen.to_display,
        seen.message_id,
        seen.references,
        seen.preview,
        seen.has_attachment,
        item.email_id,
        hashlib.blake2b(root.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest(),
        seen.is_reply,
    )


def _headers_text(item: StagedMessage) -> str:
    trace = item.arrival.trace
    if not trace:
        return item.scan.headers_text
    return trace.decode("utf-8", "replace").replace("\r\n", "\n").casefold() + item.scan.headers_text
