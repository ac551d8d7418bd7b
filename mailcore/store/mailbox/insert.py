"""Putting messages into mailboxes: the one way in, for couriers, APPEND and imports alike.

Two steps, so that no transaction waits for a disk: `stage` puts the files in place and scans them;
`enter`, inside the caller's transaction, gives them UIDs and makes them visible. Entering the same
(mailbox, base name) twice makes one message, which is what makes local delivery happen once.

The content of a staged file is durable, its new name not yet. A courier keeps the queue's file until it
has made the names durable too, many messages at once (`post.leftovers`); `restore` is for what a power
failure took in between.
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

# Above this a message is scanned where it lies instead of being read into memory.
_MAP_ABOVE = 1 << 20


@dataclass(frozen=True, slots=True)
class StagedMessage:
    """A message whose file is durable at `path`, or else carried, ready to be entered."""

    arrival: Arrival
    mailbox_id: int
    path: str
    size: int  # bytes of the file
    scan: MessageScan
    email_id: str
    uid: int = 0  # the UID an import wants kept; it gets the next one where that is used up
    fresh: bool = False  # its base name is new: it cannot have been entered before
    carried: bytes | None = None  # the content, where the transaction is to carry it (`unsynced`)


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message that is visible now. `again`: it was there already, from an earlier attempt."""

    mailbox_id: int
    uid_validity: int
    uid: int
    again: bool = False


def stage_files(arrivals: Sequence[Arrival]) -> list[StagedMessage | Reply]:
    """Place and scan the files of `arrivals`; in the same order, a Reply where there is no mailbox.

    A file that several arrivals share is scanned once. OSError: the disk refused; nothing is lost, for
    the source files stay.
    """
    places = _find_directories(arrivals)
    scans: dict[tuple[object, int], tuple[MessageScan, str]] = {}
    staged: list[StagedMessage | Reply] = []
    for arrival in arrivals:
        place = places.get((arrival.account_id, arrival.mailbox))
        if place is None:
            staged.append(Reply(550, "5.1.1", "User unknown"))
            continue
        mailbox_id, where = place
        key = (arrival.file, arrival.skip)
        with _Content(arrival) as content:
            if key not in scans:
                below = content.below_trace()
                scans[key] = (scan_message(content.octets, arrival.skip), email_id(below))
            if arrival.link:
                path = maildir_files.link_into_new(str(arrival.file), where, arrival.base_name)
                size = content.size
            else:
                path = maildir_files.write_file(where, arrival.base_name, (arrival.trace, content.below_trace()))
                size = content.size - arrival.skip + len(arrival.trace)
        staged.append(StagedMessage(arrival, mailbox_id, path, size, *scans[key]))
    return staged


def write_tmp_files(contents: Sequence[tuple[Arrival, bytes]]) -> list[StagedMessage | Reply]:
    """`stage` for content in memory, which begins with the arrival's trace: each file is written into `tmp`,
    where nobody sees it, and is for `maildir.reveal` once the transaction that enters it has been committed. Enter
    what this returns, or `discard` it. OSError: the disk refused, nothing is left of any."""
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
        # The messages are read while the disk works.
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
        fresh=True,
        carried=content if is_carried else None,
    )


def discard_staged(staged: Iterable[StagedMessage | Reply]) -> None:
    """Remove the files of what will not be entered."""
    for item in staged:
        if isinstance(item, StagedMessage):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(item.path)


def restore_files(arrivals: Sequence[Arrival], restoring: Callable[[], None]) -> set[str]:
    """After a power failure: place again the files of messages that were entered and whose names were
    lost; `restoring` is called before each. Messages that have since been moved or expunged stay so. Returns the
    directories to sync."""
    changed: set[str] = set()
    places = _find_directories(arrivals)
    for arrival in arrivals:
        mailbox_id, where = places.get((arrival.account_id, arrival.mailbox), (0, ""))
        if not where or not _find_known.rows([mailbox_id], [arrival.base_name]):
            continue
        changed.add(os.path.join(where, "new"))
        if not maildir_files.has_file(where, arrival.base_name):
            restoring()
            with _Content(arrival) as content:
                if arrival.link:
                    maildir_files.link_into_new(str(arrival.file), where, arrival.base_name)
                else:
                    maildir_files.write_file(where, arrival.base_name, (arrival.trace, content.below_trace()))
    return changed


NO_FILE = Path()  # of an arrival whose file is in its place already


def stage_existing_file(arrival: Arrival, mailbox_id: int, path: str, *, uid: int = 0) -> StagedMessage:
    """A message that lies in its Maildir already, scanned. FileNotFoundError: it is gone."""
    with _Content(replace(arrival, file=Path(path))) as content:
        return StagedMessage(
            arrival,
            mailbox_id,
            path,
            content.size,
            scan_message(content.octets, 0),
            email_id(content.below_trace()),
            uid,
        )


def email_id(content: bytes | memoryview | mmap.mmap) -> str:
    """EMAILID (RFC 8474 §5.1): the same for the same content. Processors of today have SHA-256 built in."""
    return hashlib.sha256(content).hexdigest()[:32]


class _Content:
    """The bytes of an arrival's file: read if small, mapped if large."""

    def __init__(self, arrival: Arrival) -> None:
        self._arrival = arrival

    def __enter__(self) -> Self:
        self._file = open(self._arrival.file, "rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) if self.size > _MAP_ABOVE else None
        self.octets = self._map if self._map is not None else self._file.read()
        # One view, however often it is asked for: the map closes only when nothing looks at it.
        self._view = memoryview(self._map)[self._arrival.skip :] if self._map is not None else None
        return self

    def below_trace(self) -> bytes | memoryview:
        if self._view is not None:
            return self._view
        assert isinstance(self.octets, bytes)
        return self.octets[self._arrival.skip :] if self._arrival.skip else self.octets

    def __exit__(self, *_: object) -> None:
        if self._view is not None and self._map is not None:
            self._view.release()
            self._map.close()
        self._file.close()


_find_places = CompiledQuery(
    lambda accounts, names: Mailbox.objects.filter(
        account_id__in=accounts, name__in=names, selectable=True
    ).values_list("account_id", "name", "id", "account__address", "folder"),
    (int,),
    (str,),
)


def _find_directories(arrivals: Sequence[Arrival]) -> dict[tuple[int, str], tuple[int, str]]:
    """(account, mailbox name) → (mailbox id, directory)."""
    known = {(a.account_id, a.mailbox): a.place for a in arrivals if a.place}
    asked = [a for a in arrivals if not a.place]
    if not asked:
        return known
    rows = _find_places.rows(list({a.account_id for a in asked}), list({a.mailbox for a in asked}))
    found = {
        (account, name): (id_, maildir_files.folder_directory(address, dir_))
        for account, name, id_, address, dir_ in rows
    }
    return found | known


_lock_mailboxes = CompiledQuery(
    lambda ids: (
        Mailbox.objects.select_for_update()
        .filter(id__in=ids)
        .order_by("id")
        .values_list("id", "account_id", "uid_validity", "uid_next", "highest_modseq")
    ),
    (int,),
)
_find_known = CompiledQuery(
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

    Returns in the same order what became of each: Stored, or a Reply (4.2.2 or 5.2.2 over quota, with
    the file removed again; or the Reply that stood there before). Without `quotas` messages are counted
    but never refused: they are somebody's already. `warn` is told whose mailbox has become nearly full.
    """
    wanted = [s for s in staged if isinstance(s, StagedMessage)]
    # Rows are locked in the order of their ids everywhere, so that two writers never wait in a circle.
    ids = {s.mailbox_id for s in wanted}
    if not wanted:
        return [s for s in staged if isinstance(s, Reply)]
    mailboxes = {row[0]: _Counters(*row) for row in _lock_mailboxes.rows(list(ids))}
    names = [s.arrival.base_name for s in wanted if not s.fresh]
    rows = _find_known.rows(list(ids), names) if names else []
    known = {(mailbox_id, base_name): uid for mailbox_id, base_name, uid in rows}
    purses = quota_limits.lock_allowances({box.account_id for box in mailboxes.values()})
    results: list[StoredMessage | Reply] = []
    fresh: list[tuple[StagedMessage, int, int]] = []  # with UID and MODSEQ
    now = int(time())
    for item in staged:
        if isinstance(item, Reply):
            results.append(item)
            continue
        box = mailboxes.get(item.mailbox_id)
        if box is None:  # deleted since it was staged
            results.append(Reply(550, "5.1.1", "User unknown"))
            continue
        uid = known.get((box.id, item.arrival.base_name))
        if uid is not None:
            results.append(StoredMessage(box.id, box.uid_validity, uid, again=True))
            continue
        purse = purses[box.account_id]
        if not quotas:
            purse.add_usage(item.size)
        elif (refusal := purse.consume(item.size)) is not None:
            discard_staged([item])
            results.append(refusal)
            continue
        uid = box.add(item)
        known[box.id, item.arrival.base_name] = uid
        fresh.append((item, uid, box.highest_modseq + 1))
        results.append(StoredMessage(box.id, box.uid_validity, uid))
    _insert_rows(fresh, now)
    _add_keywords(fresh)
    _update_counters([box for box in mailboxes.values() if box.messages], purses.values())
    if warn is not None:
        warn(quota_limits.find_crossings(purses.values()))
    notifications.publish_mailboxes(box.id for box in mailboxes.values() if box.messages)
    return results


def _add_keywords(fresh: Sequence[tuple[StagedMessage, int, int]]) -> None:
    """Keywords of new messages that their mailbox never had are its keywords from now on."""
    given: dict[int, dict[str, None]] = {}
    for item, _, _ in fresh:
        if item.arrival.keywords:
            given.setdefault(item.mailbox_id, {}).update(dict.fromkeys(item.arrival.keywords))
    for mailbox_id, words in given.items():
        known = fetch_rows(f"SELECT keywords FROM {MAILBOX} WHERE id = %s", (mailbox_id,))[0][0].split()
        lower = {word.lower() for word in known}
        if new := [word for word in words if word.lower() not in lower]:
            Mailbox.objects.filter(pk=mailbox_id).update(keywords=" ".join(known + new))


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


def _update_counters(boxes: Sequence[_Counters], purses: Iterable[quota_limits.QuotaAllowance]) -> None:
    """Add the batch to the counters: one statement a mailbox, one an account."""
    execute_many(
        f"UPDATE {MAILBOX} SET uid_next = %s, highest_modseq = %s, messages = messages + %s,"
        " unseen = unseen + %s, size = size + %s WHERE id = %s",
        [(b.uid_next, b.highest_modseq + 1, b.messages, b.unseen, b.size, b.id) for b in boxes],
    )
    execute_many(
        f"UPDATE {_ACCOUNT} SET used_bytes = used_bytes + %s, used_messages = used_messages + %s WHERE id = %s",
        [(p.added_bytes, p.added_messages, p.account_id) for p in purses if p.added_messages],
    )


_ACCOUNT = table_name(Account)
_MESSAGE = (
    *("mailbox_id", "uid", "modseq", "flags", "keywords", "base_name", "size", "internal_at", "saved_at", "sent_at"),
    "sent_zone",
)
_SUMMARY = (
    *("message_id", "envelope", "body_structure", "subject_key", "from_key", "to_key", "cc_key", "from_display"),
    *("to_display", "header_message_id", "references", "preview", "has_attachment", "email_id", "thread_id"),
    "is_reply",
)


def _insert_rows(fresh: Sequence[tuple[StagedMessage, int, int]], now: int) -> None:
    keys = insert_returning(Message, _MESSAGE, [_message_row(item, uid, modseq, now) for item, uid, modseq in fresh])
    items = [(key, item) for key, (item, _, _) in zip(keys, fresh, strict=True)]
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
