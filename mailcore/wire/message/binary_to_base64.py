"""Conversion of binary parts in uploaded messages to base64, for IMAP strings cannot carry NUL (RFC 3516 §4.4)."""

import binascii
import re

from mailcore.wire.message import mime
from mailcore.wire.message.readable_text import leaf_parts

_ENCODING = re.compile(rb"^content-transfer-encoding[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*", re.IGNORECASE | re.MULTILINE)
_LINE = 57  # bytes of content in a base64 line of 76 characters


def to_base64(content: bytes) -> bytes:
    """Return the message with every part of transfer encoding "binary" encoded as base64."""
    root = mime.parse_message(content)
    out: list[bytes] = []
    at = 0
    containers: list[mime.Part] = []
    _collect(root, containers)
    for part in sorted([*leaf_parts(root), *containers], key=lambda each: each.start):
        if part.encoding != "binary":
            continue
        head = content[part.start : part.body]
        is_leaf = part not in containers
        out.append(content[at : part.start])
        out.append(_ENCODING.sub(b"Content-Transfer-Encoding: base64\r\n" if is_leaf else b"", head, count=1))
        at = part.body
        if is_leaf:
            body = content[part.body : part.end]
            out += [
                binascii.b2a_base64(body[i : i + _LINE], newline=False) + b"\r\n" for i in range(0, len(body), _LINE)
            ]
            at = part.end
    out.append(content[at:])
    return b"".join(out)


def _collect(part: mime.Part, containers: list[mime.Part]) -> None:
    """Collect multiparts and nested messages, whose "binary" label is removed: they cannot be encoded (RFC 2045)."""
    if part.children or part.message is not None:
        containers.append(part)
    for child in part.children:
        _collect(child, containers)
    if part.message is not None:
        _collect(part.message, containers)
