"""MIME trees as IMAP servers describe them, and what a page shows of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.values import imap_responses, message_summary, mime_parts

TEXT = b'("TEXT" "PLAIN" ("CHARSET" "utf-8") NIL NIL "8BIT" 12 1 NIL NIL NIL NIL)'
HTML = b'("TEXT" "HTML" ("CHARSET" "gb2312") NIL NIL "BASE64" 40 1 NIL NIL NIL NIL)'
LOGO = b'("IMAGE" "PNG" ("NAME" "logo.png") "<logo>" NIL "BASE64" 400 NIL ("INLINE" NIL) NIL NIL)'
PHOTO = b'("IMAGE" "JPEG" ("NAME" "a.jpg") NIL NIL "BASE64" 400 NIL ("ATTACHMENT" ("FILENAME" "a.jpg")) NIL NIL)'
PDF = b'("APPLICATION" "PDF" NIL NIL NIL "BASE64" 4000 NIL ("ATTACHMENT" ("FILENAME*" "utf-8\'\'%E9%A2%84%E7%AE%97.pdf")) NIL NIL)'
INNER = (
    b'("MESSAGE" "RFC822" NIL NIL NIL "7BIT" 900 ("date" "s" NIL NIL NIL NIL NIL NIL NIL "<i@d>") '
    + TEXT
    + b" 30 NIL NIL NIL NIL)"
)
NOTE = b'("TEXT" "PLAIN" ("NAME" "note.txt") NIL NIL "7BIT" 10 1 NIL ("ATTACHMENT" NIL) NIL NIL)'


def several(kind: bytes, *inner: bytes) -> bytes:
    return b"(" + b"".join(inner) + b' "' + kind + b'" ("BOUNDARY" "x") NIL NIL NIL)'


# what the server says, then sections of text, HTML, images inside, files, and whether the list shows a clip
SHAPES = {
    "plain": (TEXT, ["1"], [], [], [], False),
    "HTML alone": (HTML, ["1"], ["1"], [], [], False),
    "alternative": (several(b"ALTERNATIVE", TEXT, HTML), ["1"], ["2"], [], [], False),
    "with a file": (several(b"MIXED", TEXT, PDF), ["1"], [], [], ["2"], True),
    "related": (
        several(b"MIXED", several(b"ALTERNATIVE", TEXT, several(b"RELATED", HTML, LOGO)), PDF),
        ["1.1"],
        ["1.2.1"],
        ["1.2.2"],
        ["2"],
        True,
    ),
    "a photo between": (several(b"MIXED", TEXT, PHOTO, TEXT), ["1", "3"], [], [], ["2"], True),
    "a text file": (several(b"MIXED", TEXT, NOTE), ["1"], [], [], ["2"], True),
    "an enclosed message": (several(b"MIXED", TEXT, INNER), ["1"], [], [], ["2"], False),
    "an image nobody names": (several(b"RELATED", TEXT, LOGO), ["1"], [], [], ["2"], False),
    "a file alone": (PDF, [], [], [], ["1"], True),
    "a list's footer": (
        several(b"MIXED", several(b"ALTERNATIVE", TEXT, HTML), TEXT),
        ["1.1", "2"],
        ["1.2", "2"],
        [],
        [],
        False,
    ),
}


@pytest.mark.parametrize(("said", "text", "html", "inside", "files", "clip"), SHAPES.values(), ids=SHAPES.keys())
def test_what_a_page_shows(said, text, html, inside, files, clip) -> None:
    [structure] = imap_responses.parse_response([said])
    shown = mime_parts.choose_parts(mime_parts.parse_structure(structure))
    assert [p.section for p in shown.text] == text
    assert [p.section for p in shown.html] == html
    assert [p.section for p in shown.inside] == inside
    assert [p.section for p in shown.files] == files
    assert message_summary.has_attachment(structure) is clip


def test_the_parts_of_an_enclosed_message_are_numbered_below_it() -> None:
    [structure] = imap_responses.parse_response(
        [several(b"MIXED", TEXT, INNER.replace(TEXT, several(b"MIXED", TEXT, PDF)))]
    )
    assert [p.section for p in mime_parts.parse_structure(structure).walk() if p.main != "multipart"] == [
        "1",
        "2",
        "2.1",
        "2.2",
    ]


NAMES = {
    "RFC 2231": (b'"FILENAME*" "utf-8\'\'%E9%A2%84%E7%AE%97.pdf"', "预算.pdf"),
    "RFC 2231 in pieces": (
        b'"FILENAME*0*" "utf-8\'\'%E9%A2" "FILENAME*1*" "%84%E7%AE%97" "FILENAME*2" ".pdf"',
        "预算.pdf",
    ),
    "RFC 2047": (b'"FILENAME" "=?gb2312?B?1KTL4y5wZGY=?="', "预算.pdf"),
    "raw GBK": (b'"FILENAME" "' + "朱镕基.pdf".encode("gbk") + b'"', "朱镕基.pdf"),
    "raw UTF-8": (b'"FILENAME" "' + "预算.pdf".encode() + b'"', "预算.pdf"),
    "a path": (b'"FILENAME" "../../etc/passwd"', "passwd"),
    "a Windows path": (b'"FILENAME" "C:\\\\Users\\\\x\\\\a.doc"', "a.doc"),
    "direction override": ('"FILENAME" "invoice\u202efdp.exe"'.encode(), "invoicefdp.exe"),
    "hidden file": (b'"FILENAME" ".bashrc"', "bashrc"),
    "quotes": (b'"FILENAME" "a\\"b.txt"', 'a"b.txt'),
}


@pytest.mark.parametrize(("said", "name"), NAMES.values(), ids=NAMES.keys())
def test_file_names(said: bytes, name: str) -> None:
    [structure] = imap_responses.parse_response(
        [b'("APPLICATION" "PDF" NIL NIL NIL "BASE64" 4 NIL ("ATTACHMENT" (' + said + b")) NIL NIL)"]
    )
    assert mime_parts.parse_structure(structure).file_name == name


@given(st.text())
def test_a_file_name_is_one_harmless_word(name: str) -> None:
    clean = mime_parts.safe_file_name(name)
    assert len(clean) <= 150
    assert not any(sign in clean for sign in "/\\\r\n\0\u202e")
    assert not clean.startswith(".")


BODIES = {
    "gb2312 with a character beyond it": ("gb2312", "朱镕基同志".encode("gbk"), "朱镕基同志"),
    "gbk": ("x-gbk", "會議".encode("gbk"), "會議"),
    "gb18030": ("GB18030", "𠮷".encode("gb18030"), "𠮷"),
    "big5": ("big5", "會議記錄".encode("big5"), "會議記錄"),
    "hz": ("hz-gb-2312", "会议".encode("hz"), "会议"),
    "no label, UTF-8": ("", "会议".encode(), "会议"),
    "no label, GBK": ("", "会议安排".encode("gbk"), "会议安排"),
    "unknown label": ("x-nonsense", "会议".encode(), "会议"),
    "wrong label": ("us-ascii", "会议".encode(), "会议"),
}


@pytest.mark.parametrize(("charset", "data", "text"), BODIES.values(), ids=BODIES.keys())
def test_charsets_of_chinese_mail(charset: str, data: bytes, text: str) -> None:
    part = mime_parts.MimePart("1", "text/plain", {"charset": charset})
    assert mime_parts.part_text(part, data + b"\r\n") == text + "\n"


VALUES = st.recursive(
    st.none() | st.integers(0, 10**6) | st.binary(max_size=12) | st.sampled_from([b"text", b"plain", b"mixed", b"message", b"rfc822", b"attachment"]),
    lambda inner: st.lists(inner, max_size=14).map(tuple),
    max_leaves=40,
)  # fmt: skip


@given(VALUES)
def test_no_structure_is_too_odd(value) -> None:
    root = mime_parts.parse_structure(value)
    mime_parts.choose_parts(root)
    message_summary.has_attachment(value)
    message_summary.build_summary(
        1, {b"BODYSTRUCTURE": value, b"ENVELOPE": value, b"FLAGS": value, b"INTERNALDATE": value}
    )


@given(st.binary(max_size=300), st.sampled_from(["base64", "quoted-printable", "x-uuencode", "8bit", "nonsense"]))
def test_no_encoding_is_too_broken(raw: bytes, encoding: str) -> None:
    mime_parts.decode_part(mime_parts.MimePart("1", "text/plain", encoding=encoding), raw)
