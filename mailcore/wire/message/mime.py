"""The tree of a message's MIME parts with byte offsets (RFC 2045, RFC 2046), built in one pass.

`message_scan` uses it at delivery, `body_section` at FETCH. Content is `bytes` or a mapped file; only headers are
copied. Lines end in CRLF or LF. Every input has a tree: depth and number of parts are limited, and a multipart without
its boundary has no children.
"""

import mmap

from mailcore.wire.message.headers import Fields, Structured, parse_structured, split_fields

Content = bytes | mmap.mmap

MAX_DEPTH = 50
MAX_PARTS = 5000
# lines that only look like a boundary, after which the search is given up
MAX_FALSE_BOUNDARIES = 20_000

_PLAIN = parse_structured("text/plain")


class Part:
    """One part: bytes `start` to `body` are its header with the empty line, `body` to `end` its body."""

    __slots__ = ("body", "children", "content_type", "encoding", "end", "fields", "kind", "message", "start", "subtype")

    def __init__(self, start: int, body: int, end: int, fields: Fields, default: Structured) -> None:
        self.start = start
        self.body = body
        self.end = end
        self.fields = fields
        self.children: list[Part] = []  # parts of a multipart
        self.message: Part | None = None  # the message inside a message/rfc822
        self.content_type = default
        self.encoding = ""
        for name, value in fields:
            if name == "content-type":
                given = parse_structured(value)
                if "/" in given.value.strip("/"):
                    self.content_type = given
            elif name == "content-transfer-encoding":
                self.encoding = value.partition(";")[0].strip(' \t"').lower()
        self.kind, _, self.subtype = self.content_type.value.lower().partition("/")

    def field(self, name: str) -> str:
        """Return the first field of that name, "" if there is none."""
        for key, value in self.fields:
            if key == name:
                return value
        return ""


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
    return _TreeWalker(content).message(start, len(content), 0)


class _TreeWalker:
    def __init__(self, content: Content) -> None:
        self._content = content
        self._parts = 0

    def message(self, start: int, end: int, depth: int) -> Part:
        return self._part(start, end, _PLAIN, depth)

    def _part(self, start: int, end: int, default: Structured, depth: int) -> Part:
        self._parts += 1
        body = find_header_end(self._content, start, end)
        part = Part(start, body, end, split_fields(self._content[start:body]), default)
        if depth < MAX_DEPTH and self._parts < MAX_PARTS:
            if part.kind == "multipart":
                if boundary := part.content_type.raw("boundary"):
                    self._children(part, boundary, depth)
            elif part.kind == "message" and part.subtype in ("rfc822", "global"):
                part.message = self.message(body, end, depth + 1)
        return part

    def _children(self, part: Part, boundary: str, depth: int) -> None:
        default = parse_structured("message/rfc822") if part.subtype == "digest" else _PLAIN
        delimiter = b"\n--" + boundary.rstrip().encode("latin-1", "replace")
        begin = -1
        for line_start, next_line, last in self._delimiters(delimiter, part.body, part.end):
            if begin >= 0:
                part.children.append(self._part(begin, max(line_start, begin), default, depth + 1))
            if last or self._parts >= MAX_PARTS:
                return
            begin = next_line
        if begin >= 0:  # the closing delimiter is missing
            part.children.append(self._part(begin, part.end, default, depth + 1))

    def _delimiters(self, delimiter: bytes, start: int, end: int) -> list[tuple[int, int, bool]]:
        """Return (end of the part before, start of the part after, is last) for each delimiter line.

        The line end before a delimiter belongs to the delimiter (RFC 2046 §5.1.1).
        """
        content = self._content
        found: list[tuple[int, int, bool]] = []
        missed, length = 0, len(delimiter)
        at = start - 1  # the line end of the header's empty line
        while missed < MAX_FALSE_BOUNDARIES and len(found) < MAX_PARTS:
            hit = content.find(delimiter, at, end)
            if hit < 0:
                break
            after = hit + length
            tail = content[after : min(after + 100, end)]
            line, newline, _ = tail.partition(b"\n")
            last = line.startswith(b"--")
            rest = line[2:] if last else line
            if rest.strip(b" \t\r") or (not newline and after + 100 < end):
                missed += 1
                at = after
                continue
            before = hit - 1 if hit > start and content[hit - 1 : hit] == b"\r" else hit
            next_line = after + len(line) + len(newline)
            found.append((max(before, start), next_line, last))
            if last:
                break
            at = next_line - 1 if newline else end
        return found
