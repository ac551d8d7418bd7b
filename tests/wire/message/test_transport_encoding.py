"""Mail encoded for a next host: what Python's email library reads in it stays the same."""

import email
import email.policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.message.transport_encoding import TransportEncoding, has_long_line

to_seven_bit = TransportEncoding(seven_bit=True, line_limit=0).encode

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


# --- Long lines -----------------------------------------------------------------------------------

TEXT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"


@pytest.mark.parametrize(("length", "is_long"), [(997, False), (998, False), (999, True), (3000, True)])
def test_a_long_line(length: int, is_long: bool) -> None:
    content = TEXT + b"a" * length + b"\r\n"
    assert has_long_line(content, 998) == is_long
    assert not has_long_line(content, 0)
    out = TransportEncoding(seven_bit=False, line_limit=998).encode(content)
    assert (out != content) == is_long
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert leaves(out) == leaves(content)


@pytest.mark.parametrize(
    "content",
    [
        TEXT + "长".encode() * 2000 + b"\r\n",
        TEXT.replace(b"text/plain", b"application/pdf") + b"x" * 5000 + b"\r\n",
        TEXT[:-2] + b"Content-Transfer-Encoding: base64\r\n\r\n" + b"QUJD" * 1000 + b"\r\n",
        TEXT[:-2] + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + b"=C3=A9" * 1000 + b"\r\n",
        MIXED.replace(b"plain, kept as it is", b"plain " * 500),
    ],
)
def test_parts_with_long_lines_are_encoded(content: bytes) -> None:
    out = TransportEncoding(seven_bit=False, line_limit=998).encode(content)
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert leaves(out) == leaves(content)


def test_other_long_lines_are_broken() -> None:
    """In headers at white space if there is some, and everywhere in a message without MIME (as Postfix breaks them)."""
    words = b"Subject: " + b"word " * 600 + b"end\r\n"
    out = TransportEncoding(seven_bit=False, line_limit=998).encode(words + TEXT + b"x\r\n")
    assert max(map(len, out.split(b"\r\n"))) <= 998
    assert read(out)["Subject"].split() == [b"word".decode()] * 600 + ["end"]
    plain = b"Subject: x\r\n\r\n" + b"a" * 2000 + b"\r\n"
    out = TransportEncoding(seven_bit=False, line_limit=998).encode(plain)
    assert out == b"Subject: x\r\n\r\n" + b"a" * 998 + b"\r\n " + b"a" * 997 + b"\r\n " + b"a" * 5 + b"\r\n"


@given(st.binary(max_size=400).map(lambda b: b.replace(b"\r", b"").replace(b"\n", b"\r\n")), st.integers(80, 200))
def test_no_line_stays_too_long(body: bytes, limit: int) -> None:
    for head in (TEXT, b"Subject: x\r\n\r\n"):
        out = TransportEncoding(seven_bit=False, line_limit=limit).encode(head + body)
        assert max(map(len, out.split(b"\n"))) <= limit + 1
