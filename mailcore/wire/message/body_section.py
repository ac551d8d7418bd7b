"""Extraction of FETCH sections: BODY[1.2.MIME], HEADER.FIELDS, BINARY[3] (RFC 9051 §6.4.5, RFC 3516)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from mailcore.wire.message import headers, mime
from mailcore.wire.message.mime import Content, Part

What = Literal["", "HEADER", "HEADER.FIELDS", "HEADER.FIELDS.NOT", "TEXT", "MIME"]


@dataclass(frozen=True, slots=True)
class Section:
    """A parsed section specification.

    `path` is the part number as a tuple, () for the message itself; `fields` are upper-case field names.
    """

    path: tuple[int, ...] = ()
    what: What = ""
    fields: tuple[str, ...] = ()


class UndecodablePart(Exception):
    """The part's transfer encoding is unknown (RFC 3516 §4.3, UNKNOWN-CTE)."""


def extract_section(content: Content, section: Section, tree: Part | None = None) -> bytes | None:
    """Return the bytes of a section, or None if there is no such part.

    `tree` is the parsed message if the caller has it: for many sections of one message it is parsed only once.
    """
    if section.path:
        return _extract_nested(content, section, tree or mime.parse_message(content))
    return _extract_whole(content, section, 0, len(content))


def _extract_whole(content: Content, section: Section, start: int, end: int) -> bytes:
    if not section.what:
        return content if start == 0 and end == len(content) and isinstance(content, bytes) else content[start:end]
    body = mime.find_header_end(content, start, end)
    match section.what:
        case "HEADER":
            return content[start:body]
        case "TEXT":
            return content[body:end]
    return filter_fields(content[start:body], section.fields, wanted=section.what == "HEADER.FIELDS")


def _extract_nested(content: Content, section: Section, tree: Part) -> bytes | None:
    part = find_part(tree, section.path)
    if part is None:
        return None
    if section.what == "":
        return content[part.body : part.end]
    if section.what == "MIME":
        return content[part.start : part.body]
    if part.message is None:
        return None
    return _extract_whole(content, section, part.body, part.end)


def find_part(root: Part, path: tuple[int, ...]) -> Part | None:
    """Return the part with this number, or None.

    A message that is not a multipart has one part, number 1, which is its own body.
    """
    part, entity = root, root  # entity: the part that the next number counts within
    for position, number in enumerate(path):
        if position and part.message is not None:
            entity = part.message
        elif position and not part.children:
            return None
        else:
            entity = part
        if entity.children:
            if number > len(entity.children):
                return None
            part = entity.children[number - 1]
        elif number == 1 and (position == 0 or entity is not part):
            part = entity
        else:
            return None
    return part


def filter_fields(head: bytes, names: tuple[str, ...], *, wanted: bool) -> bytes:
    """Return the named header fields (or all others) unchanged, and the empty line (RFC 9051 §6.4.5.1)."""
    pattern = _fields_pattern(names)
    out = [match[0] for match in _FIELD.finditer(head) if (pattern.match(match[0]) is not None) == wanted]
    if out and not out[-1].endswith(b"\n"):
        out.append(b"\r\n")
    return b"".join(out) + b"\r\n"


_FIELD = re.compile(rb"^(?=[^\r\n])[^\n]*+\n?(?:[ \t][^\n]*+\n?)*+", re.MULTILINE)


@lru_cache(512)
def _fields_pattern(names: tuple[str, ...]) -> re.Pattern[bytes]:
    if not names:
        return re.compile(rb"(?!)")
    each = b"|".join(re.escape(name.encode("latin-1", "replace")) for name in names)
    return re.compile(rb"(?:" + each + rb")[ \t]*:", re.IGNORECASE)


def decode_part(content: Content, path: tuple[int, ...], tree: Part | None = None) -> bytes | None:
    """Return the part for BINARY[path] without its transfer encoding, or None if there is no such part.

    `tree` is the parsed message if the caller has it. Raise UndecodablePart if the transfer encoding is unknown.
    """
    root = tree or mime.parse_message(content)
    if not path:
        if root.kind in ("multipart", "message"):
            return content[:]
        return content[: root.body] + _undo_encoding(content, root)
    part = find_part(root, path)
    if part is None:
        return None
    if part.kind == "multipart":
        return content[part.body : part.end]
    return _undo_encoding(content, part)


def _undo_encoding(content: Content, part: Part) -> bytes:
    raw = content[part.body : part.end]
    match part.encoding:
        case "base64":
            return headers.decode_base64(raw)
        case "quoted-printable":
            return headers.decode_quoted_printable(raw)
        case "" | "7bit" | "8bit" | "binary":
            return raw
    raise UndecodablePart(part.encoding)
