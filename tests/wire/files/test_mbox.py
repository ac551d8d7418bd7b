"""mbox files, both ways."""

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


def lines(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def test_a_file_of_two():
    one, two = read_mbox(lines(FILE))
    assert one == MboxMessage(
        b"From: a@example.com\r\nSubject: one\r\n\r\nFrom here on\r\n>From there\r\nFrom what they say\r\n",
        system_flags.SEEN | system_flags.ANSWERED | system_flags.FLAGGED,
        ("$Forwarded", "work"),
        883789534,
    )
    assert two == MboxMessage(b"Subject: two\r\n\r\nend\r\n", received_at=883789535)


def test_no_file_of_the_kind():
    assert list(read_mbox([])) == []
    with pytest.raises(ValueError, match="no mbox"):
        list(read_mbox([b"Subject: x\n"]))
    assert next(iter(read_mbox([b"From somebody at no time\n", b"\n", b"x\n"]))).received_at is None


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
    assert list(read_mbox(lines(format_mbox_message(message) + format_mbox_message(message)))) == [message, message]
