"""Framing: a stream of bytes becomes commands and literals (RFC 9051 §2.2.1, §4.3; RFC 7888).

`feed` adds bytes, `next` returns the next event. A command is one `Line` that contains its literals. Before a literal
is read the caller decides (`LiteralStart`): it becomes part of the command (`keep_literal`), arrives in chunks
(`stream_literal`), or is refused (`refuse_literal`).

Memory is bounded: a line by `line_limit`, a literal by the caller's decision. Time is linear in the bytes fed, however
they are split and however many literals they contain: the pieces of a command are joined once, when it is complete.
"""

import re
from dataclasses import dataclass

_LITERAL = re.compile(rb"(~)?\{(\d{1,12})([+-])?\}\r?$")
_HEAD = 512  # bytes of the first line shown with a literal: tag, command name, and what tells the literal's role


@dataclass(frozen=True, slots=True)
class Line:
    """A command, or its rest after a streamed literal, without CRLF and blanks at its end, and with kept literals."""

    text: bytes


@dataclass(frozen=True, slots=True)
class LiteralStart:
    """The announcement of a literal of `size` bytes at the end of a line.

    If `waits` is True the client sends the literal only after a continuation request. `head` is the start of the
    command's first line, `length` the length of the command so far, `number` the number of its literals including this
    one. The caller answers with `keep_literal`, `stream_literal` or `refuse_literal`; `Framer.text` returns the whole
    command so far.
    """

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
    """A literal or a line of a refused command was skipped; the caller has nothing to do."""


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
        self._searched = 0  # bytes at the start of the buffer without a line end
        self._pieces: list[bytes] = []  # lines and kept literals of the current command
        self._length = 0  # length of all pieces
        self._head = b""
        self._literals = 0
        self._mode = "line"  # line, announced, keep, stream, skip (a refused literal), pass (the line after it)
        self._left = 0  # bytes of the literal still to come
        self._size = 0

    @property
    def buffered_bytes(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take_unread(self) -> bytes:
        """Return and remove the bytes that are no event yet, for another reader."""
        data = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return data

    def text(self) -> bytes:
        """Return the current command up to its announced literal, without CRLF."""
        text = b"".join(self._pieces)
        self._pieces = [text]
        return text.removesuffix(b"\n").removesuffix(b"\r")

    def next(self) -> Event | None:
        """Return the next event, or None if more bytes or a decision on a literal are needed."""
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
        """Remove up to `count` bytes from the buffer and return them."""
        data = bytes(memoryview(self._buffer)[:count])
        del self._buffer[: len(data)]
        self._searched = 0
        return data

    def _line_end(self) -> int:
        """Return the length of the next line with its end; 0 if incomplete, -1 if too long."""
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
        if line.endswith((b"}\r\n", b"}\n")) and (match := _LITERAL.search(line[-22:].removesuffix(b"\n"))):
            self._size = int(match[2])
            self._literals += 1
            self._mode = "announced"
            self._pieces.append(line)
            self._length += len(line)
            return LiteralStart(
                self._head, self._size, match[3] is None, match[1] is not None, self._length, self._literals
            )
        self._pieces.append(line.removesuffix(b"\n").removesuffix(b"\r").rstrip(b" "))
        text = b"".join(self._pieces)
        self._forget()
        return Line(text)

    def _forget(self) -> None:
        self._pieces, self._length, self._literals, self._head = [], 0, 0, b""

    def _keep_some(self) -> None:
        """Move bytes of a kept literal out of the buffer as they arrive, so that reading never pauses early."""
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
        """Make the announced literal part of the command's text."""
        self._left, self._mode = self._size, "keep"

    def stream_literal(self) -> None:
        """Deliver the announced literal as LiteralChunk events, and what follows as a Line or LiteralStart."""
        self._forget()
        self._left, self._mode = self._size, "stream"

    def refuse_literal(self, waits: bool) -> None:
        """End the command and skip the announced literal.

        A non-synchronizing literal is skipped with the rest of its command; a synchronizing one is never sent.
        """
        self._forget()
        if waits:
            self._mode = "line"
        else:
            self._left, self._mode = self._size, "skip"

    def abandon(self) -> None:
        """End the command within a streamed literal: skip the rest of the literal and of its line."""
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
        """Skip a line of a refused command, which goes on if the line announces a non-synchronizing literal."""
        end = self._line_end()
        if end <= 0:
            return CommandTooLong() if end else None
        match = _LITERAL.search(self._take(end)[-22:].removesuffix(b"\n"))
        if match and match[3]:
            self._left, self._mode = int(match[2]), "skip"
        else:
            self._mode = "line"
        return Passed()
