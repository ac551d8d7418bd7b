"""What SELECT and EXAMINE are asked besides the name (RFC 4466 §2.1, RFC 7162 §3.1.8, §3.2.5)."""

from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.sequence import Ranges


@dataclass(frozen=True, slots=True)
class Resync:
    """What the client still knows of the mailbox. `known` None: every UID up to UIDNEXT. `matched`: it also gave
    sequence numbers with their UIDs, which only save work to servers that forget what was expunged."""

    uid_validity: int
    modseq: int
    known: Ranges | None = None
    matched: bool = False


@dataclass(frozen=True, slots=True)
class Parameters:
    condstore: bool = False
    resync: Resync | None = None


def parameters(cursor: Cursor) -> Parameters:
    """[SP "(" parameter … ")"], to the end."""
    condstore, resync = False, None

    def one() -> None:
        nonlocal condstore, resync
        word = cursor.keyword()
        if word == "CONDSTORE":
            condstore = True
        elif word == "QRESYNC":
            cursor.space()
            resync = _resync(cursor)
        else:
            raise BadSyntax(f"Unknown parameter {word[:30]}")

    if cursor.skip(b" "):
        cursor.list_of(one)
    cursor.end()
    return Parameters(condstore, resync)


def _resync(cursor: Cursor) -> Resync:
    """ "(" uidvalidity SP modseq [SP known-uids] [SP "(" known-sequence-set SP known-uid-set ")"] ")"."""
    cursor.expect(b"(")
    uid_validity = cursor.nz_number()
    cursor.space()
    modseq = cursor.nz_number()
    known: Ranges | None = None
    matched = False
    if cursor.skip(b" "):
        if not cursor.sees(b"("):
            known = cursor.ranges()
        if known is None or cursor.skip(b" "):
            cursor.expect(b"(")
            cursor.ranges()
            cursor.space()
            cursor.ranges()
            cursor.expect(b")")
            matched = True
    cursor.expect(b")")
    return Resync(uid_validity, modseq, known, matched)
