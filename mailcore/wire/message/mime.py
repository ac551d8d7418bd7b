"""The tree of a message's MIME parts with byte offsets (RFC 2045, RFC 2046), built in one pass.

`message_scan` uses it at delivery, `body_section` at FETCH. Content is `bytes` or a mapped file; only headers are
copied. Lines end in CRLF or LF. Every input has a tree: depth and number of parts are limited.
"""

import mmap
import re
from functools import lru_cache
from typing import NamedTuple

from mailcore.wire.message.headers import Fields, Structured, parse_structured, split_fields, strip_comments

Content = bytes | mmap.mmap

MAX_DEPTH = 50
MAX_PARTS = 5000

_PLAIN = parse_structured("text/plain")
_LONGEST_ENCODING = 200  # characters of a Content-Transfer-Encoding that are read
_FIELD_NAME = re.compile(rb"[!-9;-~]{1,100}:")


class Part:
    """One part: bytes `start` to `body` are its header with the empty line, `body` to `end` its body.

    Every multipart has children: one without any valid part has a single child that is its whole body, without a
    header, so that BODYSTRUCTURE shows the text that BODY[1] returns.
    """

    __slots__ = (
        *("body", "children", "content_type", "encoding", "end", "fields", "first_fields", "kind", "message", "start"),
        "subtype",
    )

    def __init__(self, start: int, body: int, end: int, fields: Fields, default: Structured) -> None:
        self.start = start
        self.body = body
        self.end = end
        self.fields = fields
        self.first_fields = dict(reversed(fields))  # by name; of several fields the first counts
        self.children: list[Part] = []  # parts of a multipart
        self.message: Part | None = None  # the message inside a message/rfc822
        self.content_type = default
        if value := self.field("content-type"):
            given = parse_structured(value)
            if "/" in given.value.strip("/"):
                self.content_type = given
        self.encoding = parse_encoding(self.field("content-transfer-encoding")).lower()
        self.kind, _, self.subtype = self.content_type.value.lower().partition("/")

    def field(self, name: str) -> str:
        """Return the first field of that name, "" if there is none."""
        return self.first_fields.get(name, "")

    @property
    def is_implied(self) -> bool:
        """True for the child of a multipart without valid parts, which has no header."""
        return self.start == self.body


def parse_encoding(value: str) -> str:
    """Return the mechanism that a Content-Transfer-Encoding names (RFC 2045 §6.1), without comments."""
    return _parse_encoding(value[:_LONGEST_ENCODING])


@lru_cache(256)
def _parse_encoding(value: str) -> str:
    words = strip_comments(value).partition(";")[0].replace('"', " ").split()
    return words[0] if words else ""


def find_header_end(content: Content, start: int, end: int) -> int:
    """Return the offset of the body: after the first empty line, or `end` if there is none."""
    if content[start : start + 1] == b"\n":
        return min(start + 1, end)
    if content[start : start + 2] == b"\r\n":
        return min(start + 2, end)
    at = content.find(b"\n\r\n", start, end)
    bare = content.find(b"\n\n", start, end if at < 0 else at + 2)
    if bare >= 0:
        return bare + 2
    return at + 3 if at >= 0 else end


def parse_message(content: Content, start: int = 0) -> Part:
    """Return the tree of the message from byte `start` to the end."""
    return _TreeWalker(content).message(start)


class _Multipart:
    """A multipart whose parts are being read: its delimiter, and where that occurs next.

    `first` and `first_owner` are the next delimiter line of this multipart and of those around it, and the index of the
    multipart that it belongs to.
    """

    __slots__ = ("delimiter", "first", "first_owner", "hit")

    def __init__(self, delimiter: bytes) -> None:
        self.delimiter = delimiter
        self.hit = self.first = -1  # offsets of the line end before a delimiter; -1: not known yet
        self.first_owner = -1


class _Delimiter(NamedTuple):
    """A delimiter line: the end of the part before it, the start of the part after it, the index of its multipart."""

    part_end: int
    next_line: int
    owner: int
    last: bool


class _TreeWalker:
    """Reader of a message from start to end, with the multiparts that are open at the moment.

    A delimiter line ends all multiparts inside its own one. A line that fits several boundaries belongs to the longest,
    and of equal ones to the innermost, as in Dovecot: nested multiparts with one boundary keep their parts.
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._end = len(content)
        self._parts = 0
        self._open: list[_Multipart] = []  # the outermost first
        self._following: _Delimiter | None = None  # the delimiter that ended the part read last

    def message(self, start: int) -> Part:
        return self._part(start, _PLAIN, 0)

    def _part(self, start: int, default: Structured, depth: int) -> Part:
        self._parts += 1
        following = self._following = self._next_delimiter(start - 1)
        end = self._end if following is None else max(following.part_end, start)
        body = find_header_end(self._content, start, end)
        part = Part(start, body, end, split_fields(self._content[start:body]), default)
        is_divided = depth < MAX_DEPTH and self._parts < MAX_PARTS
        if part.kind == "multipart":
            if is_divided and (boundary := part.content_type.data("boundary").rstrip()):
                self._children(part, boundary, depth)
            if not part.children:
                part.children.append(Part(body, body, part.end, [], _PLAIN))
        elif (
            is_divided
            and part.subtype in ("rfc822", "global")
            and part.kind == "message"
            and not self._is_encoded(part)
        ):
            part.message = self._part(body, _PLAIN, depth + 1)
            part.end = part.message.end
        return part

    def _is_encoded(self, part: Part) -> bool:
        """Return True for a nested message in base64, against RFC 2046 §5.2.1: its structure cannot be addressed.

        Where the body begins with a header field in spite of its label, the label is wrong.
        """
        return part.encoding == "base64" and not _FIELD_NAME.match(self._content[part.body : part.body + 100])

    def _children(self, part: Part, boundary: bytes, depth: int) -> None:
        default = parse_structured("message/rfc822") if part.subtype == "digest" else _PLAIN
        own = len(self._open)
        self._open.append(_Multipart(b"\n--" + boundary))
        found = self._next_delimiter(part.body - 1)  # the line end of the header's empty line
        while found is not None and found.owner == own and not found.last and self._parts < MAX_PARTS:
            part.children.append(self._part(found.next_line, default, depth + 1))
            found = self._following
        self._open.pop()
        if found is not None and found.owner == own:
            found = self._next_delimiter(found.next_line - 1)
        self._following = found
        part.end = self._end if found is None else max(found.part_end, part.body)

    def _next_delimiter(self, at: int) -> _Delimiter | None:
        """Return the first delimiter line of an open multipart whose preceding line end is at `at` or later.

        The line end before a delimiter belongs to the delimiter, and what follows the boundary on its line is ignored
        (RFC 2046 §5.1.1). Each multipart is searched only as far as the next delimiter around it, and again only when
        that has been passed, so that the time is linear in the size.
        """
        content, known = self._content, len(self._open)
        while known and self._open[known - 1].first < at:
            known -= 1
        owner, limit = (self._open[known - 1].first_owner, self._open[known - 1].first) if known else (-1, self._end)
        for index in range(known, len(self._open)):
            each = self._open[index]
            length = len(each.delimiter)
            if each.hit < at:
                hit = content.find(each.delimiter, at, min(limit + length, self._end))
                each.hit = hit if hit >= 0 else self._end
            if each.hit < limit or (each.hit == limit < self._end and length >= len(self._open[owner].delimiter)):
                owner, limit = index, each.hit
            each.first, each.first_owner = limit, owner
        if owner < 0:
            return None
        after = limit + len(self._open[owner].delimiter)
        newline = content.find(b"\n", after, self._end)
        before = limit - 1 if limit > 0 and content[limit - 1 : limit] == b"\r" else limit
        next_line = newline + 1 if newline >= 0 else self._end
        return _Delimiter(before, next_line, owner, content[after : after + 2] == b"--")
