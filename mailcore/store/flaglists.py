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

from mailcore.store import index
from mailcore.store.index import MAILBOX, MESSAGE
from mailcore.wire import flags as wire_flags
from mailcore.wire.imap import render

_MESSAGES = 2_000_000  # kept of all mailboxes together; 12 octets each
_WORTH_IT = 100  # messages; smaller mailboxes are read as fast as remembered
_ANEW = 4  # a list is read from the start when more than a fourth of it changed


@dataclass(frozen=True, slots=True)
class FlagList:
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
_known: OrderedDict[int, FlagList] = OrderedDict()
_lock = Lock()
_spelled: dict[tuple[int, str], bytes] = {}


def of(mailbox_id: int) -> FlagList | None:
    """The mailbox as it is now; None: it is gone, or too small to be kept here."""
    state = index.query(f"SELECT highest_modseq, uid_validity, messages FROM {MAILBOX} WHERE id = %s", (mailbox_id,))
    if not state or state[0][2] < _WORTH_IT:
        return None
    modseq, uid_validity, _ = state[0]
    known = _known.get(mailbox_id)
    if known is not None and known.uid_validity == uid_validity:
        if known.modseq == modseq:
            return known
        found = _brought_up_to_date(mailbox_id, known, modseq)
    else:
        found = _read(mailbox_id, uid_validity, modseq)
    with _lock:
        _known[mailbox_id] = found
        _known.move_to_end(mailbox_id)
        kept = sum(len(each.uids) for each in _known.values())
        while kept > _MESSAGES and len(_known) > 1:
            kept -= len(_known.popitem(last=False)[1].uids)
    return found


def _read(mailbox_id: int, uid_validity: int, modseq: int) -> FlagList:
    rows = index.query(f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s ORDER BY uid", (mailbox_id,))
    return FlagList(
        uid_validity, modseq, array("I", [row[0] for row in rows]), [_spell(row[1], row[2]) for row in rows]
    )


def _brought_up_to_date(mailbox_id: int, known: FlagList, modseq: int) -> FlagList:
    """Rows may be newer than `modseq`: taking them in again later does no harm."""
    since = (mailbox_id, known.modseq)
    gone = index.query(f"SELECT uid FROM {index.EXPUNGED} WHERE mailbox_id = %s AND modseq > %s", since)
    rows = index.query(
        f"SELECT uid, flags, keywords FROM {MESSAGE} WHERE mailbox_id = %s AND modseq > %s ORDER BY uid", since
    )
    if len(gone) + len(rows) > len(known.uids) // _ANEW:
        return _read(mailbox_id, known.uid_validity, modseq)
    uids, flags = known.uids[:], known.flags[:]
    for uid, *own in rows:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            flags[at] = _spell(*own)
        else:
            uids.insert(at, uid)
            flags.insert(at, _spell(*own))
    for (uid,) in gone:
        at = bisect_left(uids, uid)
        if at < len(uids) and uids[at] == uid:
            del uids[at], flags[at]
    return FlagList(known.uid_validity, modseq, uids, flags)


def _spell(flags: int, keywords: str) -> bytes:
    """One object for all that are alike."""
    spelled = _spelled.get((flags, keywords))
    if spelled is None:
        if len(_spelled) > 10_000:
            _spelled.clear()
        spelled = _spelled[flags, keywords] = render.flag_list(flags, keywords)
    return spelled
