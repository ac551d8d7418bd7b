"""Conversion of 8-bit content to 7 bits for hosts without 8BITMIME (RFC 6152 §3).

Each part with 8-bit bytes becomes quoted-printable or base64; all other parts stay byte for byte. The conversion breaks
signatures over the content, so the SMTP client uses it only where the host leaves no choice.
"""

import base64
import binascii
import re

from mailcore.wire.message.mime import Part, parse_message

_ENCODING = re.compile(
    rb"^content-transfer-encoding[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE
)
_ENCODED = ("quoted-printable", "base64")
_HIGH = bytes(range(128, 256))
_QUESTION_MARKS = bytes(code if code < 128 else ord("?") for code in range(256))
_LINE = 57  # bytes of content in a base64 line


def to_seven_bit(content: bytes) -> bytes:
    """Return the message in 7 bits.

    A message without MIME-Version is returned unchanged, for no reader could decode it; so are parts with an encoding
    already and parts nested too deep.
    """
    message = parse_message(content)
    if content.isascii() or not message.field("mime-version"):
        return content
    return b"".join(_part(content, message))


def _part(content: bytes, part: Part) -> list[bytes]:
    header, body = content[part.start : part.body], content[part.body : part.end]
    if body.isascii():
        return [header, body]
    if part.children and not part.children[0].is_implied:
        return [_labelled(header, b"7bit"), *_multipart(content, part)]
    if part.message is not None:
        return [_labelled(header, b"7bit"), *_part(content, part.message)]
    if part.kind in ("multipart", "message") or part.encoding in _ENCODED:
        return [header, body]
    # A character of base64 carries 6 bits; one of quoted-printable 8, or a third of that.
    if part.kind == "text" and len(body) - len(body.translate(None, _HIGH)) < len(body) // 6:
        return [_labelled(header, b"quoted-printable"), _quoted_printable(body)]
    return [_labelled(header, b"base64"), _base64(body)]


def _multipart(content: bytes, part: Part) -> list[bytes]:
    """Return the converted parts; 8-bit bytes between the parts, which no reader shows, become "?"."""
    pieces, at = [], part.body
    for child in part.children:
        pieces.append(content[at : child.start].translate(_QUESTION_MARKS))
        pieces += _part(content, child)
        at = child.end
    pieces.append(content[at : part.end].translate(_QUESTION_MARKS))
    return pieces


def _labelled(header: bytes, encoding: bytes) -> bytes:
    """Return the header with this Content-Transfer-Encoding in place of any other."""
    field = b"Content-Transfer-Encoding: " + encoding
    if _ENCODING.search(header):
        return _ENCODING.sub(field, header, count=1)
    fields, empty = (header[:-2], header[-2:]) if header.endswith(b"\r\n") else (header, b"")
    return fields + field + b"\r\n" + empty


def _quoted_printable(body: bytes) -> bytes:
    lines = [binascii.b2a_qp(line).replace(b"=\n", b"=\r\n") for line in body.split(b"\r\n")]
    return b"\r\n".join(lines)


def _base64(body: bytes) -> bytes:
    lines = [base64.b64encode(body[at : at + _LINE]) for at in range(0, len(body), _LINE)]
    return b"\r\n".join(lines)
