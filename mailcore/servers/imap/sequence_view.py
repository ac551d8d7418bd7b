"""The selected mailbox as one client knows it (RFC 9051 §2.3.1): which UID has which sequence number, and
what it has not been told yet. Pure: no sockets, no database; ten thousand of them must fit in memory.
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
    """What a client is to be told, in this order."""

    vanished: list[int] = field(default_factory=list)  # sequence numbers, falling: each is true when it is told
    vanished_uids: list[int] = field(default_factory=list)  # the same messages, rising
    exists: int | None = None  # new count
    fresh: list[int] = field(default_factory=list)  # UIDs that are new
    keywords: bool = False  # there are new ones
    flags: list[tuple[int, int, int, str, int]] = field(default_factory=list)  # (seq, uid, flags, keywords, modseq)

    def __bool__(self) -> bool:
        return bool(self.vanished or self.exists is not None or self.keywords or self.flags)


class SequenceView:
    """Sequence numbers change only in `tell`."""

    __slots__ = (
        "_gone",
        "_own",
        "box",
        "contexts",
        "keywords",
        "looked_until",
        "modseq",
        "read_only",
        "recent",
        "saved",
        "uid_next",
        "uids",
    )

    def __init__(self, opened: OpenedMailbox, read_only: bool) -> None:
        self.box: MailboxHandle = opened.box
        self.read_only = read_only
        self.uids = opened.uids
        self.uid_next = opened.uid_next  # UIDs from here on are unknown to the client
        self.modseq = opened.highest_modseq  # up to here it has been told
        self.keywords = opened.keywords
        self.recent: list[tuple[int, int]] = []  # UIDs that have \\Recent here: first, and first after
        self.looked_until = opened.uid_next  # below this it is known what is recent
        self.add_recent(opened.recent_from, opened.uid_next)
        self.saved: UidRanges = ()  # "$" (RFC 5182)
        self.contexts: dict[bytes, LiveSearch] = {}  # by tag
        self._gone: list[int] = []  # UIDs that are gone, not told yet
        self._own: set[int] = set()  # modseqs of changes this client was told of when it made them

    def __len__(self) -> int:
        return len(self.uids)

    # --- Numbers ---

    def sequence(self, uid: int) -> int:
        """The sequence number of a UID, 0 if the client has no such message."""
        at = bisect_left(self.uids, uid)
        return at + 1 if at < len(self.uids) and self.uids[at] == uid else 0

    def sequences(self, uids: Iterable[int]) -> list[int]:
        """Sequence numbers of UIDs that are all known."""
        known = self.uids
        return [bisect_right(known, uid) for uid in uids]

    def sequences_of_rows(self, uids: Sequence[int]) -> Sequence[int]:
        """The same for rising UIDs, at once where they are neighbours."""
        first, last = bisect_right(self.uids, uids[0]), bisect_right(self.uids, uids[-1])
        return range(first, last + 1) if last - first + 1 == len(uids) else self.sequences(uids)

    @property
    def known(self) -> UidRanges:
        return ((self.uids[0], self.uids[-1]),) if self.uids else ()

    def uid_ranges(self, ranges: Ranges) -> UidRanges:
        """UIDs that a UID set means, cut to what the client knows; "*" is the last message."""
        if not self.uids:
            return ()
        first, last = self.uids[0], self.uids[-1]
        return [
            (max(low, first), min(high, last))
            for low, high in resolve_ranges(ranges, last)
            if low <= last and high >= first
        ]

    def uids_of_sequences(self, ranges: Ranges) -> UidRanges | None:
        """UIDs that a set of sequence numbers means; None if one of them is no message's."""
        count = len(self.uids)
        found: list[tuple[int, int]] = []
        for low, high in resolve_ranges(ranges, count):
            if high > count:
                return None
            found.append((self.uids[low - 1], self.uids[high - 1]))
        if not found:
            return None if not count else ()
        return found

    def clip_to_known(self, ranges: Ranges) -> UidRanges:
        """The same for SEARCH, where numbers of no message just match nothing."""
        count = len(self.uids)
        return [
            (self.uids[low - 1], self.uids[min(high, count) - 1])
            for low, high in resolve_ranges(ranges, count)
            if low <= count
        ]

    def ranges_of(self, uids: Sequence[int]) -> UidRanges:
        """Known UIDs in rising order as ranges that hold no other known UID."""
        return merge_ranges((self.uids[low - 1], self.uids[high - 1]) for low, high in to_ranges(self.sequences(uids)))

    def count_in(self, ranges: UidRanges) -> int:
        return sum(bisect_right(self.uids, high) - bisect_left(self.uids, low) for low, high in ranges)

    def uids_in(self, ranges: UidRanges) -> list[int]:
        found: list[int] = []
        for low, high in ranges:
            found += self.uids[bisect_left(self.uids, low) : bisect_right(self.uids, high)]
        return found

    def add_recent(self, first: int, after: int) -> None:
        self.looked_until = after
        if first < after:
            self.recent.append((first, after))

    def is_recent(self, uid: int) -> bool:
        return any(first <= uid < after for first, after in self.recent)

    @property
    def recent_count(self) -> int:
        return sum(bisect_left(self.uids, after) - bisect_left(self.uids, first) for first, after in self.recent)

    # --- Changes ---

    def record_own_change(self, modseq: int) -> None:
        """The client made this change and was told its outcome, or did not want to be."""
        if modseq:
            self._own.add(modseq)

    def tell(self, changes: MailboxChanges | None, with_expunges: bool) -> MailboxUpdates:
        """Take changes in; what is gone waits until it may be told."""
        telling = MailboxUpdates()
        fresh: list[int] = []
        changed: list[tuple[int, int, str, int]] = []
        if changes is not None:
            if changes.exists:
                self._gone += changes.gone
                for row in changes.rows:
                    if row[0] >= self.uid_next:
                        fresh.append(row[0])
                    elif row[3] > self.modseq and row[3] not in self._own:
                        changed.append(row)
                self._own = {modseq for modseq in self._own if modseq > changes.highest_modseq}
                self.modseq = max(self.modseq, changes.highest_modseq)
                if changes.keywords != self.keywords:
                    self.keywords = changes.keywords
                    telling.keywords = True
            else:  # the mailbox itself is gone
                self._gone = list(self.uids)
        if with_expunges and self._gone:
            self._expunge(telling)
        if fresh:
            self.uids.extend(fresh)
            self.uid_next = fresh[-1] + 1
            telling.exists = len(self.uids)
            telling.fresh = fresh
        for uid, flags, keywords, modseq in changed:
            if sequence := self.sequence(uid):
                telling.flags.append((sequence, uid, flags, keywords, modseq))
        return telling

    def _expunge(self, telling: MailboxUpdates) -> None:
        gone = sorted({uid for uid in self._gone if self.sequence(uid)})
        self._gone = []
        if not gone:
            return
        telling.vanished_uids = gone
        telling.vanished = self.sequences(reversed(gone))
        if len(gone) < 10:
            for sequence in telling.vanished:
                del self.uids[sequence - 1]
        else:
            left = set(gone)
            self.uids = array("I", [uid for uid in self.uids if uid not in left])
        if self.saved:
            self.saved = [pair for pair in self.saved if self.count_in([pair])]
