"""The selected mailbox as one client knows it (RFC 9051 §2.3.1): the sequence number of each UID.

Also tracks the changes the client has not been sent yet. Pure: no sockets, no database; ten thousand views must fit in
memory.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mailcore.store.db.message_table import UidRanges
from mailcore.store.mailbox.messages import MailboxChanges
from mailcore.store.mailbox.open_mailbox import MailboxHandle, OpenedMailbox
from mailcore.wire.imap.sequence_set import Ranges, merge_ranges, resolve_ranges, to_ranges

if TYPE_CHECKING:
    from mailcore.servers.imap.live_search import LiveSearch


@dataclass(slots=True)
class MailboxUpdates:
    """The updates to send to a client, in this order."""

    vanished: list[int] = field(default_factory=list)  # Sequence numbers, descending: each is valid when it is sent.
    vanished_uids: list[int] = field(default_factory=list)  # The UIDs of these messages, ascending.
    exists: int | None = None  # The new count.
    fresh: list[int] = field(default_factory=list)  # UIDs of new messages.
    keywords: bool = False  # True if there are new keywords.
    # (sequence number, uid, flags, keywords, modseq).
    flags: list[tuple[int, int, int, str, int]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.vanished or self.exists is not None or self.keywords or self.flags)


class SequenceView:
    """Sequence numbers of the selected mailbox; they change only in `update`."""

    __slots__ = (
        "_expunged",
        "_own",
        "box",
        "keywords",
        "live_searches",
        "modseq",
        "read_only",
        "recent",
        "recent_until",
        "saved",
        "uid_next",
        "uids",
    )

    def __init__(self, opened: OpenedMailbox, read_only: bool) -> None:
        self.box: MailboxHandle = opened.box
        self.read_only = read_only
        self.uids = opened.uids
        self.uid_next = opened.uid_next  # UIDs from here on are unknown to the client.
        self.modseq = opened.highest_modseq  # The client has been sent the changes up to here.
        self.keywords = opened.keywords
        self.recent: list[tuple[int, int]] = []  # UIDs with \\Recent here: (first, first after).
        self.recent_until = opened.uid_next  # \\Recent is determined below this UID.
        self.add_recent(opened.recent_from, opened.uid_next)
        self.saved: UidRanges = ()  # "$" (RFC 5182).
        self.live_searches: dict[bytes, LiveSearch] = {}  # By tag.
        self._expunged: list[int] = []  # UIDs expunged, but not sent yet.
        self._own: set[int] = set()  # MODSEQs of this session's own changes, already reported.

    def __len__(self) -> int:
        return len(self.uids)

    # --- Numbers ---

    def sequence(self, uid: int) -> int:
        """Return the sequence number of a UID, 0 if the client does not know it."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else 0

    def sequences(self, uids: Iterable[int]) -> list[int]:
        """Return the sequence numbers of known UIDs."""
        known = self.uids
        return [bisect_right(known, uid) for uid in uids]

    def sequences_of_rows(self, uids: Sequence[int]) -> Sequence[int]:
        """Return the sequence numbers of ascending known UIDs, as a range if they are adjacent."""
        first, last = bisect_right(self.uids, uids[0]), bisect_right(self.uids, uids[-1])
        return range(first, last + 1) if last - first + 1 == len(uids) else self.sequences(uids)

    @property
    def known(self) -> UidRanges:
        return ((self.uids[0], self.uids[-1]),) if self.uids else ()

    def uid_ranges(self, ranges: Ranges) -> UidRanges:
        """Resolve a UID set to ranges of UIDs, limited to the known ones; "*" is the last message."""
        if not self.uids:
            return ()
        first, last = self.uids[0], self.uids[-1]
        return [
            (max(low, first), min(high, last))
            for low, high in resolve_ranges(ranges, last)
            if low <= last and high >= first
        ]

    def uids_of_sequences(self, ranges: Ranges) -> UidRanges | None:
        """Resolve a set of sequence numbers to UID ranges; None if one of them does not exist."""
        count = len(self.uids)
        uid_ranges: list[tuple[int, int]] = []
        for low, high in resolve_ranges(ranges, count):
            if high > count:
                return None
            uid_ranges.append((self.uids[low - 1], self.uids[high - 1]))
        if not uid_ranges:
            return None if not count else ()
        return uid_ranges

    def clip_to_known(self, ranges: Ranges) -> UidRanges:
        """Resolve a set of sequence numbers for SEARCH, ignoring numbers that do not exist."""
        count = len(self.uids)
        return [
            (self.uids[low - 1], self.uids[min(high, count) - 1])
            for low, high in resolve_ranges(ranges, count)
            if low <= count
        ]

    def ranges_of(self, uids: Sequence[int]) -> UidRanges:
        """Return ascending known UIDs as ranges that include no other known UID."""
        return merge_ranges((self.uids[low - 1], self.uids[high - 1]) for low, high in to_ranges(self.sequences(uids)))

    def count_in(self, ranges: UidRanges) -> int:
        return sum(bisect_right(self.uids, high) - bisect_left(self.uids, low) for low, high in ranges)

    def uids_in(self, ranges: UidRanges) -> list[int]:
        uids: list[int] = []
        for low, high in ranges:
            uids += self.uids[bisect_left(self.uids, low) : bisect_right(self.uids, high)]
        return uids

    def add_recent(self, first: int, after: int) -> None:
        self.recent_until = after
        if first < after:
            self.recent.append((first, after))

    def is_recent(self, uid: int) -> bool:
        return any(first <= uid < after for first, after in self.recent)

    @property
    def recent_count(self) -> int:
        return sum(bisect_left(self.uids, after) - bisect_left(self.uids, first) for first, after in self.recent)

    def add_keywords(self, columns: Iterable[str]) -> bool:
        """Add the keywords in these columns that are unknown; return True if there are any."""
        used = dict.fromkeys(word for column in columns for word in column.split())
        known = {word.lower() for word in self.keywords.split()}
        fresh = [word for word in used if word.lower() not in known]
        if fresh:
            self.keywords = " ".join([*self.keywords.split(), *fresh])
        return bool(fresh)

    # --- Changes ---

    def record_own_change(self, modseq: int) -> None:
        """Record a change made by this session, whose result was sent or was not requested."""
        if modseq:
            self._own.add(modseq)

    def update(self, changes: MailboxChanges | None, with_expunges: bool) -> MailboxUpdates:
        """Apply changes and return the updates to send; expunged messages wait until they may be sent."""
        updates = MailboxUpdates()
        fresh: list[int] = []
        changed: list[tuple[int, int, str, int]] = []
        if changes is not None:
            if changes.exists:
                self._expunged += changes.gone
                for row in changes.rows:
                    if row[0] >= self.uid_next:
                        fresh.append(row[0])
                    elif row[3] > self.modseq and row[3] not in self._own:
                        changed.append(row)
                self._own = {modseq for modseq in self._own if modseq > changes.highest_modseq}
                self.modseq = max(self.modseq, changes.highest_modseq)
                if changes.keywords != self.keywords:
                    self.keywords = changes.keywords
                    updates.keywords = True
            else:  # The mailbox itself was deleted.
                self._expunged = list(self.uids)
        if with_expunges and self._expunged:
            self._expunge(updates)
        if fresh:
            self.uids.extend(fresh)
            self.uid_next = fresh[-1] + 1
            updates.exists = len(self.uids)
            updates.fresh = fresh
        for uid, flags, keywords, modseq in changed:
            if sequence := self.sequence(uid):
                updates.flags.append((sequence, uid, flags, keywords, modseq))
        return updates

    def _expunge(self, updates: MailboxUpdates) -> None:
        gone = sorted({uid for uid in self._expunged if self.sequence(uid)})
        self._expunged = []
        if not gone:
            return
        updates.vanished_uids = gone
        updates.vanished = self.sequences(reversed(gone))
        if len(gone) < 10:
            for sequence in updates.vanished:
                del self.uids[sequence - 1]
        else:
            left = set(gone)
            self.uids = array("I", [uid for uid in self.uids if uid not in left])
        if self.saved:
            self.saved = [pair for pair in self.saved if self.count_in([pair])]
