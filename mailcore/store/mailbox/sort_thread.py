"""SORT and THREAD (RFC 5256, RFC 5957): what a search finds, in order or as trees.

Called by the IMAP server through the executor. What messages are sorted and threaded by never changes, so the order
of a large mailbox is remembered as long as no message joins it; whatever is found is then picked out of it.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from mailcore.store.db import message_table
from mailcore.store.db.message_table import COLUMNS, SUMMARY
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.mailbox.search_query import SearchContext, find_uids, find_with_modseq, search_statement
from mailcore.wire.imap import threading_algorithms as threads
from mailcore.wire.imap.syntax import search_syntax as wire
from mailcore.wire.imap.syntax.search_syntax import SearchKey
from mailcore.wire.imap.threading_algorithms import ThreadInput

T = TypeVar("T")
Criteria = Sequence[tuple[str, bool]]

_REMEMBERED = 64  # orders, and trees, of this process
_LARGE = 500  # messages; fewer are put in order faster than remembered


class _LruCache(Generic[T]):
    """The last few of something, by key; used by many threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[object, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object) -> T | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: object, value: T) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)


# --- SORT -----------------------------------------------------------------------------------------

_ORDER = {
    "ARRIVAL": "m.internal_at",
    "CC": "s.cc_key",
    "DATE": "m.sent_at",
    "FROM": "s.from_key",
    "SIZE": "m.size",
    "SUBJECT": "s.subject_key",
    "TO": "s.to_key",
    "DISPLAYFROM": "s.from_display",
    "DISPLAYTO": "s.to_display",
}


@dataclass(frozen=True, slots=True)
class _CachedOrder:
    uids: "array[int]"  # of all messages, in order
    last: int  # the highest of them


_orders: _LruCache[_CachedOrder] = _LruCache()


def sort_messages(
    box: MailboxHandle, key: SearchKey, frame: SearchContext, criteria: Criteria
) -> list[tuple[int, int]]:
    """(uid, modseq) in the order of the criteria; ties in the order of arrival (RFC 5256 §3)."""
    if not frame.known:
        return []
    ordered = _orders.get((box.id, box.uid_validity, criteria))
    if ordered is not None:
        found = find_with_modseq(box.id, key, frame)
        if not found or found[-1][0] <= ordered.last:
            modseqs = dict(found)
            return [(uid, modseqs[uid]) for uid in ordered.uids if uid in modseqs]
    rows = _sort_rows(box, key, frame, criteria)
    if isinstance(key, wire.All) and len(rows) >= _LARGE:
        uids = array("I", [uid for uid, _ in rows])
        _orders.put((box.id, box.uid_validity, criteria), _CachedOrder(uids, max(uids)))
    return rows


def _sort_rows(box: MailboxHandle, key: SearchKey, frame: SearchContext, criteria: Criteria) -> list[tuple[int, int]]:
    order = [f"{_ORDER[name]}{' DESC' if reverse else ''}" for name, reverse in criteria]
    tables = {SUMMARY} if any(_ORDER[name].startswith("s.") for name, _ in criteria) else set()
    sql, parameters = search_statement(box.id, "m.uid, m.modseq", key, frame, tables)
    rows: list[tuple[int, int]] = message_table.fetch_rows(f"{sql} ORDER BY {', '.join(order)}, m.uid", parameters)
    return rows


# --- THREAD ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CachedThreads:
    """A THREAD response: of these UIDs, told as these numbers."""

    uids: list[int]
    numbers: list[int]
    rendered: bytes


_trees: _LruCache[_CachedThreads] = _LruCache()


def thread_messages(
    box: MailboxHandle,
    key: SearchKey,
    frame: SearchContext,
    algorithm: str,
    numbers_of: Callable[[list[int]], list[int]] | None,
) -> bytes:
    """THREAD (RFC 5256 §3) as its response has it; `numbers_of` turns UIDs into sequence numbers, None leaves them."""
    found = find_uids(box.id, key, frame)
    numbers = numbers_of(found) if numbers_of is not None else found
    about = (box.id, box.uid_validity, algorithm, numbers_of is None)
    known = _trees.get(about)
    if known is not None and known.uids == found and known.numbers == numbers:
        return known.rendered
    told = dict(zip(found, numbers, strict=True))
    messages = [each for each in _thread_inputs(box, key, frame) if each.number in told]
    if algorithm == "ORDEREDSUBJECT":
        roots = threads.thread_by_subject(messages)
    else:
        roots = threads.thread_by_references(messages, by_subject=algorithm == "REFERENCES")
    rendered = threads.format_threads(roots, told.__getitem__ if numbers_of is not None else None)
    if len(found) >= _LARGE:
        _trees.put(about, _CachedThreads(found, numbers, rendered))
    return rendered


def _thread_inputs(box: MailboxHandle, key: SearchKey, frame: SearchContext) -> list[ThreadInput]:
    """What threading needs of the messages that match, in the order of UIDs."""
    if not frame.known:
        return []
    columns = ("uid", "header_message_id", "references", "subject_key", "is_reply", "sent_at")
    sql, parameters = search_statement(box.id, ", ".join(COLUMNS[name] for name in columns), key, frame, {SUMMARY})
    return list(map(ThreadInput._make, message_table.fetch_rows(f"{sql} ORDER BY m.uid", parameters)))
