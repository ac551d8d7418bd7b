"""Authentication-Results (RFC 8601): the authserv-id of a field, and a filter that removes fields from a message.

Used at every entrance, so that no field bears our name but our own (RFC 8601 §5), and by the webmail's sender checks.
The filter works chunk by chunk in linear time and holds back at most twice FIELD_LIMIT bytes.
"""

import re
from collections.abc import Callable, Iterator

from mailcore.wire.message.envelope_address import AddressError, ascii_domain

FIELD_LIMIT = 16_384  # bytes of a field that are collected before it is judged; a real one has a few hundred
NAMES_LIMIT = 50  # names looked up for one message; real messages have a handful, any more count as ours

FIELD = re.compile(rb"authentication-results[ \t]*:", re.IGNORECASE)
_ANYWHERE = re.compile(rb"(?:\A|[\r\n])authentication-results[ \t]*:", re.IGNORECASE)
# A bare LF never ends the header here: readers differ on it, and some still see header fields after it.
_HEADER_END = re.compile(rb"\n\r\n")
# A lone CR ends a line too, as it does for some readers. At the very end it may be half of a CRLF.
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r(?!\n)(?=.))", re.DOTALL)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_PIECES = re.compile(r'(?P<quoted>"(?:[^"\\]|\\.)*")|\\.|[()]|[^"\\()]+|.', re.DOTALL)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
_TOKEN = re.compile(r"[^\x00-\x20\x7f()<>@,;:\\\"/\[\]?=]+")


def without_comments(value: str) -> str:
    """Return a structured value with a space for each comment (RFC 5322 §3.2.2: nested, with quoted pairs).

    A comment without an end reaches to the end of the value.
    """
    out: list[str] = []
    at = 0
    while match := _PIECES.match(value, at):
        at = match.end()
        if match[0] == "(":
            out.append(" ")
            at = _comment_end(value, at)
        else:
            out.append(match[0])
    return "".join(out)


def _comment_end(value: str, at: int) -> int:
    depth = 1
    for match in _IN_COMMENT.finditer(value, at):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return len(value)


def server_of(value: str) -> str:
    """Return the authserv-id of a field's value (RFC 8601 §2.2), lower case, as A-labels, without a final dot.

    Return "" if it cannot be read.
    """
    text = without_comments(value).strip()
    if quoted := _QUOTED.match(text):
        name, rest = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), text[quoted.end() :]
    else:
        name = re.split(r"[\s;]", text, maxsplit=1)[0]
        rest = text[len(name) :]
    version = rest.partition(";")[0].strip()
    if not _TOKEN.fullmatch(name) or (version and not version.isdigit()):
        return ""
    try:
        return ascii_domain(name)
    except AddressError:
        return ""


def claims_name(field: bytes, is_ours: Callable[[str], bool]) -> bool:
    """Return True if a whole field (name, value, line ends) claims a name of ours, or its name cannot be read.

    A lone CR makes a field unreadable, for readers differ in its meaning.
    """
    value = field.partition(b":")[2].replace(b"\r\n", b" ")
    if b"\r" in value:
        return True
    server = server_of(value.decode("utf-8", "replace"))
    return not server or is_ours(server)


class ResultsFilter:
    """Filter that removes the header fields for which `claims_name` is true.

    `feed` and `finish` return the rest of the message; the body is passed on unread.
    """

    def __init__(self, is_ours: Callable[[str], bool]) -> None:
        self._is_ours = is_ours
        self._known: dict[str, bool] = {}
        self._held = b""  # a line without its end yet
        self._field = bytearray()  # the field being collected; empty: none
        self._dropping = False  # inside a field too long to be judged
        self._at_start = True  # at the start of a line, not inside one too long to be held
        self._after_lf = True  # an empty line now ends the header
        self._over = False

    def feed(self, content: bytes) -> bytes:
        """Add content and return what may be written so far."""
        if self._over:
            return content
        if self._is_harmless(content):
            self._over = True
            return content
        data, self._held, at = self._held + content, b"", 0
        out = bytearray()
        for line in self._lines(data):
            at += len(line)
            if self._take(line, out):
                return bytes(out) + data[at:]
        self._held = data[at:]
        if len(self._held) > FIELD_LIMIT:
            self._take(self._held, out)
            self._held = b""
            self._at_start = False
        return bytes(out)

    def finish(self) -> bytes:
        """Return what was held back, at the end of the message."""
        out = bytearray()
        if self._held:
            self._take(self._held, out)
        self._end_field(out)
        self._over = True
        return bytes(out)

    def _is_harmless(self, content: bytes) -> bool:
        """Return True if `content` is a whole header without such a field.

        This is the usual case, found without splitting lines.
        """
        if self._held or self._field or self._dropping or not (self._at_start and self._after_lf):
            return False
        end = _HEADER_END.search(content)
        return end is not None and _ANYWHERE.search(content, 0, end.end()) is None

    @staticmethod
    def _lines(data: bytes) -> Iterator[bytes]:
        at = 0
        while line := _LINE.match(data, at):
            at = line.end()
            yield line[0]

    def _take(self, line: bytes, out: bytearray) -> bool:
        """Handle one line, or a part of an overlong one. Return True if it ended the header."""
        if self._at_start:
            if self._after_lf and line == b"\r\n":
                self._end_field(out)
                self._over = True
            elif line[:1] not in (b" ", b"\t"):
                self._end_field(out)
                if FIELD.match(line):
                    self._field += line
                    return self._end_line(line)
        if self._dropping:
            pass
        elif self._field:
            self._field += line
            if len(self._field) > FIELD_LIMIT:
                self._field.clear()
                self._dropping = True
        else:
            out += line
        return self._end_line(line)

    def _end_line(self, line: bytes) -> bool:
        self._at_start, self._after_lf = line.endswith((b"\n", b"\r")), line.endswith(b"\n")
        return self._over

    def _end_field(self, out: bytearray) -> None:
        if self._field and not claims_name(bytes(self._field), self._is_known_as_ours):
            out += self._field
        self._field.clear()
        self._dropping = False

    def _is_known_as_ours(self, server: str) -> bool:
        if server not in self._known and len(self._known) >= NAMES_LIMIT:
            return True
        if server not in self._known:
            self._known[server] = self._is_ours(server)
        return self._known[server]
