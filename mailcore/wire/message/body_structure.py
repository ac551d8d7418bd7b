"""Formatting of ENVELOPE and BODYSTRUCTURE for FETCH (RFC 9051 §7.5.2), done once, at delivery.

Text is `str` of Latin-1 until the end. A value that a quoted string cannot hold (8-bit, CR, LF) becomes a literal; NUL,
which no IMAP string may hold, becomes 0x80.
"""

import re
from functools import lru_cache

from mailcore.wire.message.address_list import Address, parse_address_list
from mailcore.wire.message.headers import Fields, Structured, parse_structured
from mailcore.wire.message.mime import Content, Part, parse_encoding

_UNQUOTABLE = re.compile('[\0\r\n"\\\\\x80-\xff]')
_ADDRESS_FIELDS = ("from", "sender", "reply-to", "to", "cc", "bcc")
# Address structures of a field. "a:;" makes 36 bytes of three, and clients limit the length of a line: imaplib to 1 MB.
MAX_ADDRESSES = 1000


def format_nstring(value: str | None) -> str:
    """Return NIL, a quoted string, or a literal."""
    if value is None:
        return "NIL"
    return f'"{value}"' if _UNQUOTABLE.search(value) is None else _careful(value)


def _careful(value: str) -> str:
    value = value.replace("\0", "\x80")
    if value.isascii() and "\r" not in value and "\n" not in value:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{{{len(value)}}}\r\n{value}"


def format_addresses(values: list[str]) -> str:
    """Return the address structures of all fields of one name as a single list."""
    if len(values) == 1 and len(values[0]) < 200:
        return _format_one(values[0])
    return _render(_limit([address for value in values for address in parse_address_list(value)]))


def _limit(found: list[Address]) -> list[Address]:
    """Return the first MAX_ADDRESSES of a list, with the end of a group that is cut."""
    if len(found) <= MAX_ADDRESSES:
        return found
    kept = found[:MAX_ADDRESSES]
    last = next((address for address in reversed(kept) if address.host is None), None)
    return [*kept, Address(None, None, None, None)] if last is not None and last.mailbox is not None else kept


@lru_cache(2048)
def _format_one(value: str) -> str:
    return _render(parse_address_list(value))


def _render(found: list[Address]) -> str:
    if not found:
        return "NIL"
    each = [
        f"({format_nstring(a.name)} {format_nstring(a.route)} {format_nstring(a.mailbox)} {format_nstring(a.host)})"
        for a in found
    ]
    return f"({''.join(each)})"


def format_envelope(fields: Fields) -> str:
    single: dict[str, str] = {}
    people: dict[str, list[str]] = {}
    for name, value in fields:
        if name in _ADDRESS_FIELDS:
            if value:
                people.setdefault(name, []).append(value)
        elif name in ("date", "subject", "in-reply-to", "message-id"):
            single.setdefault(name, value)
    author = format_addresses(people["from"]) if "from" in people else "NIL"
    lists = []
    for name in _ADDRESS_FIELDS[1:]:
        rendered = format_addresses(people[name]) if name in people else "NIL"
        if rendered == "NIL" and name in ("sender", "reply-to"):
            rendered = author
        lists.append(rendered)
    return (
        f"({format_nstring(single.get('date'))} {format_nstring(single.get('subject'))} {author} {' '.join(lists)} "
        f"{format_nstring(single.get('in-reply-to'))} {format_nstring(single.get('message-id'))})"
    )


def format_body_structure(content: Content, part: Part) -> str:
    disposition, language, location = _extensions(part)
    if part.kind == "multipart":
        inner = "".join([format_body_structure(content, child) for child in part.children])
        subtype, parameters = format_nstring(_subtype(part)), _parameters(part.content_type)
        return f"({inner} {subtype} {parameters} {disposition} {language} {location})"
    digest = format_nstring(part.field("content-md5") or None)
    return f"({_format_single(content, part)} {digest} {disposition} {language} {location})"


def format_body(content: Content, part: Part) -> str:
    """Return BODY: the structure without extension data."""
    if part.kind == "multipart":
        inner = "".join([format_body(content, child) for child in part.children])
        return f"({inner} {format_nstring(_subtype(part))})"
    return f"({_format_single(content, part, extended=False)})"


def _format_single(content: Content, part: Part, extended: bool = True) -> str:
    encoding = format_nstring(parse_encoding(part.field("content-transfer-encoding")) or "7BIT")
    content_type = part.content_type
    if part.message is None and part.kind == "message" and part.subtype in ("rfc822", "global"):
        # MESSAGE/RFC822 has a form of its own in the grammar, for which a part in base64 or below MAX_DEPTH has no
        # data; as any other file in base64 it is at least decoded when it is saved (RFC 2045 §6.4).
        content_type = Structured("application/octet-stream", content_type.parameters)
    basic = (
        f"{_format_type(content_type)} "
        f"{format_nstring(part.field('content-id') or None)} "
        f"{format_nstring(part.field('content-description') or None)} {encoding} {part.end - part.body}"
    )
    if part.message is not None:
        nested = (format_body_structure if extended else format_body)(content, part.message)
        return f"{basic} {format_envelope(part.message.fields)} {nested} {count_lines(content, part.body, part.end)}"
    if part.kind == "text":
        return f"{basic} {count_lines(content, part.body, part.end)}"
    return basic


def count_lines(content: Content, start: int, end: int) -> int:
    if isinstance(content, bytes):
        return content.count(b"\n", start, end)
    step = 1 << 20
    return sum(content[at : min(at + step, end)].count(b"\n") for at in range(start, end, step))


@lru_cache(1024)
def _format_type(content_type: Structured) -> str:
    kind, _, subtype = content_type.value.partition("/")
    kind, subtype = _upper(kind), _upper(subtype)
    parameters = '("CHARSET" "us-ascii")' if content_type == _PLAIN else _parameters(content_type)
    return f"{format_nstring(kind)} {format_nstring(subtype)} {parameters}"


_PLAIN = parse_structured("text/plain")


def _upper(raw: str) -> str:
    """Return `raw` with its ASCII characters in upper case; str.upper would change the Latin-1 bytes as well."""
    return raw.upper() if raw.isascii() else raw.encode("latin-1").upper().decode("latin-1")


def _subtype(part: Part) -> str:
    return _upper(part.subtype)


def _parameters(value: Structured) -> str:
    if not value.parameters:
        return "NIL"
    each = [f"{format_nstring(_upper(name))} {format_nstring(text)}" for name, text in value.parameters]
    return f"({' '.join(each)})"


def _extensions(part: Part) -> tuple[str, str, str]:
    disposition = language = "NIL"
    if value := part.field("content-disposition"):
        given = parse_structured(value)
        if given.value:
            disposition = f"({format_nstring(_upper(given.value))} {_parameters(given)})"
    if tags := [tag for tag in re.split(r"[,\s]+", part.field("content-language")) if tag]:
        language = f"({' '.join(format_nstring(tag) for tag in tags)})" if len(tags) > 1 else format_nstring(tags[0])
    location = format_nstring(part.field("content-location") or None)
    return disposition, language, location
