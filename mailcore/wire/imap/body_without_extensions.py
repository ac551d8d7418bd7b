"""Conversion of BODYSTRUCTURE to BODY, which lacks the extension data (RFC 9051 §7.5.2), so that only one is stored."""

import re

_TOKEN = re.compile(rb'\s+|([()])|"((?:[^"\\]|\\.)*+)"|\{(\d+)\}\r\n|([^\s()"{]+)')

_Value = bytes | list["_Value"]


def strip_extensions(structure: bytes) -> bytes:
    """Return BODY of a structure formatted by `wire.message.body_structure`."""
    return b"".join(_strip_body(_parse_value(structure)[0]))


def _parse_value(data: bytes) -> list[_Value]:
    stack: list[list[_Value]] = [[]]
    at = 0
    while at < len(data):
        match = _TOKEN.match(data, at)
        if match is None:
            raise ValueError("not a body structure")
        at = match.end()
        if match[1] == b"(":
            stack.append([])
        elif match[1] == b")":
            done = stack.pop()
            stack[-1].append(done)
        elif match[3] is not None:
            at += int(match[3])
            stack[-1].append(data[match.start() : at])
        elif match[2] is not None or match[4] is not None:
            stack[-1].append(match[0])
    return stack[0]


def _format_value(value: _Value) -> bytes:
    return value if isinstance(value, bytes) else b"(" + b" ".join(map(_format_value, value)) + b")"


def _strip_body(value: _Value) -> list[bytes]:
    assert isinstance(value, list)
    if isinstance(value[0], list):
        parts = [each for each in value if isinstance(each, list)]
        children = parts[: next(i for i, each in enumerate(value) if isinstance(each, bytes))]
        out = [b"("]
        for child in children:
            out += _strip_body(child)
        return [*out, b" ", _format_value(value[len(children)]), b")"]
    kind, subtype = _word(value[0]), _word(value[1])
    out = [b"(", b" ".join(map(_format_value, value[:7]))]
    if kind == b"MESSAGE" and subtype in (b"RFC822", b"GLOBAL"):
        out += [b" ", _format_envelope(value[7]), b" ", *_strip_body(value[8]), b" ", _format_value(value[9])]
    elif kind == b"TEXT":
        out += [b" ", _format_value(value[7])]
    return [*out, b")"]


def _format_envelope(value: _Value) -> bytes:
    """Return an envelope; its addresses follow each other without spaces."""
    assert isinstance(value, list)
    return (
        b"("
        + b" ".join(
            b"(" + b"".join(map(_format_value, each)) + b")" if isinstance(each, list) else each for each in value
        )
        + b")"
    )


def _word(value: _Value) -> bytes:
    return value.strip(b'"').upper() if isinstance(value, bytes) else b""
