"""Arguments of FETCH (RFC 9051 §6.4.5, with BINARY, OBJECTID, SAVEDATE, PREVIEW, CONDSTORE)."""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.message.body_section import Section, What

# Items answered from the index, without opening a file.
ATTRIBUTES = frozenset(
    {"UID", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE", "BODY", "MODSEQ", "EMAILID",
     "THREADID", "SAVEDATE", "PREVIEW"}
)  # fmt: skip
_MACROS = {
    b"ALL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"),
    b"FAST": ("FLAGS", "INTERNALDATE", "RFC822.SIZE"),
    b"FULL": ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODY"),
}
_WHATS: dict[str, What] = {
    "HEADER.FIELDS.NOT": "HEADER.FIELDS.NOT",
    "HEADER.FIELDS": "HEADER.FIELDS",
    "HEADER": "HEADER",
    "TEXT": "TEXT",
    "MIME": "MIME",
}
_PATH = re.compile(rb"([1-9]\d{0,5}(?:\.[1-9]\d{0,5})*)(\.)?")
_PARTIAL = re.compile(rb"<(\d{1,10})\.([1-9]\d{0,9})>")
_WORD = re.compile(rb"[A-Za-z0-9.]+")
_SPECIAL = re.compile(rb'[ (){%*"\\\]]')
MAX_PATH = 100


@dataclass(frozen=True, slots=True)
class ContentItem:
    """A part of a message's bytes; `label` is its name in the response, without the partial's origin."""

    label: bytes
    section: Section
    peek: bool
    kind: Literal["raw", "binary", "binary size"] = "raw"
    partial: tuple[int, int] | None = None  # (first byte, number of bytes)


@dataclass(frozen=True, slots=True)
class FetchItems:
    """The items of a FETCH; `attributes` in the order given, each once."""

    attributes: tuple[str, ...]
    contents: tuple[ContentItem, ...]
    lazy_preview: bool = False

    @property
    def sets_seen(self) -> bool:
        return any(not content.peek and content.kind != "binary size" for content in self.contents)


@dataclass(frozen=True, slots=True)
class FetchModifiers:
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None  # RFC 9394


def parse_fetch_items(cursor: Cursor) -> FetchItems:
    """Parse a macro, one item or a list of items, up to the end or the modifiers."""
    start = cursor.at
    end = _plain_end(cursor.text, start)
    if end is not None:
        cursor.at = end
        return _cached(cursor.text[start:end])
    return _parse_items(cursor)


def _plain_end(text: bytes, start: int) -> int | None:
    """Return the end of the items if they are simple enough to be cached by their text, else None."""
    if b"{" in text or len(text) - start > 300:
        return None
    if text[start : start + 1] != b"(":
        return None if b"(" in text[start:] else len(text)
    depth = 0
    for match in re.finditer(rb"[()]", text[start:]):
        depth += 1 if match[0] == b"(" else -1
        if not depth:
            return start + match.end()
    return None


@lru_cache(1024)
def _cached(text: bytes) -> FetchItems:
    cursor = Cursor(text)
    found = _parse_items(cursor)
    cursor.end()
    return found


@dataclass(slots=True)
class _Collected:
    attributes: dict[str, None] = field(default_factory=dict)
    contents: dict[ContentItem, None] = field(default_factory=dict)
    lazy: bool = False


def _parse_items(cursor: Cursor) -> FetchItems:
    found = _Collected()
    if cursor.next_is(b"("):
        cursor.list_of(lambda: _parse_item(cursor, found))
    else:
        match = _WORD.match(cursor.text, cursor.at)
        if match and (macro := _MACROS.get(match[0].upper())):
            cursor.at = match.end()
            found.attributes.update(dict.fromkeys(macro))
        else:
            _parse_item(cursor, found)
    if not found.attributes and not found.contents:
        raise BadSyntax("Nothing to fetch")
    return FetchItems(tuple(found.attributes), tuple(found.contents), found.lazy)


def _parse_item(cursor: Cursor, found: _Collected) -> None:
    match = _WORD.match(cursor.text, cursor.at)
    if match is None:
        raise BadSyntax("Item to fetch expected")
    cursor.at = match.end()
    word = match[0].upper().decode("ascii")
    bracket = cursor.next_is(b"[")
    if word in ("BODY", "BODY.PEEK") and bracket:
        found.contents[_parse_body(cursor, peek=word == "BODY.PEEK")] = None
    elif word in ("BINARY", "BINARY.PEEK", "BINARY.SIZE") and bracket:
        found.contents[_parse_binary(cursor, word)] = None
    elif word in ATTRIBUTES:
        found.attributes[word] = None
        if word == "PREVIEW" and cursor.skip_space_before(b"("):
            cursor.open_list()
            if cursor.keyword() != "LAZY":
                raise BadSyntax("Unknown PREVIEW modifier")
            cursor.close_list()
            found.lazy = True
    elif word in ("RFC822", "RFC822.HEADER", "RFC822.TEXT"):
        what: Literal["", "HEADER", "TEXT"] = (
            "HEADER" if word == "RFC822.HEADER" else "TEXT" if word == "RFC822.TEXT" else ""
        )
        content = ContentItem(match[0].upper(), Section((), what), peek=word == "RFC822.HEADER")
        found.contents[content] = None
    else:
        raise BadSyntax(f"Unknown item {word[:30]}")


def _parse_path(cursor: Cursor) -> tuple[tuple[int, ...], bool]:
    """Return (numbers, True if a dot follows)."""
    match = _PATH.match(cursor.text, cursor.at)
    if match is None:
        return (), False
    cursor.at = match.end()
    path = tuple(int(number) for number in match[1].split(b"."))
    if len(path) > MAX_PATH:
        raise BadSyntax("Section has too many levels")
    return path, match[2] is not None


def _parse_body(cursor: Cursor, peek: bool) -> ContentItem:
    found = parse_section(cursor)
    return ContentItem(format_section(found), found, peek, "raw", _parse_partial(cursor))


def parse_section(cursor: Cursor) -> Section:
    """Parse "[" section "]"."""
    cursor.expect(b"[")
    path, more = _parse_path(cursor)
    found = Section(path)
    if more or (not path and not cursor.next_is(b"]")):
        word = cursor.keyword()
        if word not in _WHATS or (word == "MIME" and not path):
            raise BadSyntax("Unknown section")
        names: tuple[str, ...] = ()
        if word.startswith("HEADER.FIELDS"):
            cursor.space()
            names = tuple(cursor.list_of(lambda: _header_name(cursor)))
            if not names:
                raise BadSyntax("Header field expected")
        found = Section(path, _WHATS[word], names)
    cursor.expect(b"]")
    return found


def _header_name(cursor: Cursor) -> str:
    name = cursor.astring().upper()
    if not re.fullmatch(rb"[ -~]+", name):
        raise BadSyntax("Header field expected")
    return name.decode("ascii")


def format_section(wanted: Section) -> bytes:
    """Return a label such as BODY[1.HEADER.FIELDS (FROM TO)]."""
    words = [str(number) for number in wanted.path] + ([wanted.what] if wanted.what else [])
    names = b""
    if wanted.fields:
        names = b" (" + b" ".join([_field_name(name) for name in wanted.fields]) + b")"
    return b"BODY[" + ".".join(words).encode("ascii") + names + b"]"


def _field_name(name: str) -> bytes:
    raw = name.encode("latin-1")
    return b'"' + re.sub(rb'(["\\])', rb"\\\1", raw) + b'"' if _SPECIAL.search(raw) else raw


def _parse_binary(cursor: Cursor, word: str) -> ContentItem:
    cursor.expect(b"[")
    path, more = _parse_path(cursor)
    if more:
        raise BadSyntax("Unknown section")
    cursor.expect(b"]")
    size = word == "BINARY.SIZE"
    label = (b"BINARY.SIZE[" if size else b"BINARY[") + ".".join(map(str, path)).encode("ascii") + b"]"
    partial = None if size else _parse_partial(cursor)
    return ContentItem(
        label, Section(path), size or word == "BINARY.PEEK", "binary size" if size else "binary", partial
    )


def _parse_partial(cursor: Cursor) -> tuple[int, int] | None:
    if not cursor.next_is(b"<"):
        return None
    match = _PARTIAL.match(cursor.text, cursor.at)
    if match is None:
        raise BadSyntax("Partial is not valid")
    cursor.at = match.end()
    return int(match[1]), int(match[2])


_RANGE = re.compile(rb"(-?[1-9]\d{0,9}):(-?[1-9]\d{0,9})")


def parse_partial_range(cursor: Cursor) -> tuple[int, int]:
    """Parse a range with both ends positive (from the first) or negative (from the last) (RFC 9394 §4)."""
    match = _RANGE.match(cursor.text, cursor.at)
    if match is None or (int(match[1]) < 0) != (int(match[2]) < 0):
        raise BadSyntax("Range is not valid")
    cursor.at = match.end()
    return int(match[1]), int(match[2])


def parse_modifiers(cursor: Cursor) -> FetchModifiers:
    """Parse [SP "(" CHANGEDSINCE n [VANISHED] [PARTIAL a:b] ")"] and the end."""
    if cursor.at_end():
        return FetchModifiers()
    cursor.space()
    changed_since, vanished, partial = None, False, None

    def one() -> None:
        nonlocal changed_since, vanished, partial
        word = cursor.keyword()
        if word == "CHANGEDSINCE":
            cursor.space()
            changed_since = cursor.number()
        elif word == "VANISHED":
            vanished = True
        elif word == "PARTIAL":
            cursor.space()
            partial = parse_partial_range(cursor)
        else:
            raise BadSyntax("Unknown FETCH modifier")

    cursor.list_of(one)
    cursor.end()
    if vanished and changed_since is None:
        raise BadSyntax("VANISHED needs CHANGEDSINCE")
    return FetchModifiers(changed_since, vanished, partial)
