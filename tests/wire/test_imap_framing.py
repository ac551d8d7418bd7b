"""Commands come out of a stream the same wherever it is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap.framing import Announced, Framer, Line, Piece, TooLong

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
            events.append(event)
            if isinstance(event, Announced):
                if b"APPEND" in event.text:
                    framer.stream()
                elif b"refused" in event.text:
                    framer.refuse(event.waits)
                else:
                    framer.keep()
    joined: list[object] = []
    for event in events:  # how a streamed literal is cut is no part of the promise
        if isinstance(event, Piece) and joined and isinstance(joined[-1], Piece) and not joined[-1].last:
            joined[-1] = Piece(joined[-1].data + event.data, event.last)
        else:
            joined.append(event)
    return joined


EXPECTED = [
    Line(b"a1 NOOP"),
    Announced(b"a2 LOGIN {4+}", 4, False, False),
    Announced(b"a2 LOGIN {4+}\r\nlisi {6+}", 6, False, False),
    Line(b"a2 LOGIN {4+}\r\nlisi {6+}\r\n123456"),
    Announced(b"a3 APPEND x {10+}", 10, False, False),
    Piece(b"hello\r\nyou", True),
    Line(b""),
    Announced(b"a4 refused {5+}", 5, False, False),
    Line(b"a5 NOOP"),
    Line(b'a6 SEARCH "{5}"'),
]


def test_a_stream_in_one_piece() -> None:
    assert play([STREAM]) == EXPECTED


def test_a_stream_octet_by_octet() -> None:
    assert play([STREAM[i : i + 1] for i in range(len(STREAM))]) == EXPECTED


@given(st.lists(st.integers(0, len(STREAM)), max_size=10))
def test_a_stream_cut_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert play([STREAM[a:b] for a, b in pairwise(places)]) == EXPECTED


def test_a_waiting_literal_that_is_refused_is_never_sent() -> None:
    framer = Framer(100)
    framer.feed(b"a APPEND x ~{7}\r\n")
    assert framer.next() == Announced(b"a APPEND x ~{7}", 7, True, True)
    assert framer.next() is None
    framer.refuse(waits=True)
    framer.feed(b"b NOOP\r\n")
    assert framer.next() == Line(b"b NOOP")


@pytest.mark.parametrize("octets", [b"x" * 101, b"x" * 200 + b"\r\n", b"a {5+}\r\n12345" + b"y" * 101])
def test_a_line_has_a_limit(octets: bytes) -> None:
    framer = Framer(100)
    framer.feed(octets)
    event = framer.next()
    if isinstance(event, Announced):
        framer.keep()
        event = framer.next()
    assert event == TooLong()


@given(st.binary(max_size=300))
def test_any_octets(octets: bytes) -> None:
    framer = Framer(50)
    framer.feed(octets)
    while (event := framer.next()) is not None and not isinstance(event, TooLong):
        if isinstance(event, Announced):
            framer.stream()
