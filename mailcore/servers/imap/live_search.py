"""Searches whose results the client wants kept up to date (RFC 5267 §4.3): SEARCH and SORT RETURN (UPDATE).

The session asks for every context again when its mailbox changed, tells what left it before messages are told
to be gone, and what joined it after new ones were told.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailcore.store.mailbox import search_query as store
from mailcore.store.mailbox import sort_thread
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.mailbox.search_query import SearchContext
from mailcore.wire.imap import sequence_set
from mailcore.wire.imap.syntax import search_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.sequence_view import SequenceView

MAX_LIVE_SEARCHES = 16  # of one session


@dataclass(slots=True)
class LiveSearch:
    """`criteria` () for SEARCH, whose results have no order of their own; `found` are UIDs as told last."""

    tag: bytes
    by_uid: bool
    key: wire.SearchKey
    frame: SearchContext
    criteria: Sequence[tuple[str, bool]]
    found: list[int]

    def find(self, box: MailboxHandle) -> list[int]:
        """What matches now: for a thread."""
        everything = SearchContext(((1, sequence_set.MAX),), self.frame.sets, self.frame.recent)
        if self.criteria:
            return [uid for uid, _ in sort_thread.sort_messages(box, self.key, everything, self.criteria)]
        return store.find_uids(box.id, self.key, everything)

    def leave(self, view: "SequenceView", now: Sequence[int]) -> Iterator[bytes]:
        """REMOVEFROM responses for what does not match any more, in numbers as they are before `view.tell`."""
        there = set(now)
        gone = [(at, uid) for at, uid in enumerate(self.found) if uid not in there]
        for at, uids in reversed(self._runs(gone)):
            yield self._response(b"REMOVEFROM", at, uids, view)
        self.found = [uid for uid in self.found if uid in there]

    def join(self, view: "SequenceView", now: Sequence[int]) -> Iterator[bytes]:
        """ADDTO responses for what matches anew and the client knows, after `view.tell`."""
        before = set(self.found)
        self.found = [uid for uid in now if uid in before or view.sequence(uid)]
        fresh = [(at, uid) for at, uid in enumerate(self.found) if uid not in before]
        for at, uids in self._runs(fresh):
            yield self._response(b"ADDTO", at, uids, view)

    def _runs(self, places: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
        """(place, UID) as (first place, UIDs): neighbours together, or all where there is no order."""
        if not self.criteria:
            return [(0, [uid for _, uid in places])] if places else []
        uids = dict(places)
        return [(low, [uids[at] for at in range(low, high + 1)]) for low, high in sequence_set.to_ranges(uids)]

    def _response(self, what: bytes, at: int, uids: Sequence[int], view: "SequenceView") -> bytes:
        numbers = uids if self.by_uid else view.sequences(uids)
        kind = b" UID" if self.by_uid else b""
        place = at + 1 if self.criteria else 0
        return b'* ESEARCH (TAG "%b")%b %b (%d %b)\r\n' % (
            self.tag, kind, what, place, sequence_set.format_numbers(numbers),
        )  # fmt: skip
