"""8-bit mail made 7-bit: what Python's email library reads in it stays the same."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.message.to_7bit import to_seven_bit

MIXED = (
    "MIME-Version: 1.0\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\npreamble é\r\n"
    "--b\r\n\r\nplain, kept as it is \r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding:\r\n 8bit\r\nX: y\r\n\r\n"
    ".\r\nFrom café = \r\n\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n邮局邮局邮局\r\n"
    "--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    "MIME-Version: 1.0\r\nSubject: inner\r\nContent-Type: text/plain; charset=utf-8\r\n"
    "Content-Transfer-Encoding: 8bit\r\n\r\nnaïve, in a line of messages\r\n"
    "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"
    "--b--\r\n"
).encode()


def read(data: bytes) -> EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.SMTP)  # type: ignore[return-value]


def leaves(data: bytes) -> list[tuple[str, bytes]]:
    return [(p.get_content_type(), p.get_payload(decode=True)) for p in read(data).walk() if not p.is_multipart()]


def test_a_tree_of_parts():
    out = to_seven_bit(MIXED)
    assert out.isascii()
    assert leaves(out) == leaves(MIXED)
    top, plain, latin, chinese, carrier, inner, encoded = read(out).walk()
    assert top["Content-Transfer-Encoding"] == carrier["Content-Transfer-Encoding"] == "7bit"
    assert plain["Content-Transfer-Encoding"] is None
    assert latin["Content-Transfer-Encoding"] == inner["Content-Transfer-Encoding"] == "quoted-printable"
    assert chinese["Content-Transfer-Encoding"] == "base64"
    assert latin["X"] == "y"
    assert b"\r\n--b\r\n\r\nplain, kept as it is \r\n--b\r\n" in out
    assert encoded.get_payload() == "=C3=A9"


@pytest.mark.parametrize(
    "content",
    [
        b"Subject: x\r\n\r\nno MIME: \xe9\r\n",
        b"MIME-Version: 1.0\r\nSubject: x\r\n\r\nseven bits\r\n",
        b"MIME-Version: 1.0\r\nContent-Transfer-Encoding: base64\r\n\r\n\xe9\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n\xe9\r\n",
        b"MIME-Version: 1.0\r\nContent-Type: message/partial\r\n\r\n\xe9\r\n",
    ],
)
def test_what_stays_as_it_is(content):
    assert to_seven_bit(content) == content


LINES = st.lists(st.binary(max_size=200).map(lambda b: b.replace(b"\r", b".").replace(b"\n", b".")), max_size=8)


@given(LINES, st.sampled_from([b"text/plain; charset=utf-8", b"application/octet-stream"]))
def test_any_body_comes_out_as_it_was(lines, kind):
    body = b"".join(line + b"\r\n" for line in lines)
    out = to_seven_bit(b"MIME-Version: 1.0\r\nContent-Type: " + kind + b"\r\n\r\n" + body)
    assert out.isascii()
    assert body.isascii() or max(map(len, out.split(b"\r\n"))) <= 78
    header, _, encoded = out.partition(b"\r\n\r\n")
    assert read(header + b"\r\n\r\n" + encoded).get_payload(decode=True) == body
