"""Arguments of SELECT and EXAMINE after the name (RFC 4466 §2.1, RFC 7162 §3.1.8, §3.2.5)."""

from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.sequence_set import Ranges


@dataclass(frozen=True, slots=True)
class QresyncRequest:
    """The client's knowledge of the mailbox (QRESYNC).

    `known` None: every UID below UIDNEXT. `matched`: the client also sent sequence numbers with their UIDs, which help
    only servers that do not store expunged UIDs.
    """

    uid_validity: int
    modseq: int
    known: Ranges | None = None
    matched: bool = False


@dataclass(frozen=True, slots=True)
class SelectParameters:
    condstore: bool = False
    resync: QresyncRequest | None = None


def parse_select_parameters(cursor: Cursor) -> SelectParameters:
    """Parse [SP "(" parameter … ")"]."""
    condstore, resync = False, None

    def one() -> None:
        nonlocal condstore, resync
        word = cursor.keyword()
        if word == "CONDSTORE":
            condstore = True
        elif word == "QRESYNC":
            cursor.space()
            resync = _parse_qresync(cursor)
        else:
            raise BadSyntax(f"Unknown parameter {word[:30]}")

    if cursor.skip_space():
        cursor.list_of(one)
    cursor.end()
    return SelectParameters(condstore, resync)


def _parse_qresync(cursor: Cursor) -> QresyncRequest:
    """Parse "(" uidvalidity SP modseq [SP known-uids] [SP "(" known-sequence-set SP known-uid-set ")"] ")"."""
    cursor.open_list()
    uid_validity = cursor.nz_number()
    cursor.space()
    modseq = cursor.nz_number()
    known: Ranges | None = None
    matched = False
    if cursor.skip_space() and not cursor.next_is(b")"):
        if not cursor.next_is(b"("):
            known = cursor.ranges()
        if known is None or cursor.skip_space_before(b"("):
            cursor.open_list()
            cursor.ranges()
            cursor.space()
            cursor.ranges()
            cursor.close_list()
            matched = True
    cursor.close_list()
    return QresyncRequest(uid_validity, modseq, known, matched)
