"""SORT and THREAD (RFC 5256, RFC 5957): search results in order or as threads.

Called by the IMAP server through the executor. The fields that messages are sorted and threaded by never change, so the
order of a large mailbox is cached until a message is added; any search result is then picked from it.
"""

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Generic, TypeVar

from django.db import connection

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

_CACHE_SIZE = 64  # cached orders, and threads, of this process
_MIN_CACHED = 500  # messages; fewer are sorted as fast as the cache is read


class _LruCache(Generic[T]):
    """A small LRU cache, safe to use from several threads."""

    def __init__(self) -> None:
        self._entries: OrderedDict[object, T] = OrderedDict()
        self._lock = Lock()

    def get(self, key: object) -> T | None:
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
            return self._entries.get(key)

    def put(self, key: object, value: T) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > _CACHE_SIZE:
                self._entries.popitem(last=False)


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
    uids: "array[int]"  # all messages, in order
    highest: int  # the highest UID


_orders: _LruCache[_CachedOrder] = _LruCache()


def sort_messages(
    mailbox: MailboxHandle, key: SearchKey, context: SearchContext, criteria: Criteria
) -> list[tuple[int, int]]:
    """Return (uid, modseq) in the order of the criteria; ties in the order of arrival (RFC 5256 §3)."""
    if not context.known:
        return []
    ordered = _orders.get((mailbox.id, mailbox.uid_validity, criteria))
    if ordered is not None:
        results = find_with_modseq(mailbox.id, key, context)
        if not results or results[-1][0] <= ordered.highest:
            modseqs = dict(results)
            return [(uid, modseqs[uid]) for uid in ordered.uids if uid in modseqs]
    rows = _sort_rows(mailbox, key, context, criteria)
    if isinstance(key, wire.All) and len(rows) >= _MIN_CACHED:
        uids = array("I", [uid for uid, _ in rows])
        _orders.put((mailbox.id, mailbox.uid_validity, criteria), _CachedOrder(uids, max(uids)))
    return rows


def _sort_rows(
    mailbox: MailboxHandle, key: SearchKey, context: SearchContext, criteria: Criteria
) -> list[tuple[int, int]]:
    order = [f"{_order_expression(name)}{' DESC' if reverse else ''}" for name, reverse in criteria]
    tables = {SUMMARY} if any(_ORDER[name].startswith("s.") for name, _ in criteria) else set()
    sql, parameters = search_statement(mailbox.id, "m.uid, m.modseq", key, context, tables)
    rows: list[tuple[int, int]] = message_table.fetch_rows(f"{sql} ORDER BY {', '.join(order)}, m.uid", parameters)
    return rows


def _order_expression(name: str) -> str:
    """Return the SQL that orders by a criterion: keys are compared by code point, whatever the database's locale."""
    column = _ORDER[name]
    return f'{column} COLLATE "C"' if connection.vendor == "postgresql" and column.startswith("s.") else column


# --- THREAD ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CachedThreads:
    """A THREAD response, and the UIDs and numbers it was made for."""

    uids: list[int]
    numbers: list[int]
    rendered: bytes


_trees: _LruCache[_CachedThreads] = _LruCache()


def thread_messages(
    mailbox: MailboxHandle,
    key: SearchKey,
    context: SearchContext,
    algorithm: str,
    numbers_of: Callable[[list[int]], list[int]] | None,
) -> bytes:
    """Return the body of a THREAD response (RFC 5256 §3).

    `numbers_of` turns UIDs into sequence numbers; None leaves UIDs.
    """
    results = find_uids(mailbox.id, key, context)
    numbers = numbers_of(results) if numbers_of is not None else results
    cache_key = (mailbox.id, mailbox.uid_validity, algorithm, numbers_of is None)
    cached = _trees.get(cache_key)
    if cached is not None and cached.uids == results and cached.numbers == numbers:
        return cached.rendered
    number_by_uid = dict(zip(results, numbers, strict=True))
    messages = [each for each in _thread_inputs(mailbox, key, context) if each.number in number_by_uid]
    if algorithm == "ORDEREDSUBJECT":
        roots = threads.thread_by_subject(messages)
    else:
        roots = threads.thread_by_references(messages, by_subject=algorithm == "REFERENCES")
    rendered = threads.format_threads(roots, number_by_uid.__getitem__ if numbers_of is not None else None)
    if len(results) >= _MIN_CACHED:
        _trees.put(cache_key, _CachedThreads(results, numbers, rendered))
    return rendered


def _thread_inputs(mailbox: MailboxHandle, key: SearchKey, context: SearchContext) -> list[ThreadInput]:
    """Return the columns that threading needs of the messages that match, in the order of UIDs."""
    if not context.known:
        return []
    columns = ("uid", "header_message_id", "references", "subject_key", "is_reply", "sent_at")
    sql, parameters = search_statement(
        mailbox.id, ", ".join(COLUMNS[name] for name in columns), key, context, {SUMMARY}
    )
    return list(map(ThreadInput._make, message_table.fetch_rows(f"{sql} ORDER BY m.uid", parameters)))
