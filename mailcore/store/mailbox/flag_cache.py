"""A cache of UIDs and flags of mailboxes that are opened and listed often; one per process.

Clients fetch the flags of every message more often than anything else. The index is authoritative; a cached mailbox is
known as it was at one MODSEQ, and each read applies what was changed and expunged since, which mostly is nothing (RFC
7162 makes that cheap). A list that was returned is never modified: an update makes a new one.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from mailcore.store.db import message_table
from mailcore.store.db.message_table import MAILBOX, MESSAGE
from mailcore.wire.imap import response_format
from mailcore.wire.imap import system_flags as wire_flags

_MAX_MESSAGES = 2_000_000  # cached messages of all mailboxes together; 12 bytes each
_MIN_MAILBOX = 100  # messages; smaller mailboxes are read from the database as fast as from the cache
_MAX_CHANGED_DIVISOR = 4  # a mailbox is read from the database again when more than a fourth of it changed


@dataclass(frozen=True, slots=True)
class FlagCache:
    r"""A mailbox at one MODSEQ; `flags` as FETCH formats them, without \Recent: b"(\Seen)"."""

    uid_validity: int
    modseq: int
    uids: "array[int]"  # ascending
    flags: list[bytes]
    keywords: frozenset[str]  # in use, or used before messages were changed or expunged

    def between(self, first: int, last: int) -> "tuple[Sequence[int], Sequence[bytes]]":
        """Return UIDs and flags from one UID to another, both included."""
        low, high = bisect_left(self.uids, first), bisect_right(self.uids, last)
        return self.uids[low:high], self.flags[low:high]

    def first_unseen(self) -> int:
        r"""Return the first UID without \Seen, or 0 if there is none."""
        seen = {flags for flags in set(self.flags) if _SEEN in flags}
        return next((uid for uid, flags in zip(self.uids, self.flags, strict=True) if flags not in seen), 0)


_SEEN = wire_flags.NAMES[wire_flags.SEEN].encode()
_cache: OrderedDict[int, FlagCache] = OrderedDict()
_lock = Lock()
_formatted: dict[tuple[int, str], bytes] = {}


def cached_flags(mailbox_id: int) -> FlagCache | None:
    """Return the mailbox as it is now, or None if it does not exist or is too small for the cache."""
    state = message_table.fetch_rows(
        f"SELECT highest_modseq, uid_validity, messages FROM {MAILBOX} WHERE id = %s", (mailbox_id,)
    )
    if not state or state[0][2] < _MIN_MAILBOX:
        return None
    modseq, uid_validity, _ = state[0]
    cached = _cache.get(mailbox_id)
    if cached is not None and cached.uid_validity == uid_validity:
        if cached.modseq == modseq:
            return cached
        current = _updated_flags(mailbox_id, cached, modseq)
    else:
        current = _read_flags(mailbox_id, uid_validity, modseq)
    with _lock:
        _cache[mailbox_id] = current
        _cache.move_to_end(mailbox_id)
        total = sum(len(each.uids) for each in _cache.values())
        while total > _MAX_MESSAGES and len(_cache) > 1:
            total -= len(_cache.popitem(last=False)[1].uids)
    return current


def _read_flags(mailbox_id: int, uid_validity: int, modseq: int) -> FlagCache:
    rows = message_table.fetch_rows(
        f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s ORDER BY uid", (mailbox_id,)
    )
    return FlagCache(
        uid_validity,
        modseq,
        array("I", [row[0] for row in rows]),
        [_format_flags(row[1], row[2]) for row in rows],
        _keywords_of(rows),
    )


def _updated_flags(mailbox_id: int, cached: FlagCache, modseq: int) -> FlagCache:
    """Apply changes to a cached mailbox; rows may be newer than `modseq`, and are then applied again next time."""
    since = (mailbox_id, cached.modseq)
    expunged = message_table.fetch_rows(
        f"SELECT uid FROM {message_table.EXPUNGED} WHERE mailbox_id = %s AND modseq > %s", since
    )
    rows = message_table.fetch_rows(
        f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s AND modseq > %s ORDER BY uid", since
    )
    if len(expunged) + len(rows) > len(cached.uids) // _MAX_CHANGED_DIVISOR:
        return _read_flags(mailbox_id, cached.uid_validity, modseq)
    uids, flags = cached.uids[:], cached.flags[:]
    for uid, *flag_columns in rows:
        index = bisect_left(uids, uid)
        if index < len(uids) and uids[index] == uid:
            flags[index] = _format_flags(*flag_columns)
        else:
            uids.insert(index, uid)
            flags.insert(index, _format_flags(*flag_columns))
    for (uid,) in expunged:
        index = bisect_left(uids, uid)
        if index < len(uids) and uids[index] == uid:
            del uids[index], flags[index]
    return FlagCache(cached.uid_validity, modseq, uids, flags, cached.keywords | _keywords_of(rows))


def _keywords_of(rows: Sequence[tuple[int, int, str]]) -> frozenset[str]:
    """Return the keywords in rows of (uid, flags, keywords)."""
    return frozenset([word for column in {row[2] for row in rows} for word in column.split()])


def _format_flags(flags: int, keywords: str) -> bytes:
    """Return formatted flags, one shared object for equal ones."""
    formatted = _formatted.get((flags, keywords))
    if formatted is None:
        if len(_formatted) > 10_000:
            _formatted.clear()
        formatted = _formatted[flags, keywords] = response_format.format_flags(flags, keywords)
    return formatted
