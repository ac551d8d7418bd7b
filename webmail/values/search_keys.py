"""Search criteria as values, and formatted as an IMAP SEARCH program (RFC 9051 §6.4.4).

`webmail.searching.query` parses a user's input into these values; `webmail.mailserver.imap_client` sends them. Only
here a user's text becomes quoted strings or literals; a control character in it is refused.
"""

import re
from dataclasses import dataclass
from datetime import date

FIELDS = {"from": b"FROM", "to": b"TO", "cc": b"CC", "bcc": b"BCC", "subject": b"SUBJECT"}
FIELDS |= {"body": b"BODY", "text": b"TEXT"}
_FLAGS = {
    "seen": (b"SEEN", b"UNSEEN"),
    "flagged": (b"FLAGGED", b"UNFLAGGED"),
    "answered": (b"ANSWERED", b"UNANSWERED"),
    "draft": (b"DRAFT", b"UNDRAFT"),
    "forwarded": (b"KEYWORD $Forwarded", b"UNKEYWORD $Forwarded"),
}
_SIDES = {"before": b"SENTBEFORE", "since": b"SENTSINCE", "on": b"SENTON"}
_MONTHS = b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
_KEYWORD = re.compile(r"[!#$&'+\-./0-9:;<=>?@A-Z^_`a-z|}~\[,]{1,100}")
_OBJECT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,80}")


class LiteralString(bytes):
    """Bytes that are sent as a literal."""


Pieces = tuple[bytes, ...]  # a command in pieces: all but LiteralString are sent unchanged


@dataclass(frozen=True, slots=True)
class FieldContains:
    """A field of FIELDS contains the text."""

    field: str
    words: str


@dataclass(frozen=True, slots=True)
class Header:
    """A header field of any name contains the text; "" tests only that the field exists."""

    name: str
    words: str


@dataclass(frozen=True, slots=True)
class Flag:
    name: str  # a key of _FLAGS
    on: bool = True


@dataclass(frozen=True, slots=True)
class Keyword:
    keyword: str


@dataclass(frozen=True, slots=True)
class SentDate:
    side: str  # a key of _SIDES
    day: date


@dataclass(frozen=True, slots=True)
class Size:
    larger: bool
    size: int


@dataclass(frozen=True, slots=True)
class Thread:
    """Messages of one conversation, by THREADID, where the server supports it (RFC 8474)."""

    id: str


@dataclass(frozen=True, slots=True)
class Attachment:
    """The message has an attachment, judged by its headers: servers need not know more."""


@dataclass(frozen=True, slots=True)
class Not:
    key: "Key"


@dataclass(frozen=True, slots=True)
class AllOf:
    keys: "tuple[Key, ...]"


@dataclass(frozen=True, slots=True)
class AnyOf:
    keys: "tuple[Key, ...]"


Key = FieldContains | Header | Flag | Keyword | SentDate | Size | Thread | Attachment | Not | AllOf | AnyOf


def reject_controls(text: str) -> str:
    """Return `text` unchanged.

    Raise `ValueError` if it has a control character: none belongs in a command.
    """
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise ValueError("control character in an IMAP argument")
    return text


def format_string(text: str) -> bytes:
    """Return a string as a command carries it, quoted or as a literal.

    Raise `ValueError` if it has a control character.
    """
    data = reject_controls(text).encode("utf-8")
    if not text.isascii():
        return LiteralString(data)
    return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def is_keyword(text: str) -> bool:
    return _KEYWORD.fullmatch(text) is not None


def check_keyword(text: str) -> bytes:
    """Return a keyword that a user may set, as bytes.

    Raise `ValueError` if it is not one.
    """
    return _check_pattern(_KEYWORD, text)


def format_program(key: Key) -> Pieces:
    """Return the search program, with its charset in front if it needs one.

    Raise `ValueError` if a text or a name cannot be sent.
    """
    pieces = _pieces(key)
    return (b"CHARSET UTF-8 ", *pieces) if any(isinstance(piece, LiteralString) for piece in pieces) else pieces


def _pieces(key: Key) -> Pieces:
    match key:
        case FieldContains(field, words):
            return (FIELDS[field] + b" ", format_string(words))
        case Header(name, words):
            return (b"HEADER " + _check_pattern(_HEADER, name) + b" ", format_string(words))
        case Flag(name, on):
            return (_FLAGS[name][0 if on else 1],)
        case Keyword(name):
            return (b"KEYWORD " + check_keyword(name),)
        case SentDate(side, day):
            return (b"%b %d-%b-%04d" % (_SIDES[side], day.day, _MONTHS[day.month - 1], day.year),)
        case Size(larger, size):
            return (b"%b %d" % (b"LARGER" if larger else b"SMALLER", min(size, (1 << 32) - 1)),)
        case Thread(name):
            return (b"THREADID " + _check_pattern(_OBJECT_ID, name),)
        case Attachment():
            mixed = _pieces(Header("Content-Type", "multipart/mixed"))
            return (b"OR KEYWORD $HasAttachment OR ", *mixed, b" ", *_pieces(Header("Content-Type", "application/")))
        case Not(inner):
            return (b"NOT ", *_format_single(inner))
        case AllOf(keys):
            return _join_keys(keys)
        case AnyOf(keys):
            first, *rest = keys
            return (
                (b"OR ", *_format_single(first), b" ", *_format_single(AnyOf(tuple(rest)))) if rest else _pieces(first)
            )
    raise TypeError(key)


def _join_keys(keys: tuple[Key, ...]) -> Pieces:
    out: list[bytes] = []
    for key in keys:
        out += [b" ", *_pieces(key)] if out else _pieces(key)
    return tuple(out) or (b"ALL",)


def _format_single(key: Key) -> Pieces:
    """Return `key` as a single search key, in parentheses if it consists of several."""
    return (b"(", *_pieces(key), b")") if isinstance(key, AllOf) and len(key.keys) != 1 else _pieces(key)


def _check_pattern(pattern: re.Pattern[str], text: str) -> bytes:
    if not pattern.fullmatch(text):
        raise ValueError("invalid characters for IMAP")
    return text.encode("ascii")
