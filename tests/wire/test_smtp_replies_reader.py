"""Replies of SMTP servers: whole ones, enhanced codes, what EHLO offers, and what is no reply."""

import pytest

from mailcore.wire import smtp_replies
from mailcore.wire.smtp_replies import InvalidReply, ReplyReader, SmtpReply


def read(*lines: bytes) -> SmtpReply:
    reader = ReplyReader()
    *firsts, last = lines
    for line in firsts:
        assert reader.feed(line) is None
    answer = reader.feed(last)
    assert answer is not None
    return answer


@pytest.mark.parametrize(
    ("lines", "code", "status", "said"),
    [
        ([b"250 2.1.5 Ok\r\n"], 250, "2.1.5", "250 2.1.5 Ok"),
        ([b"250\r\n"], 250, "2.0.0", "250"),
        ([b"250 \n"], 250, "2.0.0", "250"),
        ([b"550-5.1.1 no\r\n", b"550 5.1.1 such user\r\n"], 550, "5.1.1", "550-5.1.1 no 550 5.1.1 such user"),
        ([b"450 try 4.2.0 later\r\n"], 450, "4.0.0", "450 try 4.2.0 later"),
        ([b"450 5.2.0 says two things\r\n"], 450, "4.2.0", "450 5.2.0 says two things"),
        ([b"354 go on\r\n"], 354, "3.0.0", "354 go on"),
        ([b"550 \xe4\xbd\xa0\xff\r\n"], 550, "5.0.0", "550 你�"),
    ],
)
def test_answers(lines, code, status, said):
    answer = read(*lines)
    assert (answer.code, answer.status, str(answer)) == (code, status, said)


@pytest.mark.parametrize("line", [b"", b"hello\r\n", b"25 x\r\n", b"999 x\r\n", b"2500 x\r\n", b"250x\r\n"])
def test_what_is_no_reply(line):
    with pytest.raises(InvalidReply):
        ReplyReader().feed(line)


def test_a_reply_without_end_is_no_reply():
    reader = ReplyReader()
    for _ in range(200):
        assert reader.feed(b"250-x\r\n") is None
    with pytest.raises(InvalidReply):
        reader.feed(b"250 x\r\n")


def test_what_ehlo_offers():
    answer = read(
        b"250-far.example\r\n", b"250-size 100\r\n", b"250-AUTH PLAIN\r\n", b"250-AUTH=LOGIN\r\n", b"250 DSN\r\n"
    )
    assert smtp_replies.parse_extensions(answer) == {"SIZE": "100", "AUTH": "PLAIN LOGIN", "DSN": ""}
