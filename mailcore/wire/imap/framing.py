"""From a stream of octets to commands: lines and literals (RFC 9051 §2.2.1, §4.3; RFC 7888).

Pure: `feed` takes octets as they come, `next` gives what they complete. A command is one `Line`, its
literals in place as they were sent. Before a literal is taken in, its owner is asked (`Announced`): it is
kept as part of the command (`keep`), handed over in pieces as it arrives (`stream`), or not wanted
(`refuse`). Memory is bounded: a line by `line_limit`, a literal by whoever says `keep`.
"""

import re
from dataclasses import dataclass

_LITERAL = re.compile(rb"(~)?\{(\d{1,12})([+-])?\}\r?$")


@dataclass(frozen=True, slots=True)
class Line:
    """A command, or the rest of one after a streamed literal: without its CRLF, kept literals inside."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """`text` ends with the announcement of a literal of `size` octets. One that `waits` is sent only after
    a continuation request. The owner answers with keep, stream or refuse."""

    text: bytes
    size: int
    waits: bool
    binary: bool


@dataclass(frozen=True, slots=True)
class Piece:
    """The next octets of a streamed literal."""

    data: bytes
    last: bool


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line without end; nothing that follows can be understood."""


Event = Line | Announced | Piece | TooLong


class Framer:
    __slots__ = ("_buffer", "_have", "_left", "_line_limit", "_mode", "_size")

    def __init__(self, line_limit: int) -> None:
        self._line_limit = line_limit
        self._buffer = bytearray()
        self._have = 0  # octets at the buffer's start that belong to the running command already
        self._mode = "line"  # line, announced, keep, stream, skip (a refused literal), pass (what follows it)
        self._left = 0  # octets of the literal still to come
        self._size = 0

    @property
    def waiting_octets(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def take(self) -> bytes:
        """What waits and is no event yet, taken out: it was meant to be read otherwise."""
        data = bytes(self._buffer)
        self._buffer.clear()
        return data

    def next(self) -> Event | None:
        """The next event, None when more octets are needed (or an announced literal is not yet answered)."""
        while True:
            match self._mode:
                case "line":
                    return self._line()
                case "stream":
                    return self._piece()
                case "keep":
                    if len(self._buffer) < self._have + self._left:
                        return None
                    self._have += self._left
                    self._mode = "line"
                case "skip":
                    gone = min(self._left, len(self._buffer))
                    del self._buffer[:gone]
                    self._left -= gone
                    if self._left:
                        return None
                    self._mode = "pass"
                case "pass":
                    end = self._buffer.find(b"\n")
                    if end < 0:
                        return TooLong() if len(self._buffer) > self._line_limit else None
                    self._pass_over(end)
                case _:
                    return None

    def _line(self) -> Event | None:
        end = self._buffer.find(b"\n", self._have)
        if end < 0:
            return TooLong() if len(self._buffer) - self._have > self._line_limit else None
        if end - self._have > self._line_limit:
            return TooLong()
        if (end and self._buffer[end - 1] == 0x7D) or (end > 1 and self._buffer[end - 2 : end] == b"}\r"):
            start = max(self._have, end - 20)
            if match := _LITERAL.search(self._buffer[start:end]):
                self._size = int(match[2])
                self._have = end + 1
                self._mode = "announced"
                text = bytes(self._buffer[: end - 1 if self._buffer[end - 1] == 0x0D else end])
                return Announced(text, self._size, match[3] is None, match[1] is not None)
        text = bytes(self._buffer[: end - 1 if end and self._buffer[end - 1] == 0x0D else end])
        del self._buffer[: end + 1]
        self._have = 0
        return Line(text)

    def _piece(self) -> Piece | None:
        if not self._buffer and self._left:
            return None
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        if not self._left:
            self._mode = "line"
        return Piece(data, not self._left)

    def keep(self) -> None:
        """The announced literal becomes part of the command's text."""
        self._left, self._mode = self._size, "keep"

    def stream(self) -> None:
        """The announced literal comes as Pieces; what follows it as a Line (or another announcement)."""
        del self._buffer[: self._have]
        self._have = 0
        self._left, self._mode = self._size, "stream"

    def refuse(self, waits: bool) -> None:
        """The command is over. A literal that did not wait for us is passed over, with the rest of its
        command; one that waits is never sent."""
        del self._buffer[: self._have]
        self._have = 0
        if waits:
            self._mode = "line"
        else:
            self._left, self._mode = self._size, "skip"

    def _pass_over(self, end: int) -> None:
        """Drop a line of a refused command; it goes on if the line announces a literal that will not wait."""
        match = _LITERAL.search(self._buffer[max(0, end - 20) : end])
        del self._buffer[: end + 1]
        if match and match[3]:
            self._left, self._mode = int(match[2]), "skip"
        else:
            self._mode = "line"
