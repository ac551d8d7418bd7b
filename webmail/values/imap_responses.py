"""IMAP answers as nested values: tuples for lists, bytes for strings, int for numbers, None for NIL.

`webmail.mailserver.imap_client` reads the long answers (FETCH of whole pages) through this: one regular expression
instead of one byte at a time makes a page of 50 rows four times cheaper. Input is imaplib's form:
a list of lines, where a line that ends in a literal is a tuple (line, bytes).
"""

import re
from collections.abc import Iterator, Sequence

Lines = Sequence[bytes | tuple[bytes, bytes]]  # as imaplib keeps an answer
Value = bytes | int | None | tuple["Value", ...]

_TOKEN = re.compile(
    rb'[ \t\r\n]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"'
    rb"|\{\d+\+?\}$|(?P<atom>[^\s()\"\[{]*(?:\[[^\]]*\][^\s()\"]*)?))"
)
_ESCAPED = re.compile(rb"\\(.)", re.S)


class InvalidResponse(ValueError):
    """The server's answer does not follow IMAP's grammar."""


def parse_response(lines: Lines) -> Iterator[Value]:
    """The values of an answer at its outermost level, in order. Raises BadAnswer."""
    open_lists: list[list[Value]] = []
    for line in lines:
        text, literal = line if isinstance(line, tuple) else (line, None)
        position, end = 0, len(text.rstrip(b" \t\r\n"))
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.end() == position:
                raise InvalidResponse("token")
            position = match.end()
            value: Value
            match match.lastgroup:
                case "open":
                    open_lists.append([])
                    continue
                case "close":
                    if not open_lists:
                        raise InvalidResponse("parenthesis")
                    value = tuple(open_lists.pop())
                case "quoted":
                    value = match["quoted"]
                    if b"\\" in value:
                        value = _ESCAPED.sub(rb"\1", value)
                case "atom":
                    value = _atom(match["atom"])
                case _:
                    value = literal
            if open_lists:
                open_lists[-1].append(value)
            else:
                yield value
    if open_lists:
        raise InvalidResponse("parenthesis")


def _atom(text: bytes) -> Value:
    if text.isdigit():
        return int(text)
    return None if text.upper() == b"NIL" else text


def to_bytes(value: Value) -> bytes:
    """A string value; a number as its digits; b"" for NIL and lists."""
    if isinstance(value, bytes):
        return value
    return str(value).encode() if isinstance(value, int) else b""


def parse_fetch(lines: Lines) -> dict[int, dict[bytes, Value]]:
    """FETCH answers by UID: {uid: {b"FLAGS": (...), b"SEQ": n, ...}}. Answers without a UID (flags
    changed elsewhere) are passed over."""
    found: dict[int, dict[bytes, Value]] = {}
    values = parse_response([line for line in lines if line is not None])
    for sequence, items in zip(values, values, strict=False):
        if not isinstance(sequence, int) or not isinstance(items, tuple) or len(items) % 2:
            raise InvalidResponse("FETCH")
        data: dict[bytes, Value] = {b"SEQ": sequence}
        for name, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(name, bytes):
                raise InvalidResponse("FETCH")
            data[name.upper()] = value
        uid = data.get(b"UID")
        if isinstance(uid, int):
            found.setdefault(uid, {}).update(data)
    return found


def parse_esearch(lines: Lines) -> Iterator[tuple[bytes, list[int]]]:
    """ESEARCH answers about several folders (RFC 7377 §2.1): (name, UIDs, the highest first). Raises BadAnswer."""
    name, pending = b"", b""
    for value in parse_response([line for line in lines if line is not None]):
        if isinstance(value, tuple):
            name = to_bytes(value[value.index(b"MAILBOX") + 1]) if b"MAILBOX" in value else b""
        elif pending == b"ALL":
            yield name, sorted(expand_sequence(to_bytes(value)), reverse=True)
        pending = value if isinstance(value, bytes) else b""


def expand_sequence(numbers: bytes) -> list[int]:
    """The numbers of a sequence set, in its order. Raises BadAnswer."""
    found: list[int] = []
    try:
        for piece in numbers.split(b","):
            first, _, last = piece.partition(b":")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise InvalidResponse("sequence set") from error
    return found
