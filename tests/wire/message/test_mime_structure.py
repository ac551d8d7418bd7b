"""The tree of parts: BODYSTRUCTURE describes exactly what BODY[n] returns, for well-formed messages and others."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodystructure_reader import Reader, Structure
from mailcore.wire.message.body_section import Section, decode_part, extract_section
from mailcore.wire.message.message_scan import scan_message
from mailcore.wire.message.transport_encoding import TransportEncoding

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def structure_of(content: bytes) -> Structure:
    return Reader(scan_message(content).body_structure).body()


def outline(part: Structure) -> object:
    """The types of the parts, nested as they are."""
    if part.children:
        return [part.subtype.decode().lower(), *(outline(child) for child in part.children)]
    name = f"{part.kind.decode()}/{part.subtype.decode()}".lower()
    return {name: outline(part.message)} if part.message is not None else name


def part(content: bytes, *path: int) -> bytes | None:
    return extract_section(content, Section(path))


def check_agreement(content: bytes) -> None:
    check_message(content, structure_of(content), ())


def check_message(content: bytes, message: Structure, path: tuple[int, ...]) -> None:
    """The message at `path`: its parts are numbered within it, and a message without parts is its part 1."""
    if message.children:
        check_children(content, message, path)
    else:
        check_part(content, message, (*path, 1))
        assert part(content, *path, 2) is None


def check_children(content: bytes, multipart: Structure, path: tuple[int, ...]) -> None:
    for number, child in enumerate(multipart.children, 1):
        check_part(content, child, (*path, number))
    assert part(content, *path, len(multipart.children) + 1) is None


def check_part(content: bytes, described: Structure, path: tuple[int, ...]) -> None:
    data = part(content, *path)
    assert data is not None, (path, described)
    if described.children:
        check_children(content, described, path)
        return
    assert len(data) == described.size, (path, described)
    if described.lines is not None:
        assert data.count(b"\n") == described.lines, (path, described)
    header, text = (extract_section(content, Section(path, what)) for what in ("HEADER", "TEXT"))
    if described.message is not None:
        assert header is not None
        assert text is not None
        assert header + text == data
        check_message(content, described.message, path)
    else:
        assert header is None or len(path) == 1
        assert part(content, *path, 1) is None or len(path) == 1


def test_every_structure_of_the_corpus_is_what_its_sections_return() -> None:
    files = [each for each in CORPUS.rglob("*") if each.is_file()] if CORPUS.is_dir() else []
    if not files:
        pytest.skip("no corpus beside the project")
    for path in files:
        content = path.read_bytes()
        check_agreement(content)
        check_agreement(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r\n\r\n", b"text\r\n", b"--a\r\n", b"--a x\r\n", b"--a--\r\n", b"--a--x\r\n", b"--ab\r\n",
        b"--ab--\r\n", b"--", b"--a", b"\n--a", b"Subject: x\r\n", b"Content-Type: text/html\r\n",
        b"Content-Type: multipart/mixed; boundary=a\r\n\r\n", b"Content-Type: multipart/alternative; boundary=ab\r\n",
        b"Content-Type: multipart/digest; boundary=a\r\n\r\n", b"Content-Type: multipart/report\r\n\r\n",
        b"Content-Type: multipart/mixed; boundary*=us-ascii''%61\r\n\r\n", b"Content-Type: message/rfc822\r\n\r\n",
        b"Content-Type: message/delivery-status\r\n\r\n", b"Content-Type: message/global\r\n\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Type: multipart/mixed; boundary=\"a \"\r\n\r\n",
    ]
)  # fmt: skip


@settings(max_examples=2000, deadline=None)
@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_a_structure_is_what_its_sections_return(content: bytes) -> None:
    check_agreement(content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=1000), st.sampled_from([b"a", b"-", b"ab", b" a"]))
def test_a_structure_of_any_body_is_what_its_sections_return(body: bytes, boundary: bytes) -> None:
    check_agreement(b'Content-Type: multipart/mixed; boundary="%b"\r\n\r\n--%b\r\n%b' % (boundary, boundary, body))


# --- Boundaries -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameter",
    [
        "boundary*0*=us-ascii''%3D_766;\n boundary*1*=7-f_%3D",
        "boundary*=us-ascii''%3D_7667-f_%3D",
        'boundary*0="=_766";\n boundary*1="7-f_="',
        'boundary="=_7667-f_="',
    ],
)
def test_a_boundary_in_rfc_2231_form(parameter: str) -> None:
    message = crlf(
        f"Content-Type: multipart/alternative; {parameter}\n\n--=_7667-f_=\nContent-Type: text/plain; charset=utf-8\n\n"
        "纯文本\n--=_7667-f_=\nContent-Type: text/html; charset=utf-8\n\n<b>HTML</b>\n--=_7667-f_=--\n"
    )
    assert outline(structure_of(message)) == ["alternative", "text/plain", "text/html"]
    assert part(message, 2) == b"<b>HTML</b>"


@pytest.mark.parametrize("rest", ["", " ", "x", " and more", "\t--"])
def test_text_after_a_boundary_is_ignored(rest: str) -> None:
    """RFC 2046 §5.1.1: the boundary is compared with the beginning of the line only."""
    message = crlf(
        f"Content-Type: multipart/mixed; boundary=b\n\n--b{rest}\n\none\n--b{rest}\n\ntwo\n--b--{rest}\nend\n"
    )
    assert outline(structure_of(message)) == ["mixed", "text/plain", "text/plain"]
    assert (part(message, 1), part(message, 2)) == (b"one", b"two")


def test_a_boundary_that_begins_with_another_one() -> None:
    message = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=bb\n\n"
        "--bb\n\none\n--bb\n\ntwo\n--bb--\n--b\nContent-Type: text/html\n\nthree\n--b--\n"
    )
    assert outline(structure_of(message)) == ["mixed", ["alternative", "text/plain", "text/plain"], "text/html"]
    assert (part(message, 1, 2), part(message, 2)) == (b"two", b"three")


def test_nested_multiparts_with_one_boundary_keep_their_parts() -> None:
    message = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: multipart/alternative; boundary=b\n\n"
        "--b\n\none\n--b\nContent-Type: text/html\n\ntwo\n--b--\n--b\nContent-Type: application/pdf\n\npdf\n--b--\n"
    )
    assert outline(structure_of(message)) == ["mixed", ["alternative", "text/plain", "text/html"], "application/pdf"]
    assert (part(message, 1, 1), part(message, 1, 2), part(message, 2)) == (b"one", b"two", b"pdf")


def test_an_outer_delimiter_ends_the_multiparts_inside() -> None:
    message = crlf(
        "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\none\n"
        "--o\n\ntwo\n--i\n--o--\n"
    )
    assert outline(structure_of(message)) == ["mixed", ["mixed", "text/plain"], "text/plain"]
    assert (part(message, 1, 1), part(message, 2)) == (b"one", b"two\r\n--i")


@pytest.mark.parametrize(
    ("parameter", "body"),
    [("", "hello\nworld\n"), ("; boundary=b", "hello\n--c\nworld\n"), ("; boundary=b", "hello\n--b--\n"), ("", "")],
)
def test_a_multipart_without_parts_has_its_body_as_part_1(parameter: str, body: str) -> None:
    message = crlf(f"Subject: x\nContent-Type: multipart/mixed{parameter}\n\n{body}")
    found = structure_of(message)
    assert outline(found) == ["mixed", "text/plain"]
    assert found.children[0].size == len(crlf(body))
    assert part(message, 1) == crlf(body)
    assert ("hello" in scan_message(message).preview) == ("hello" in body)


def test_a_multipart_without_parts_is_not_given_a_header_for_a_seven_bit_host() -> None:
    message = crlf("MIME-Version: 1.0\nContent-Type: multipart/mixed\n\n没有\n")
    assert TransportEncoding(seven_bit=True, line_limit=0).encode(message) == message


# --- Header fields --------------------------------------------------------------------------------


def test_of_two_fields_the_first_counts() -> None:
    message = crlf(
        "Content-Type: multipart/mixed; boundary=b\nContent-Type: text/html\nDate: Mon, 1 Jan 2024 12:00:00 +0000\n"
        "Date: Tue, 2 Jan 2024 12:00:00 +0000\n\n--b\nContent-Transfer-Encoding: base64\n"
        "Content-Transfer-Encoding: 7bit\nContent-Disposition: inline\nContent-Disposition: attachment\n\nb25l\n--b--\n"
    )
    assert outline(structure_of(message)) == ["mixed", "text/plain"]
    assert decode_part(message, (1,)) == b"one"
    found = scan_message(message)
    assert b'"base64"' in found.body_structure
    assert b'("INLINE" NIL)' in found.body_structure
    assert found.sent_at == 1704110400


@pytest.mark.parametrize("encoding", ["base64 (x)", "(x) base64", "base64 (a (b) c)", '"base64"', "base64;", "BASE64"])
def test_a_transfer_encoding_with_a_comment(encoding: str) -> None:
    message = crlf(f"Content-Transfer-Encoding: {encoding}\n\naGVsbG8gd29ybGQ=\n")
    assert decode_part(message, (1,)) == b"hello world"
    found = scan_message(message)
    assert found.preview == "hello world"
    assert b'"BASE64"' in found.body_structure.upper()


def test_a_nested_message_in_base64_is_a_file() -> None:
    """RFC 2046 §5.2.1 forbids the encoding; no section number could lead into it."""
    message = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822; name=a.eml\n"
        "Content-Transfer-Encoding: base64\n\nU3ViamVjdDogaW5uZXIKCmhlbGxv\n--b\nContent-Type: message/rfc822\n"
        "Content-Transfer-Encoding: base64\n\nSubject: wrong label\n\nbody\n--b--\n"
    )
    assert outline(structure_of(message)) == [
        "mixed", "application/octet-stream", {"message/rfc822": "text/plain"}
    ]  # fmt: skip
    found = scan_message(message)
    assert b'("APPLICATION" "OCTET-STREAM" ("NAME" "a.eml") NIL NIL "base64"' in found.body_structure
    assert "hello" in found.body_text
    assert decode_part(message, (1,)) == b"Subject: inner\n\nhello"
    assert part(message, 2, 1) == b"body"
    check_agreement(message)


@pytest.mark.parametrize("size", [127 * 1024, 129 * 1024, 1 << 21])
def test_fields_after_a_long_header_are_read(size: int) -> None:
    padding = "X-Padding: " + "x" * 65 + "\n"
    rest = (
        "From: Li Si <lisi@benet.com>\nSubject: =?utf-8?q?=E5=8C=97=E4=BA=AC?=\nTo: a@x,\n b@y\n"
        "Date: Mon, 1 Jan 2024 12:00:00 +0000\nX-Late: z\n"
        "Content-Type: multipart/mixed;\n boundary=b\n\n--b\nContent-Type: text/html\n\nhi\n--b--\n"
    )
    message = crlf(padding * (size // len(padding)) + " folded\n" + rest)
    found = scan_message(message)
    envelope = Reader(found.envelope).envelope()
    assert envelope[0] == b"Mon, 1 Jan 2024 12:00:00 +0000"
    assert envelope[1] == b"=?utf-8?q?=E5=8C=97=E4=BA=AC?="
    assert envelope[2] == [[b"Li Si", None, b"lisi", b"benet.com"]]
    assert envelope[5] == [[None, None, b"a", b"x"], [None, None, b"b", b"y"]]
    assert "subject: 北京" in found.headers_text
    assert "x-late: z" in found.headers_text
    assert outline(structure_of(message)) == ["mixed", "text/html"]


def test_a_field_longer_than_the_limit_hides_no_other() -> None:
    message = b"X-Long: " + b"x" * 300_000 + b"\r\n" + b" y" * 300_000 + b"\r\nSubject: s\r\n\r\n"
    assert Reader(scan_message(message).envelope).envelope()[1] == b"s"
