"""Scanning a message: ENVELOPE and BODYSTRUCTURE are valid IMAP for any bytes."""

import mmap
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bodystructure_reader import Reader
from mailcore.wire.message import mime
from mailcore.wire.message.body_section import Section, extract_section
from mailcore.wire.message.message_scan import scan_message

CORPUS = Path(__file__).parents[4] / "shared" / "corpus"


def check(content: bytes):
    """Scan, and hold every promise against what came out."""
    found = scan_message(content)
    reader = Reader(found.envelope)
    envelope = reader.envelope()
    assert reader.at == len(found.envelope)
    reader = Reader(found.body_structure)
    reader.body()
    assert reader.at == len(found.body_structure)
    for key in (found.subject_key, found.from_key, found.to_key, found.cc_key, found.from_display, found.to_display):
        assert len(key) <= 255
    assert len(found.message_id) <= 255
    assert len(found.preview) <= 200
    everything = found.subject_key + found.from_display + found.message_id + found.references + found.preview
    everything += found.headers_text + found.body_text
    assert "\0" not in everything
    everything.encode("utf-8")
    assert len(found.body_text) < 20 * 256 * 1024
    check_parts(content, mime.parse_message(content))
    return found, envelope


def check_parts(content: bytes, part: mime.Part) -> None:
    assert part.start <= part.body <= part.end <= len(content)
    last = part.body
    for child in part.children:
        assert last <= child.start
        assert child.end <= part.end
        last = child.end
        check_parts(content, child)
    if part.message is not None:
        assert (part.message.start, part.message.end) == (part.body, part.end)
        check_parts(content, part.message)


def test_every_message_of_the_corpus() -> None:
    files = [each for each in CORPUS.rglob("*") if each.is_file()] if CORPUS.is_dir() else []
    if not files:
        pytest.skip("no corpus beside the project")
    for path in files:
        content = path.read_bytes()
        check(content)
        check(content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_any_bytes(content: bytes) -> None:
    check(content)


PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r\n\r\n", b"--a\r\n", b"--a--\r\n", b"--ab\r\n", b"--\r\n", b"--a", b" ", b"\t",
        b"Content-Type: multipart/mixed; boundary=a\r\n", b"Content-Type: multipart/digest; boundary=\"a b\"\r\n",
        b"Content-Type: multipart/alternative; boundary=ab\r\n", b"Content-Type: message/rfc822\r\n",
        b"Content-Type: text/html; charset=gb2312\r\n", b"Content-Type: text\r\n", b"Content-Type: /;=\r\n",
        b"Content-Type: text/plain; charset=hz; name*0*=utf-8''a; name*1=\"b\\\"\"\r\n", b"Content-Type: \xff/\xfe\r\n",
        b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
        b"Content-Disposition: attachment; filename==?gb2312?B?1ebI?=\r\n", b"Content-Language: a, b\r\n",
        b"From: \"a\\\"b\" <a@b>, c (d (e)) , f: g@h, <@x,@y:z@w>;\r\n", b"To: (\r\n", b"Cc: <<@@>>,;:\"\r\n",
        b"Subject: =?utf-8?q?=E4=BD?= =?utf-8?q?=A0?= Re: [a] [b]\r\n", b"Subject: \xc4\xe3\xba\xc3\r\n",
        b"Date: 31 Feb 2020 25:61:61 +9999\r\n", b"References: <a@b> <c@d\r\n",
        b"text\xe4\xbd\xa0 =3D", b"<script><b", b"\0",
    ]
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.lists(PIECES, max_size=40).map(b"".join))
def test_any_order_of_what_mail_is_made_of(content: bytes) -> None:
    check(content)


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def test_a_plain_message() -> None:
    found, envelope = check(
        crlf(
            "Date: Thu, 15 Feb 2007 01:02:03 +0200\nFrom: 李四 <lisi@benet.com>\nTo: a@x, b@y\nCc: C <c@z>\n"
            "Subject: =?gb2312?B?u9i4tKO6sbG+qQ==?=\nMessage-ID: <1@benet.com>\nIn-Reply-To: <0@x> and more\n\n"
            "你好，世界\n\n再见\n"
        )
    )
    assert envelope[0] == b"Thu, 15 Feb 2007 01:02:03 +0200"
    assert envelope[2] == [["李四".encode(), None, b"lisi", b"benet.com"]] == envelope[3] == envelope[4]
    assert found.sent_at == 1171494123
    assert (found.subject_key, found.from_key, found.from_display) == ("北京", "LISI", "李四")
    assert (found.to_key, found.to_display, found.cc_key) == ("A", "A@X", "C")
    assert (found.message_id, found.references) == ("1@benet.com", "0@x")
    assert found.preview == "你好，世界 再见"
    assert "subject: 回复:北京" in found.headers_text
    assert "你好,世界" in found.body_text
    assert not found.has_attachment


def test_a_message_with_attachment() -> None:
    found, _ = check(
        crlf(
            "Content-Type: multipart/mixed; boundary=b\n\nprologue\n--b\nContent-Type: text/html; charset=utf-8\n\n"
            "<style>p {}</style><p>Grüße &amp; mehr</p><!-- <b>no</b> -->\n--b\nContent-Type: application/pdf\n"
            "Content-Disposition: attachment; filename*0*=utf-8''%E5%AD%A3; filename*1=a.pdf\n"
            "Content-Transfer-Encoding: base64\n\nAAAA\n--b--\nepilogue\n"
        )
    )
    assert found.has_attachment
    assert found.body_text.split() == ["grüsse", "&", "mehr", "季a.pdf"]
    assert b'("ATTACHMENT" ("FILENAME*" "utf-8\'\'%E5%AD%A3a.pdf"))' in found.body_structure


@pytest.mark.parametrize(
    ("label", "raw", "text"),
    [
        ("gb2312", "朱镕基".encode("gb18030"), "朱镕基"),
        ("GBK", "朱镕基".encode("gbk"), "朱镕基"),
        ("big5", "碁銹".encode("cp950"), "碁銹"),
        ("hz-gb-2312", "你好".encode("hz"), "你好"),
        ("no-such-thing", "你好".encode(), "你好"),
        ("us-ascii", "你好".encode("gb18030"), "你好"),
        ("iso-2022-jp", "日本".encode("iso-2022-jp"), "日本"),
        ("punycode", b"abc", "abc"),
        ("utf-7", b"+ZeVnLIqe-", "日本語"),
        ("iso-8859-1", b"\x93caf\xe9\x94", "“café”"),
    ],
)
def test_charsets(label: str, raw: bytes, text: str) -> None:
    found = scan_message(b"Content-Type: text/plain; charset=" + label.encode() + b"\r\n\r\n" + raw)
    assert found.preview == text


def test_raw_header_of_gb18030() -> None:
    found = scan_message(b"Subject: " + "答复：会议".encode("gb18030") + b"\r\n\r\n")
    assert found.subject_key == "会议"


def test_a_mapped_file_gives_the_same() -> None:
    content = crlf(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nhello\nworld\n"
        "--b\nContent-Type: message/rfc822\n\nSubject: x\n\nhi\n--b--\n"
    )
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert scan_message(mapped) == scan_message(content)


HOSTILE = {
    "delimiters": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n" * 400_000,
    "false delimiters": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--ab\r\n" * 400_000,
    "nesting": b"".join(b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (i, i) for i in range(20_000)),
    "unclosed": b"Content-Type: multipart/mixed; boundary=o\r\n\r\n"
    + b"".join(b"--o\r\nContent-Type: multipart/mixed; boundary=%d\r\n\r\n" % i for i in range(4000))
    + b"x\r\n" * 2_000_000,
    "one boundary": b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n" * 40 + b"--a\r\n" * 400_000,
    "names": b"".join(b"x%d:\r\n" % i for i in range(500_000)) + b"\r\n",
    "folds": b"Subject: a\r\n" + b" \r\n" * 1_000_000 + b"\r\n",
    "messages": b"Content-Type: message/rfc822\r\n\r\n" * 20_000,
    "tags": b"Content-Type: text/html\r\n\r\n" + b"<a" * 500_000,
    "scripts": b"Content-Type: text/html\r\n\r\n" + b"<script>" * 200_000,
    "comments": b"Content-Type: text/html\r\n\r\n" + b"<!--" * 200_000,
    "spaces": b"Subject: a" + b" " * 250_000 + b"b\r\nTo: a" + b" " * 100_000 + b"b\r\n\r\n",
    "brackets": b"Subject: " + b"[" * 250_000 + b"\r\n\r\n",
    "replies": b"Subject: " + b"re: " * 60_000 + b"\r\n\r\n",
    "parentheses": b"To: " + b"(" * 250_000 + b"\r\nContent-Type: a/b; " + b"(" * 10_000 + b"\r\n\r\n",
    "angles": b"To: " + b"<" * 250_000 + b"\r\n\r\n",
    "quotes": b"To: " + b'"\\' * 125_000 + b"\r\n\r\n",
    "colons": b"To: " + b"a:" * 125_000 + b"\r\n\r\n",
    "addresses": b"To: " + b"a@b," * 60_000 + b"\r\n\r\n",
    "words": b"Subject: " + b"=?utf-8?q?" * 25_000 + b"\r\n\r\n",
    "fields": b"a:\r\n" * 100_000 + b"\r\n",
    "one line": b"x" * 5_000_000,
    "parameters": b"Content-Type: a/b" + b"; x*1=" * 30_000 + b"\r\n\r\n",
    "ids": b"References: " + b"<a@b>" * 50_000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_messages_take_bounded_time(name: str) -> None:
    check(HOSTILE[name])


MESSAGE = crlf(
    "From: a@b\nSubject: s\nContent-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: text/plain\n\none\n\n--o\n"
    "Content-Type: message/rfc822\n\nFrom: c@d\nX: y\n z\nContent-Type: multipart/alternative; boundary=i\n\n"
    "--i\n\ninner one\n--i\n"
    "Content-Type: text/html\n\ninner two\n--i--\n--o\n\nthree\n--o--\n"
)


@pytest.mark.parametrize(
    ("path", "what", "fields", "raw"),
    [
        ((), "HEADER.FIELDS", ("SUBJECT", "FROM"), "From: a@b\nSubject: s\n\n"),
        ((), "HEADER.FIELDS.NOT", ("SUBJECT", "CONTENT-TYPE"), "From: a@b\n\n"),
        ((), "HEADER.FIELDS", ("NONE",), "\n"),
        ((1,), "", (), "one\n"),
        ((1,), "MIME", (), "Content-Type: text/plain\n\n"),
        ((1,), "HEADER", (), None),
        ((1, 1), "", (), None),
        ((2,), "MIME", (), "Content-Type: message/rfc822\n\n"),
        ((2,), "HEADER.FIELDS", ("X",), "X: y\n z\n\n"),
        ((2, 1), "", (), "inner one"),
        ((2, 2), "", (), "inner two"),
        ((2, 2), "MIME", (), "Content-Type: text/html\n\n"),
        ((2, 3), "", (), None),
        ((3,), "", (), "three"),
        ((4,), "", (), None),
    ],
)
def test_sections(path, what, fields, raw) -> None:
    assert extract_section(MESSAGE, Section(path, what, fields)) == (None if raw is None else crlf(raw))


def test_a_plain_message_has_one_part() -> None:
    plain = crlf("Subject: x\n\nbody\n")
    assert extract_section(plain, Section((1,))) == b"body\r\n"
    assert extract_section(plain, Section((1,), "MIME")) == b"Subject: x\r\n\r\n"
    assert extract_section(plain, Section((2,))) is None
    assert extract_section(plain, Section((1, 1))) is None
    assert extract_section(plain, Section((), "TEXT")) == b"body\r\n"


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_words_at_the_ends_of_lines_stay_apart(end):
    """Any line ending is found, such as a bare CR inside quoted-printable."""
    text = end.join(("first", "second", "third")).replace("\r", "=0D").replace("\n", "=0A")
    head = "Content-Type: text/plain\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    assert scan_message(f"{head}{text}\r\n".encode()).body_text.split() == ["first", "second", "third"]


@pytest.mark.parametrize(
    "subtype", ["delivery-status", "disposition-notification", "global-delivery-status", "feedback-report"]
)
def test_reports_are_searched_but_not_shown_as_preview(subtype: str) -> None:
    found = scan_message(
        crlf(
            f"Content-Type: multipart/report; boundary=b\n\n--b\n\nSorry.\n--b\nContent-Type: message/{subtype}\n\n"
            "Final-Recipient: rfc822; nobody@benet.com\nStatus: 5.1.1\n\n--b--\n"
        )
    )
    assert "final-recipient: rfc822; nobody@benet.com" in found.body_text
    assert found.preview == "Sorry."


@pytest.mark.parametrize(
    ("value", "mailbox", "display"),
    [
        ("Team: a@x, b@y;", "TEAM", "TEAM"),
        ("=?utf-8?b?5p2O5Zub?=:;", "李四", "李四"),
        ("undisclosed-recipients:;", "UNDISCLOSED-RECIPIENTS", "UNDISCLOSED-RECIPIENTS"),
        ("a@x, Team: b@y;", "A", "A@X"),
        ("Örjan <a_b@x>", "A_B", "O\u0308RJAN"),
    ],
)
def test_sort_keys_of_addresses(value: str, mailbox: str, display: str) -> None:
    """RFC 5256 §3: the mailbox of ENVELOPE's first address, which for a group is the group's name."""
    found = scan_message(crlf(f"From: {value}\nTo: {value}\nCc: {value}\n\n"))
    assert (found.from_key, found.to_key, found.cc_key) == (mailbox, mailbox, mailbox)
    assert (found.from_display, found.to_display) == (display, display)


@pytest.mark.parametrize("member", ["a:;", "a@b,", "a: b@c, d@e;", "<>,", '"",', "a,", "a:"])
def test_an_envelope_with_very_many_addresses_stays_short(member: str) -> None:
    """Each address is ten times as long as it was in the header; a list of messages holds fifty envelopes."""
    value = "\r\n ".join([member * 50] * 2000)
    content = "".join(f"{name}: {value}\r\n" for name in ("From", "To", "Cc")) + "\r\nx"
    envelope = scan_message(content.encode()).envelope
    assert len(envelope) < 1_000_000
    lists = re.findall(rb"\(((?:\([^()]*\))+)\)", envelope)
    for each in lists:
        structures = re.findall(rb"\([^()]*\)", each)
        assert len(structures) <= 1001
        groups = [structure for structure in structures if structure.endswith(b" NIL)")]
        if member.startswith("a:") and member.endswith(";"):
            assert groups[-1] == b"(NIL NIL NIL NIL)"
