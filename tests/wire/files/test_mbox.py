"""mbox files, both ways."""

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.files.mbox import MboxMessage, format_mbox_message, read_mbox
from mailcore.wire.imap import system_flags

FILE = b"""From a@example.com Sat Jan  3 01:05:34 1998
From: a@example.com
Status: RO
X-Status: AF
X-Keywords: $Forwarded work
Subject: one

>From here on
>>From there
From what they say

From b Sat Jan  3 01:05:35 1998
Subject: two

end
"""


def read(data: bytes, limit: int = 0) -> list[MboxMessage]:
    return list(read_mbox(io.BytesIO(data), limit))


def test_a_file_of_two():
    one, two = read(FILE)
    assert one == MboxMessage(
        b"From: a@example.com\r\nSubject: one\r\n\r\nFrom here on\r\n>From there\r\nFrom what they say\r\n",
        system_flags.SEEN | system_flags.ANSWERED | system_flags.FLAGGED,
        ("$Forwarded", "work"),
        883789534,
    )
    assert two == MboxMessage(b"Subject: two\r\n\r\nend\r\n", received_at=883789535)


def test_no_file_of_the_kind():
    assert read(b"") == []
    with pytest.raises(ValueError, match="no mbox"):
        read(b"Subject: x\n")
    assert read(b"From somebody at no time\n\nx\n")[0].received_at is None


WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=8)
BODIES = st.lists(st.sampled_from([b"text", b"From me", b">From you", b">>From them", b"", b" From far"])).map(
    lambda found: b"\r\n".join([*found, b"end", b""])
)


@given(
    BODIES,
    st.integers(0, 31),
    st.lists(WORDS, max_size=3).map(tuple),
    st.integers(0, 2_000_000_000),
)
def test_what_is_written_is_read_again(body, bits, keywords, moment):
    message = MboxMessage(b"Subject: x\r\nX-Y: z\r\n\r\n" + body, bits, keywords, moment)
    assert read(format_mbox_message(message) + format_mbox_message(message)) == [message, message]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("shift", range(-8, 3))
def test_messages_end_where_pieces_that_are_read_end(end, shift):
    """The file is read in pieces of 1 MiB."""
    head = b"From a" + end + b"Subject: one" + end * 2
    first = head + b"x" * ((1 << 20) + shift - len(head) - 2 * len(end)) + end * 2
    one, two = read(first + b"From b" + end + b"Subject: two" + end)
    assert len(one.content) == len(first.replace(b"\r\n", b"\n")) - 7 - 1 + 3
    assert two.content == b"Subject: two\r\n"


class Endless(io.RawIOBase):
    """An mbox file with a huge message, as an archive of some kilobytes may hold it."""

    def __init__(self, filler: bytes, pieces: int) -> None:
        self.pieces = [b"From b\n\nlast\n", *[filler] * pieces, b"From a\n\nfirst\n\nFrom x\n\n"]

    def read(self, _size: int = -1) -> bytes:
        return self.pieces.pop() if self.pieces else b""


@pytest.mark.parametrize("filler", [b"\n" * (1 << 20), b"x" * (1 << 20), b"From \n" * 100_000])
def test_a_huge_message_is_skipped_in_bounded_memory(filler):
    tracemalloc.start()
    found = [message.content for message in read_mbox(Endless(filler, 100), 1 << 20)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0] == b"\r\nfirst\r\n"
    assert max(map(len, found)) < 1000
    assert peak < 20 << 20


def test_the_limit_itself_is_within():
    size = len(b"From a\n\nbody\n\n")
    two = b"From a\n\nbody\n\n" * 2
    assert len(read(two, size)) == 2
    assert read(two, size - 1) == []
