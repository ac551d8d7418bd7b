"""UIDs and flags of mailboxes that are opened and listed again and again: in memory, one copy for a process.

What clients ask for most is every message's flags. The index is the truth; here a mailbox is known as it was at one
MODSEQ, and each time it is asked for, what was changed and expunged since is taken in, which for most questions
is nothing (RFC 7162 is what makes that cheap). A list that was handed out never changes: the next is another.
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

_MESSAGES = 2_000_000  # kept of all mailboxes together; 12 bytes each
_WORTH_IT = 100  # messages; smaller mailboxes are read as fast as remembered
_ANEW = 4  # a list is read from the start when more than a fourth of it changed


@dataclass(frozen=True, slots=True)
class FlagCache:
    """A mailbox at one MODSEQ. `flags` as FETCH spells them, without \\Recent: b"(\\Seen)"."""

    uid_validity: int
    modseq: int
    uids: "array[int]"  # rising
    flags: list[bytes]

    def between(self, first: int, last: int) -> "tuple[Sequence[int], Sequence[bytes]]":
        """UIDs and flags from one UID to another, both included."""
        low, high = bisect_left(self.uids, first), bisect_right(self.uids, last)
        return self.uids[low:high], self.flags[low:high]

    def first_unseen(self) -> int:
        """The first UID without \\Seen; 0: there is none."""
        seen = {flags for flags in set(self.flags) if _SEEN in flags}
        return next((uid for uid, flags in zip(self.uids, self.flags, strict=True) if flags not in seen), 0)


_SEEN = wire_flags.NAMES[wire_flags.SEEN].encode()
_known: OrderedDict[int, FlagCache] = OrderedDict()
_lock = Lock()
_formatted: dict[tuple[int, str], bytes] = {}


def cached_flags(mailbox_id: int) -> FlagCache | None:
    """The mailbox as it is now; None: it is gone, or too small to be kept here."""
    state = message_table.fetch_rows(
        f"SELECT highest_modseq, uid_validity, messages FROM {MAILBOX} WHERE id = %s", (mailbox_id,)
    )
    if not state or state[0][2] < _WORTH_IT:
        return None
    modseq, uid_validity, _ = state[0]
    known = _known.get(mailbox_id)
    if known is not None and known.uid_validity == uid_validity:
        if known.modseq == modseq:
            return known
        found = _updated_flags(mailbox_id, known, modseq)
    else:
        found = _read_flags(mailbox_id, uid_validity, modseq)
    with _lock:
        _known[mailbox_id] = found
        _known.move_to_end(mailbox_id)
        kept = sum(len(each.uids) for each in _known.values())
        while kept > _MESSAGES and len(_known) > 1:
            kept -= len(_known.popitem(last=False)[1].uids)
    return found


def _read_flags(mailbox_id: int, uid_validity: int, modseq: int) -> FlagCache:
    rows = message_table.fetch_rows(
        f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s ORDER BY uid", (mailbox_id,)
    )
    return FlagCache(
        uid_validity, modseq, array("I", [row[0] for row in rows]), [_format_flags(row[1], row[2]) for row in rows]
    )


def _updated_flags(mailbox_id: int, known: FlagCache, modseq: int) -> FlagCache:
    """Rows may be newer than `modseq`: taking them in again later does no harm."""
    since = (mailbox_id, known.modseq)
    gone = message_table.fetch_rows(
        f"SELECT uid FROM {message_table.EXPUNGED} WHERE mailbox_id = %s AND modseq > %s", since
    )
    rows = message_table.fetch_rows(
        f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s AND modseq > %s ORDER BY uid", since
    )
    if len(gone) + len(rows) > len(known.uids) // _ANEW:
        return _read_flags(mailbox_id, known.uid_validity, modseq)
    uids, flags = known.uids[:], known.flags[:]
    for uid, *own in rows:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            flags[at] = _format_flags(*own)
        else:
            uids.insert(at, uid)
            flags.insert(at, _format_flags(*own))
    for (uid,) in gone:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            del uids[at], flags[at]
    return FlagCache(known.uid_validity, modseq, uids, flags)


def _format_flags(flags: int, keywords: str) -> bytes:
    """One object for all that are alike."""
    spelled = _formatted.get((flags, keywords))
    if spelled is None:
        if len(_formatted) > 10_000:
            _formatted.clear()
        spelled = _formatted[flags, keywords] = response_format.format_flags(flags, keywords)
    return spelled
