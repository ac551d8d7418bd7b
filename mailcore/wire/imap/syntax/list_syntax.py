"""Arguments of LIST, LSUB and STATUS (RFC 9051 §6.3.9, §6.3.11, RFC 5258, RFC 5819, RFC 6154, RFC 9590)."""

from dataclasses import dataclass

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.syntax import metadata_syntax

STATUS_ITEMS = (
    "MESSAGES", "RECENT", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "SIZE", "HIGHESTMODSEQ", "DELETED", "DELETED-STORAGE",
    "APPENDLIMIT", "MAILBOXID",
)  # fmt: skip
_SELECTIONS = ("SUBSCRIBED", "REMOTE", "RECURSIVEMATCH", "SPECIAL-USE")
_RETURNS = ("SUBSCRIBED", "CHILDREN", "SPECIAL-USE")
MAX_PATTERNS = 100


@dataclass(frozen=True, slots=True)
class ListArguments:
    reference: str
    patterns: tuple[str, ...]
    selections: frozenset[str] = frozenset()
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()  # entries (RFC 9590)
    extended: bool = False


def parse_list_arguments(cursor: Cursor) -> ListArguments:
    """Parse all arguments of LIST."""
    selections: list[str] = []
    extended = False
    if cursor.next_is(b"("):
        extended = True
        selections = cursor.list_of(lambda: _parse_word(cursor, _SELECTIONS, "selection option"))
        cursor.space()
    reference = cursor.mailbox() if not cursor.skip_token(b'""') else ""
    cursor.space()
    if cursor.next_is(b"("):
        extended = True
        patterns = tuple(cursor.list_of(cursor.list_mailbox))
        if not patterns or len(patterns) > MAX_PATTERNS:
            raise BadSyntax("Patterns expected")
    else:
        patterns = (cursor.list_mailbox(),)
    returns: frozenset[str] = frozenset()
    status: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()
    if cursor.skip_space():
        extended = True
        if cursor.keyword() != "RETURN":
            raise BadSyntax("RETURN expected")
        cursor.space()
        returns, status, entries = _parse_return_options(cursor)
    cursor.end()
    if "RECURSIVEMATCH" in selections and "SUBSCRIBED" not in selections:
        raise BadSyntax("RECURSIVEMATCH needs SUBSCRIBED")
    return ListArguments(reference, patterns, frozenset(selections), returns, status, entries, extended)


def _parse_word(cursor: Cursor, words: tuple[str, ...], what: str) -> str:
    word = cursor.keyword()
    if word not in words:
        raise BadSyntax(f"Unknown {what} {word[:30]}")
    return word


def _parse_return_options(cursor: Cursor) -> tuple[frozenset[str], tuple[str, ...], tuple[str, ...]]:
    """Parse RETURN options into (options, STATUS items, METADATA entries)."""
    returns: set[str] = set()
    status: tuple[str, ...] = ()
    entries: tuple[str, ...] = ()

    def one() -> None:
        nonlocal status, entries
        if cursor.skip_word(b"STATUS"):
            cursor.space()
            status = parse_status_items(cursor)
        elif cursor.skip_word(b"METADATA"):
            cursor.space()
            entries = metadata_syntax.parse_entries(cursor)
        else:
            returns.add(_parse_word(cursor, _RETURNS, "return option"))

    cursor.list_of(one)
    return frozenset(returns), status, entries


def parse_status_items(cursor: Cursor) -> tuple[str, ...]:
    """Parse "(" item … ")" and return each item once."""
    items = cursor.list_of(lambda: _parse_word(cursor, STATUS_ITEMS, "status item"))
    if not items:
        raise BadSyntax("Status items expected")
    return tuple(dict.fromkeys(items))
