"""From a stream of bytes to commands: lines and literals (RFC 9051 §2.2.1, §4.3; RFC 7888).

Pure: `feed` takes bytes as they come, `next` gives what they complete. A command is one `Line`, its literals in place
as they were sent. Before a literal is accepted the caller decides (`Announced`): it becomes part of the command
(`keep`), arrives in pieces (`stream`), or is not wanted (`refuse`). Memory is bounded: a line by `line_limit`, a
literal by the caller of `keep`. Time is linear in the bytes fed, however they are cut and however many literals they
hold: the pieces of a command are joined once, when it is complete.
"""

import re
from dataclasses import dataclass

_LITERAL = re.compile(rb"(~)?\{(\d{1,12})([+-])?\}\r?$")
_HEAD = 512  # bytes of a command's first line that announcements show: its tag, its name, what tells a literal's role


@dataclass(frozen=True, slots=True)
class Line:
    """A command, or the rest of one after a streamed literal: without its CRLF, kept literals inside."""

    text: bytes


@dataclass(frozen=True, slots=True)
class LiteralStart:
    """A line ended with the announcement of a literal of `size` bytes. One that `waits` is sent only after a
    continuation request. `head` is the beginning of the command's first line, `length` how long the command is up to
    here, `number` how many literals it has with this one. The caller answers with keep, stream or refuse;
    `Framer.text` has the whole command so far."""

    head: bytes
    size: int
    waits: bool
    binary: bool
    length: int
    number: int


@dataclass(frozen=True, slots=True)
class LiteralChunk:
    """The next bytes of a streamed literal."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class Passed:
    """A literal or a line of a refused command is gone; nothing is to be done."""


@dataclass(frozen=True, slots=True)
class CommandTooLong:
    """A line without end; nothing that follows can be understood."""


Event = Line | LiteralStart | LiteralChunk | Passed | CommandTooLong


class Framer:
    __slots__ = ("_buffer", "_head", "_left", "_length", "_line_limit", "_literals", "_mode", "_pieces", "_searched",
                 "_size")  # fmt: skip

    def __init__(self, line_limit: int) -> None:
        self._line_limit = line_limit
        self._buffer = bytearray()
        self._searched = 0  # bytes at the buffer's start that hold no line end
        self._pieces: list[bytes] = []  # of the running command: its lines and kept literals so far
        self._length = 0  # of all pieces
        self._head = b""
        self._literals = 0
        self._mode = "line"  # line, announced, keep, stream, skip (a refused literal), pass (what follows it)
        self._left = 0  # bytes of the literal still to come
        self._size = 0

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take_unread(self) -> bytes:
        """What waits and is no event yet, taken out: it was meant to be read otherwise."""
        data = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return data

    def text(self) -> bytes:
        """The running command up to the announcement that waits for an answer, without its CRLF."""
        text = b"".join(self._pieces)
        self._pieces = [text]
        return text.removesuffix(b"\n").removesuffix(b"\r")

    def next(self) -> Event | None:
        """The next event, None when more bytes are needed (or an announced literal is not yet answered)."""
        if self._mode == "keep":
            self._keep_some()
        match self._mode:
            case "line":
                return self._line()
            case "stream":
                return self._piece()
            case "skip":
                return self._skip_some()
            case "pass":
                return self._pass_over()
        return None

    def _take(self, count: int) -> bytes:
        """Up to `count` bytes out of the buffer."""
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[: len(data)]
        self._searched = 0
        return data

    def _line_end(self) -> int:
        """The length of the next line with its line end; 0 if it is not complete, -1 if it is too long."""
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
        return -1 if max(end, self._searched) > self._line_limit else end + 1

    def _line(self) -> Event | None:
        end = self._line_end()
        if end <= 0:
            return CommandTooLong() if end else None
        line = self._take(end)
        if not self._literals:
            self._head = line[:_HEAD]
        self._pieces.append(line)
        self._length += len(line)
        if line.endswith((b"}\r\n", b"}\n")) and (match := _LITERAL.search(line[-22:].removesuffix(b"\n"))):
            self._size = int(match[2])
            self._literals += 1
            self._mode = "announced"
            return LiteralStart(
                self._head, self._size, match[3] is None, match[1] is not None, self._length, self._literals
            )
        text = self.text()
        self._forget()
        return Line(text)

    def _forget(self) -> None:
        self._pieces, self._length, self._literals, self._head = [], 0, 0, b""

    def _keep_some(self) -> None:
        """Bytes of a kept literal leave the buffer as they come, so that reading never pauses before its end."""
        data = self._take(self._left)
        self._pieces.append(data)
        self._length += len(data)
        self._left -= len(data)
        if not self._left:
            self._mode = "line"

    def _piece(self) -> LiteralChunk | None:
        if not self._buffer and self._left:
            return None
        data = self._take(self._left)
        self._left -= len(data)
        if not self._left:
            self._mode = "line"
        return LiteralChunk(data, not self._left)

    def keep_literal(self) -> None:
        """The announced literal becomes part of the command's text."""
        self._left, self._mode = self._size, "keep"

    def stream_literal(self) -> None:
        """The announced literal comes as Pieces; what follows it as a Line (or another announcement)."""
        self._forget()
        self._left, self._mode = self._size, "stream"

    def refuse_literal(self, waits: bool) -> None:
        """The command is over. A literal that did not wait for us is passed over, with the rest of its
        command; one that waits is never sent."""
        self._forget()
        if waits:
            self._mode = "line"
        else:
            self._left, self._mode = self._size, "skip"

    def abandon(self) -> None:
        """The command is over in the middle of a streamed literal: the rest is passed over, and of its line."""
        if self._mode == "stream":
            self._mode = "skip"

    def _skip_some(self) -> Passed | None:
        if self._left and not self._buffer:
            return None
        gone = min(self._left, len(self._buffer))
        del self._buffer[:gone]
        self._searched = 0
        self._left -= gone
        if not self._left:
            self._mode = "pass"
        return Passed()

    def _pass_over(self) -> Event | None:
        """Drop a line of a refused command; the command goes on if it announces a literal that will not wait."""
        end = self._line_end()
        if end <= 0:
            return CommandTooLong() if end else None
        match = _LITERAL.search(self._take(end)[-22:].removesuffix(b"\n"))
        if match and match[3]:
            self._left, self._mode = int(match[2]), "skip"
        else:
            self._mode = "line"
        return Passed()
