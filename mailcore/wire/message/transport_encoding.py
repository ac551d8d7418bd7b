"""Content as a next host takes it: in 7 bits where it lacks 8BITMIME (RFC 6152 §3), lines within its limit.

Each part with 8-bit bytes or with lines over the limit (RFC 5321 §4.5.3.1.6) becomes quoted-printable or base64; all
other parts stay byte for byte. The conversion breaks signatures over the content, so the SMTP client uses it only where
the host leaves no choice.
"""

import base64
import binascii
import re
from dataclasses import dataclass

from mailcore.wire.message import headers
from mailcore.wire.message.mime import Part, parse_message

_ENCODING = re.compile(
    rb"^content-transfer-encoding[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE
)
_ENCODED = ("quoted-printable", "base64")
_HIGH = bytes(range(128, 256))
_QUESTION_MARKS = bytes(code if code < 128 else ord("?") for code in range(256))
_LINE = 57  # bytes of content in a base64 line


def has_long_line(content: bytes, limit: int) -> bool:
    """Return True if a line has more than `limit` bytes without its line end; 0 is no limit."""
    return limit > 0 and len(content) > limit and max(map(len, content.split(b"\n"))) > limit + 1


@dataclass(frozen=True, slots=True)
class TransportEncoding:
    """The form that a next host takes: 7 bits only, lines of at most `line_limit` bytes (0: any)."""

    seven_bit: bool
    line_limit: int

    def encode(self, content: bytes) -> bytes:
        """Return the message with the parts encoded that need it.

        A message without MIME-Version keeps its 8-bit bytes, for no reader could decode it; its long lines are broken
        by CRLF and a space, as Postfix does. So are long lines of headers and between parts.
        """
        if not self._needs_encoding(content):
            return content
        message = parse_message(content)
        if not message.field("mime-version"):
            return self._break_lines(content)
        return b"".join(self._part(content, message))

    def _needs_encoding(self, data: bytes) -> bool:
        return (self.seven_bit and not data.isascii()) or has_long_line(data, self.line_limit)

    def _part(self, content: bytes, part: Part) -> list[bytes]:
        header, body = self._break_lines(content[part.start : part.body]), content[part.body : part.end]
        if not self._needs_encoding(body):
            return [header, body]
        seven_bit = b"7bit" if self.seven_bit else b"8bit"
        if part.children and not part.children[0].is_implied:
            return [_labelled(header, seven_bit), *self._multipart(content, part)]
        if part.message is not None:
            return [_labelled(header, seven_bit), *self._part(content, part.message)]
        if part.encoding in _ENCODED and has_long_line(body, self.line_limit):
            if part.encoding == "base64":
                return [header, _base64(headers.decode_base64(body)), b"\r\n" * body.endswith(b"\r\n")]
            return [header, _quoted_printable(headers.decode_quoted_printable(body))]
        if part.kind in ("multipart", "message") or part.encoding in _ENCODED:
            return [header, self._break_lines(body)]
        # A character of base64 carries 6 bits; one of quoted-printable 8, or a third of that.
        if part.kind == "text" and len(body) - len(body.translate(None, _HIGH)) < len(body) // 6:
            return [_labelled(header, b"quoted-printable"), _quoted_printable(body)]
        return [_labelled(header, b"base64"), _base64(body)]

    def _multipart(self, content: bytes, part: Part) -> list[bytes]:
        """Return the encoded parts; 8-bit bytes between the parts, which no reader shows, become "?"."""
        pieces, at = [], part.body
        for child in part.children:
            pieces.append(self._between(content[at : child.start]))
            pieces += self._part(content, child)
            at = child.end
        pieces.append(self._between(content[at : part.end]))
        return pieces

    def _between(self, data: bytes) -> bytes:
        return self._break_lines(data.translate(_QUESTION_MARKS) if self.seven_bit else data)

    def _break_lines(self, data: bytes) -> bytes:
        """Return data with CRLF and a space in lines over the limit, at their last white space if there is some."""
        if not has_long_line(data, self.line_limit):
            return data
        return b"\n".join(self._break_line(line) for line in data.split(b"\n"))

    def _break_line(self, line: bytes) -> bytes:
        pieces: list[bytes] = []
        while len(line) > self.line_limit + 1:
            end = max(line.rfind(b" ", 1, self.line_limit), line.rfind(b"\t", 1, self.line_limit))
            if end > 0 and line[:end].strip():
                pieces.append(line[:end])
                line = line[end:]
            else:
                pieces.append(line[: self.line_limit])
                line = b" " + line[self.line_limit :]
        return b"\r\n".join((*pieces, line))


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
