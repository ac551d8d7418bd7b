"""Commands come out of a stream the same wherever it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap.framing import CommandTooLong, Framer, Line, LiteralChunk, LiteralStart, Passed

STREAM = (
    b"a1 NOOP\r\n"
    b"a2 LOGIN {4+}\r\nlisi {6+}\r\n123456\r\n"
    b"a3 APPEND x {10+}\r\nhello\r\nyou\r\n"
    b"a4 refused {5+}\r\n12345 {3+}\r\nabc\r\n"
    b"a5 NOOP\n"
    b'a6 SEARCH "{5}"\r\n'
)


def play(pieces: list[bytes]) -> list[object]:
    """The events, as a session answers them: APPEND is streamed, "refused" refused, all else kept."""
    framer, events = Framer(1000), []
    for piece in pieces:
        framer.feed(piece)
        while (event := framer.next()) is not None:
            if not isinstance(event, Passed):
                events.append(event)
            if isinstance(event, LiteralStart):
                if b"APPEND" in event.head:
                    framer.stream_literal()
                elif b"refused" in event.head:
                    framer.refuse_literal(event.waits)
                else:
                    framer.keep_literal()
    joined: list[object] = []
    for event in events:  # how a streamed literal is cut is no part of the promise
        if isinstance(event, LiteralChunk) and joined and isinstance(joined[-1], LiteralChunk) and not joined[-1].last:
            joined[-1] = LiteralChunk(joined[-1].data + event.data, event.last)
        else:
            joined.append(event)
    return joined


EXPECTED = [
    Line(b"a1 NOOP"),
    LiteralStart(b"a2 LOGIN {4+}\r\n", 4, False, False, 15, 1),
    LiteralStart(b"a2 LOGIN {4+}\r\n", 6, False, False, 26, 2),
    Line(b"a2 LOGIN {4+}\r\nlisi {6+}\r\n123456"),
    LiteralStart(b"a3 APPEND x {10+}\r\n", 10, False, False, 19, 1),
    LiteralChunk(b"hello\r\nyou", True),
    Line(b""),
    LiteralStart(b"a4 refused {5+}\r\n", 5, False, False, 17, 1),
    Line(b"a5 NOOP"),
    Line(b'a6 SEARCH "{5}"'),
]


def test_a_stream_in_one_piece() -> None:
    assert play([STREAM]) == EXPECTED


def test_a_stream_byte_by_byte() -> None:
    assert play([STREAM[i : i + 1] for i in range(len(STREAM))]) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_a_stream_cut_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert play([STREAM[a:b] for a, b in pairwise(places)]) == EXPECTED


def test_a_waiting_literal_that_is_refused_is_never_sent() -> None:
    framer = Framer(100)
    framer.feed(b"a APPEND x ~{7}\r\n")
    assert framer.next() == LiteralStart(b"a APPEND x ~{7}\r\n", 7, True, True, 17, 1)
    assert framer.next() is None
    framer.refuse_literal(waits=True)
    framer.feed(b"b NOOP\r\n")
    assert framer.next() == Line(b"b NOOP")


@pytest.mark.parametrize("raw", [b"x" * 101, b"x" * 200 + b"\r\n", b"a {5+}\r\n12345" + b"y" * 101])
def test_a_line_has_a_limit(raw: bytes) -> None:
    framer = Framer(100)
    framer.feed(raw)
    event = framer.next()
    if isinstance(event, LiteralStart):
        framer.keep_literal()
        event = framer.next()
    assert event == CommandTooLong()


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    framer = Framer(50)
    framer.feed(raw)
    while (event := framer.next()) is not None and not isinstance(event, CommandTooLong):
        if isinstance(event, LiteralStart):
            framer.stream_literal()


def test_the_text_up_to_an_announcement() -> None:
    framer = Framer(100)
    framer.feed(b"a APPEND {3+}\r\nbox {5+}\r\n")
    assert isinstance(framer.next(), LiteralStart)
    assert framer.text() == b"a APPEND {3+}"
    framer.keep_literal()
    assert isinstance(framer.next(), LiteralStart)
    assert framer.text() == b"a APPEND {3+}\r\nbox {5+}"


class CountedBytes(bytearray):
    """A buffer that counts the bytes its searches and deletions touch."""

    touched = 0

    def find(self, sub, start=0, *end):
        found = super().find(sub, start, *end)
        self.touched += (found if found >= 0 else len(self)) - start
        return found

    def __getitem__(self, key):
        found = super().__getitem__(key)
        self.touched += len(found) if isinstance(key, slice) else 1
        return found


@pytest.mark.parametrize("piece", [1, 7, 1 << 18])
@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"a LOGIN " + b"{0+}\r\n" * 20_000 + b"\r\n", id="empty literals"),
        pytest.param(b"a LOGIN " + b"{1+}\r\nx" * 20_000 + b"\r\n", id="short literals"),
        pytest.param(b"a SEARCH {100000+}\r\n" + b"x" * 100_000 + b"\r\n", id="one long literal"),
        pytest.param(b"a" * 60_000 + b"\r\n" + b"b" * 60_000 + b"\r\n", id="long lines"),
    ],
)
@pytest.mark.parametrize("wanted", [True, False])
def test_every_byte_is_touched_a_bounded_number_of_times(stream: bytes, piece: int, wanted: bool) -> None:
    framer = Framer(1 << 16)
    framer._buffer = buffer = CountedBytes()
    copied = events = 0
    for at in range(0, len(stream), piece):
        framer.feed(stream[at : at + piece])
        while (event := framer.next()) is not None:
            events += 1
            if isinstance(event, LiteralStart):
                copied += len(event.head)
                framer.keep_literal() if wanted else framer.refuse_literal(event.waits)
            elif isinstance(event, Line):
                copied += len(event.text)
    assert buffer.touched <= 2 * len(stream) + events
    assert copied <= len(stream) + 20 * events


def test_a_kept_literal_leaves_the_buffer_as_it_comes() -> None:
    framer = Framer(100)
    framer.feed(b"a SEARCH TEXT {1000+}\r\n")
    assert isinstance(framer.next(), LiteralStart)
    framer.keep_literal()
    framer.feed(b"x" * 999)
    assert framer.next() is None
    assert framer.buffered_bytes == 0


@pytest.mark.parametrize(
    ("stream", "text"),
    [
        (b"a NOOP  \r\n", b"a NOOP"),
        (b"a NOOP \n", b"a NOOP"),
        (b"a LOGIN x {2+}\r\n   \r\n", b"a LOGIN x {2+}\r\n  "),
        (b"a LOGIN x {2+}\r\n\r\n \r\n", b"a LOGIN x {2+}\r\n\r\n"),
        (b'a LOGIN x " "\r\n', b'a LOGIN x " "'),
    ],
)
def test_blanks_at_the_end_of_a_command_are_no_part_of_it(stream: bytes, text: bytes) -> None:
    assert play([stream])[-1] == Line(text)
    assert play([stream[i : i + 1] for i in range(len(stream))])[-1] == Line(text)
