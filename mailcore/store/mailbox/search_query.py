"""SEARCH (RFC 9051 §6.4.4): a tree of search keys becomes one SELECT that the database executes.

Called by the IMAP server through the executor; returns UIDs. Texts were decoded and case-folded at delivery, so a
search compares bytes. Dates without a time are in the server's time zone, as INTERNALDATE shows it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from time import time
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection

from mailcore.store.db import message_table
from mailcore.store.db.message_table import COLUMNS, MESSAGE, SUMMARY, TEXT, UidRanges
from mailcore.store.mailbox import fulltext
from mailcore.wire.imap.syntax import search_syntax as wire
from mailcore.wire.imap.syntax.search_syntax import SearchKey
from mailcore.wire.message.dates import NO_DATE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SearchContext:
    """The state of the session that a search depends on."""

    known: UidRanges  # all messages of the session
    sets: dict[wire.Numbers, UidRanges]  # every sequence set of the program as UIDs
    recent: Sequence[tuple[int, int]]  # UIDs that are recent: (first, first after)


@dataclass
class _QueryBuilder:
    context: SearchContext
    now: int
    parameters: list[object] = field(default_factory=list)
    tables: set[str] = field(default_factory=set)
    mailbox_id: int = 0

    def value(self, value: object) -> str:
        self.parameters.append(value)
        return "%s"

    # Each method returns a condition; parameters are appended in the order in which conditions are written.
    def condition(self, key: SearchKey) -> str:
        match key:
            case wire.All():
                return "1 = 1"
            case wire.And(keys):
                return _joined("AND", [self.condition(each) for each in _cheap_first(keys)])
            case wire.Or(keys):
                return _joined("OR", [self.condition(each) for each in keys])
            case wire.Not(inner):
                return f"NOT ({self.condition(inner)})"
            case wire.HasFlag(bit):
                return f"m.flags & {bit:d} <> 0"
            case wire.HasKeyword(word):
                return self._keyword(word)
            case wire.IsRecent():
                return _uid_condition([(first, after - 1) for first, after in self.context.recent])
            case wire.Numbers():
                return _uid_condition(self.context.sets[key])
            case wire.Day():
                return _day_condition(key)
            case wire.Size(relation, size):
                return f"m.size {relation} {self.value(size)}"
            case wire.Age(relation, seconds):
                sign = ">=" if relation == "younger" else "<="
                return f"m.internal_at {sign} {self.value(self.now - min(seconds, self.now))}"
            case wire.Modseq(at_least):
                return f"m.modseq >= {self.value(at_least)}"
            case wire.SameObject(name, value):
                self.tables.add(SUMMARY)
                return f"{COLUMNS[name]} = {self.value(value)}"
            case wire.Contains(part, value):
                self.tables.add(TEXT)
                if not value:
                    return "1 = 1"
                return self._text_contains(("headers", "body") if part == "text" else ("body",), value)
            case wire.HeaderContains(name, value):
                return self._header(name, value)

    def _keyword(self, word: str) -> str:
        # Keywords are stored as first written and compared without case.
        return self._contains("' ' || LOWER(m.keywords) || ' '", f" {word.lower()} ", concatenated=True)

    def _contains(self, column: str, value: str, concatenated: bool = False) -> str:
        placeholder = self.value(value)
        if connection.vendor == "postgresql":
            return f"POSITION({placeholder} IN {column}) > 0"
        if connection.vendor == "mysql":
            if concatenated:
                column = "CONCAT(' ', LOWER(m.keywords), ' ')"
            return f"LOCATE({placeholder}, {column}) > 0"
        return f"INSTR({column}, {placeholder}) > 0"

    def _text_contains(self, columns: Sequence[str], value: str) -> str:
        """Narrow down with the full-text index, then read texts: databases evaluate conditions from left to right."""
        prefilter = self._prefilter(columns, value)
        contains = " OR ".join([self._contains(f"t.{column}", value) for column in columns])
        return f"({prefilter}({contains}))"

    def _prefilter(self, columns: Sequence[str], value: str) -> str:
        """Return a condition that leaves few messages, followed by AND, or "" if no index helps."""
        indexed_uid, messages = self._indexed
        ids = fulltext.candidate_ids(columns, value, messages) if indexed_uid else None
        # An index that was cleared meanwhile finds nothing, so its result is not used.
        if ids is None or fulltext.indexed_until(self.mailbox_id)[0] < indexed_uid:
            return ""
        return f"(m.uid > {indexed_uid:d} OR m.id IN ({','.join(map(str, ids)) or 'NULL'})) AND "

    @cached_property
    def _indexed(self) -> tuple[int, int]:
        return fulltext.indexed_until(self.mailbox_id)

    def _header(self, name: str, value: str) -> str:
        """Match a header line of that name that contains the value; the cheaper test comes first."""
        self.tables.add(TEXT)
        line_start = f"(^|\n){re.escape(name)}:"
        if not value:
            return self._matches(line_start)
        contains = self._text_contains(("headers",), value)
        line = line_start + "[^\n]*" + re.escape(value)
        return f"({contains} AND {self._matches(line)})"

    def _matches(self, pattern: str) -> str:
        operator = "~" if connection.vendor == "postgresql" else "REGEXP"
        return f"t.headers {operator} {self.value(pattern)}"


def _cheap_first(keys: Sequence[SearchKey]) -> list[SearchKey]:
    """Sort texts last, since databases evaluate conditions from left to right."""
    return sorted(keys, key=_cost)


def _cost(key: SearchKey) -> int:
    match key:
        case wire.Contains() | wire.HeaderContains():
            return 2
        case wire.And(keys) | wire.Or(keys):
            return max(_cost(each) for each in keys)
        case wire.Not(inner):
            return _cost(inner)
    return 0


def _uid_condition(ranges: UidRanges) -> str:
    alternatives = [f"m.uid BETWEEN {low:d} AND {high:d}" for low, high in ranges if low != high]
    singles = [low for low, high in ranges if low == high]
    if singles:
        alternatives.append(f"m.uid IN ({','.join(map(str, singles))})")
    return _joined("OR", alternatives) if alternatives else "1 = 0"


def _joined(operator: str, conditions: Sequence[str]) -> str:
    """Join conditions in their order, as a balanced tree if there are many.

    SQLite refuses expressions deeper than 1000, and a chain of n is n deep.
    """
    if len(conditions) <= _MAX_CHAIN:
        return f"({f' {operator} '.join(conditions)})"
    middle = len(conditions) // 2
    return f"({_joined(operator, conditions[:middle])} {operator} {_joined(operator, conditions[middle:])})"


_MAX_CHAIN = 100


def _day_condition(key: wire.Day) -> str:
    if key.field == "sent":
        # A message without a readable Date has none that is earlier or later (RFC 9051 §6.4.4).
        dated = f"m.sent_zone <> {NO_DATE:d} AND "
        column, start, end = "(m.sent_at + m.sent_zone * 60)", key.day * 86400, (key.day + 1) * 86400
    else:
        dated, column = "", "m.internal_at" if key.field == "internal" else "m.saved_at"
        start, end = midnight(key.day), midnight(key.day + 1)
    match key.relation:
        case "<":
            return f"({dated}{column} < {start:d})"
        case ">=":
            return f"({dated}{column} >= {start:d})"
    return f"({dated}{column} >= {start:d} AND {column} < {end:d})"


def midnight(day: int) -> int:
    """Return when a day (since 1970-01-01) begins in the server's time zone, in seconds."""
    try:
        date = (_EPOCH + timedelta(days=day)).date()
        local = datetime(date.year, date.month, date.day, tzinfo=ZoneInfo(settings.TIME_ZONE))
    except (OverflowError, ValueError):
        return day * 86400
    return int(local.timestamp())


def find_uids(mailbox_id: int, key: SearchKey, context: SearchContext) -> list[int]:
    """Return UIDs of the messages that the session knows and that match, ascending."""
    if not context.known:
        return []
    sql, parameters = search_statement(mailbox_id, "m.uid", key, context, set())
    return [uid for (uid,) in message_table.fetch_rows(f"{sql} ORDER BY m.uid", parameters)]


def find_with_modseq(mailbox_id: int, key: SearchKey, context: SearchContext) -> list[tuple[int, int]]:
    """Return (uid, modseq) of the messages that the session knows and that match, by UID."""
    if not context.known:
        return []
    sql, parameters = search_statement(mailbox_id, "m.uid, m.modseq", key, context, set())
    return [(uid, modseq) for uid, modseq in message_table.fetch_rows(f"{sql} ORDER BY m.uid", parameters)]


def search_statement(
    mailbox_id: int, columns: str, key: SearchKey, context: SearchContext, tables: set[str]
) -> tuple[str, list[object]]:
    """Return SQL without ORDER BY, and its parameters.

    `tables` are those that `columns` needs; `frame.known` is not empty.
    """
    builder = _QueryBuilder(context, int(time()), [mailbox_id], set(tables), mailbox_id)
    condition = builder.condition(key)
    known = f" AND m.uid BETWEEN {context.known[0][0]:d} AND {context.known[-1][1]:d}"
    joins = f" JOIN {SUMMARY} s ON s.message_id = m.id" if SUMMARY in builder.tables else ""
    joins += f" JOIN {TEXT} t ON t.message_id = m.id" if TEXT in builder.tables else ""
    return (
        f"SELECT {columns} FROM {MESSAGE} m{joins} WHERE m.mailbox_id = %s{known} AND {condition}",
        builder.parameters,
    )
