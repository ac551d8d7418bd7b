"""Live searches, whose results are kept up to date (RFC 5267 §4.3): SEARCH and SORT with RETURN (UPDATE).

The session repeats every live search when its mailbox changed. It sends removed results before EXPUNGE responses, and
added results after EXISTS.
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


@dataclass(slots=True)
class LiveSearch:
    """A search whose result is kept up to date; `uids` is the result the client knows.

    `criteria` is () for SEARCH, whose results have no order.
    """

    tag: bytes
    by_uid: bool
    key: wire.SearchKey
    context: SearchContext
    criteria: Sequence[tuple[str, bool]]
    uids: list[int]

    def find(self, box: MailboxHandle) -> list[int]:
        """Return the current result; called in a thread."""
        everything = SearchContext(((1, sequence_set.MAX),), self.context.sets, self.context.recent)
        if self.criteria:
            return [uid for uid, _ in sort_thread.sort_messages(box, self.key, everything, self.criteria)]
        return store.find_uids(box.id, self.key, everything)

    def format_removed(self, view: "SequenceView", uids: Sequence[int]) -> Iterator[bytes]:
        """Yield REMOVEFROM responses for lost results, numbered as before `view.update`."""
        matching = set(uids)
        removed = [(offset, uid) for offset, uid in enumerate(self.uids) if uid not in matching]
        for offset, uids in reversed(self._runs(removed)):
            yield self._response(b"REMOVEFROM", offset, uids, view)
        self.uids = [uid for uid in self.uids if uid in matching]

    def format_added(self, view: "SequenceView", uids: Sequence[int]) -> Iterator[bytes]:
        """Yield ADDTO responses for new results that the client knows, after `view.update`."""
        before = set(self.uids)
        self.uids = [uid for uid in uids if uid in before or view.sequence(uid)]
        added = [(offset, uid) for offset, uid in enumerate(self.uids) if uid not in before]
        for offset, uids in self._runs(added):
            yield self._response(b"ADDTO", offset, uids, view)

    def _runs(self, positions: list[tuple[int, int]]) -> list[tuple[int, list[int]]]:
        """Group (position, UID) pairs as (first position, UIDs): adjacent ones, or all if there is no order."""
        if not self.criteria:
            return [(0, [uid for _, uid in positions])] if positions else []
        uids = dict(positions)
        return [(low, [uids[offset] for offset in range(low, high + 1)]) for low, high in sequence_set.to_ranges(uids)]

    def _response(self, what: bytes, offset: int, uids: Sequence[int], view: "SequenceView") -> bytes:
        numbers = uids if self.by_uid else view.sequences(uids)
        kind = b" UID" if self.by_uid else b""
        position = offset + 1 if self.criteria else 0
        return b'* ESEARCH (TAG "%b")%b %b (%d %b)\r\n' % (
            self.tag, kind, what, position, sequence_set.format_numbers(numbers),
        )  # fmt: skip
