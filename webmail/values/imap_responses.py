"""IMAP responses as nested values: tuples for lists, bytes for strings, int for numbers, None for NIL.

`webmail.mailserver.imap_client` parses the long responses (FETCH of whole pages) with this module: one regular
expression instead of one byte at a time makes a page of 50 rows four times cheaper. The input has imaplib's form: a
list of lines, where a line that ends in a literal is a tuple (line, bytes).
"""

import re
from collections.abc import Iterator, Sequence

Lines = Sequence[bytes | tuple[bytes, bytes]]  # a response as imaplib returns it
Value = bytes | int | None | tuple["Value", ...]

_TOKEN = re.compile(
    rb'[ \t\r\n]*(?:(?P<open>\()|(?P<close>\))|"(?P<quoted>[^"\\]*(?:\\.[^"\\]*)*)"'
    rb"|\{\d+\+?\}$|(?P<atom>[^\s()\"\[{]*(?:\[[^\]]*\][^\s()\"]*)?))"
)
_ESCAPED = re.compile(rb"\\(.)", re.S)


class InvalidResponse(ValueError):
    """The server's response does not follow IMAP's grammar."""


def parse_response(lines: Lines) -> Iterator[Value]:
    """Yield the values of a response at its outermost level, in order.

    Raise `InvalidResponse`.
    """
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
    """Return a string value, a number as its digits, and b"" for NIL and lists."""
    if isinstance(value, bytes):
        return value
    return str(value).encode() if isinstance(value, int) else b""


def parse_fetch(lines: Lines) -> dict[int, dict[bytes, Value]]:
    """Return FETCH responses by UID: {uid: {b"FLAGS": (...), b"SEQ": n, ...}}.

    Responses without a UID (flags changed by another client) are skipped.
    """
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
    """Yield (mailbox name, UIDs in descending order) of ESEARCH responses about several mailboxes (RFC 7377 §2.1).

    Raise `InvalidResponse`.
    """
    name, pending = b"", b""
    for value in parse_response([line for line in lines if line is not None]):
        if isinstance(value, tuple):
            name = to_bytes(value[value.index(b"MAILBOX") + 1]) if b"MAILBOX" in value else b""
        elif pending == b"ALL":
            yield name, sorted(expand_sequence(to_bytes(value)), reverse=True)
        pending = value if isinstance(value, bytes) else b""


def expand_sequence(numbers: bytes) -> list[int]:
    """Return the numbers of a sequence set, in its order.

    Raise `InvalidResponse`.
    """
    found: list[int] = []
    try:
        for piece in numbers.split(b","):
            first, _, last = piece.partition(b":")
            found += range(int(first), int(last or first) + 1)
    except ValueError as error:
        raise InvalidResponse("sequence set") from error
    return found
