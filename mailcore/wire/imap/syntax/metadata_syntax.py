"""Arguments of GETMETADATA and SETMETADATA (RFC 5464 §4)."""

import re
from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor

_ENTRY = re.compile(r"/(?:private|shared)(?:/[^\x00-\x20\x7f-\U0010ffff*%/]+)+")
MAX_ENTRIES = 100  # in one command
MAX_NAME = 255
INFINITE = -1


@dataclass(frozen=True, slots=True)
class MetadataRequest:
    """A GETMETADATA request.

    `max_size` -1: no limit. `depth` 0: the entries themselves, 1: also their children, INFINITE: all descendants.
    """

    mailbox: str
    entries: tuple[str, ...]
    max_size: int = -1
    depth: int = 0


def parse_request(cursor: Cursor) -> MetadataRequest:
    """Parse [options SP] mailbox SP entries; options are accepted after the mailbox as well."""
    given: dict[str, int] = {}
    if cursor.next_is(b"("):
        cursor.list_of(lambda: _parse_option(cursor, given))
        cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    wanted = parse_entries(cursor)
    cursor.end()
    return MetadataRequest(mailbox, wanted, given.get("MAXSIZE", -1), given.get("DEPTH", 0))


def _parse_option(cursor: Cursor, given: dict[str, int]) -> None:
    word = cursor.keyword()
    if word not in ("MAXSIZE", "DEPTH"):
        raise BadSyntax(f"Unknown option {word[:30]}")
    cursor.space()
    if word == "DEPTH" and cursor.skip_word(b"INFINITY"):
        given[word] = INFINITE
        return
    given[word] = cursor.number()
    if word == "DEPTH" and given[word] > 1:
        raise BadSyntax("DEPTH is 0, 1 or infinity")


def parse_entries(cursor: Cursor) -> tuple[str, ...]:
    """Parse one entry or a list of entries."""
    found = cursor.list_of(lambda: _parse_entry(cursor)) if cursor.next_is(b"(") else [_parse_entry(cursor)]
    if not found or len(found) > MAX_ENTRIES:
        raise BadSyntax("Entries expected")
    return tuple(dict.fromkeys(found))


def _parse_entry(cursor: Cursor) -> str:
    """Parse an entry name, which is case-insensitive, and return it in lower case."""
    name = cursor.text_astring("Entry").lower()
    if not _ENTRY.fullmatch(name) or len(name) > MAX_NAME:
        raise BadSyntax("Entry is not valid")
    return name


def parse_changes(cursor: Cursor) -> tuple[str, dict[str, bytes | None]]:
    """Parse mailbox SP "(" entry SP value … ")" into the mailbox and values; None removes an entry."""
    mailbox = cursor.mailbox()
    cursor.space()
    found: dict[str, bytes | None] = {}

    def one() -> None:
        name = _parse_entry(cursor)
        cursor.space()
        found[name] = cursor.nstring()

    cursor.list_of(one)
    cursor.end()
    if not found or len(found) > MAX_ENTRIES:
        raise BadSyntax("Entries expected")
    return mailbox, found
