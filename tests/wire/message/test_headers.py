"""Decoding of header values and of bodies."""

import pytest

from mailcore.wire.message.body_section import decode_part
from mailcore.wire.message.headers import decode_quoted_printable, decode_value, parse_structured, strip_comments
from mailcore.wire.message.message_scan import scan_message
from webmail.values import mime_parts


@pytest.mark.parametrize(
    ("encoded", "decoded"),
    [
        (b"one \r\ntwo\t \r\n", b"one\r\ntwo\r\n"),
        (b"one  \ntwo", b"one\ntwo"),
        (b"one= \t\r\ntwo=\r\nthree", b"onetwothree"),
        (b"one=  \ntwo", b"onetwo"),
        (b"one=20\r\ntwo=09\r\n", b"one \r\ntwo\t\r\n"),
        (b" a  b\tc", b" a  b\tc"),
        (b"one \r\n \r\ntwo", b"one\r\n\r\ntwo"),
        (b"end \t", b"end"),
        (b"end= ", b"end"),
        (b"=E5=8C=97=zz", b"\xe5\x8c\x97=zz"),
        (b"", b""),
    ],
)
def test_white_space_before_a_line_end_is_no_part_of_quoted_printable(encoded: bytes, decoded: bytes) -> None:
    """RFC 2045 §6.7 rule 3: deleted, also after the "=" of a soft line break."""
    assert decode_quoted_printable(encoded) == decoded
    message = b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + encoded
    assert decode_part(message, (1,)) == decoded
    found = mime_parts.MimePart("1", "text/plain", encoding="quoted-printable")
    assert mime_parts.decode_part(found, encoded) == decoded


def test_search_and_preview_see_words_across_a_damaged_soft_break() -> None:
    found = scan_message(b"Content-Transfer-Encoding: quoted-printable\r\n\r\nthe invoice num= \r\nber\r\n")
    assert found.preview == "the invoice number"
    assert found.body_text.strip() == "the invoice number"


def test_decoding_takes_linear_time() -> None:
    assert len(decode_quoted_printable(b" " * 5_000_000 + b"x\r\n" + b" \t" * 1_000_000 + b"\n")) == 5_000_004


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"=?iso-8859-1?q?caf\xe9?=", "café"),
        (b"=?iso-8859-1?q?caf=E9_\xe0?= la carte", "café à la carte"),
        (b"=?gb2312?Q?" + "北京".encode("gb18030") + b"?=", "北京"),
        (b"=?utf-8?q?" + "北京".encode() + b"?=", "北京"),
        (b"=?koi8-r?q?" + "Привет".encode("koi8-r") + b"?= " + "мир".encode(), "Привет мир"),
        ("北京 ".encode() + b"=?utf-8?q?=E5=8C=97?=", "北京 北"),
        ("北京".encode("gb18030"), "北京"),
        (b"=?utf-8?q?a?=  =?utf-8?q?b?= c", "ab c"),
    ],
)
def test_raw_bytes_in_an_encoded_word_have_its_charset(raw: bytes, text: str) -> None:
    assert decode_value(raw.decode("latin-1")) == text


def test_a_parameter_as_bytes() -> None:
    found = parse_structured("a/b; one*=gb2312''%B1%B1; two*0*=''%C4; two*1=x; three=\"\xe9\"; four*=a%20b")
    assert [found.data(name) for name in ("one", "two", "three", "four", "five")] == [
        b"\xb1\xb1", b"\xc4x", b"\xe9", b"a b", b""
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "rest"),
    [("a (b (c) d) e", "a  e"), ("a(b)", "a"), ("a (b", "a (b"), ("a) (b)", "a) (b)"), ("a", "a"), ("()" * 50_000, "")],
)
def test_comments(value: str, rest: str) -> None:
    assert strip_comments(value) == rest
