"""IMAP's grammar: what is rendered is read back, what is no IMAP is BadSyntax and nothing else."""

import base64
import contextlib
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap import mailbox_names, response_format, sequence_set
from mailcore.wire.imap.body_without_extensions import strip_extensions
from mailcore.wire.imap.cursor import BadName, BadSyntax, Cursor
from mailcore.wire.imap.list_pattern import compile_pattern
from mailcore.wire.imap.syntax import fetch_syntax, list_syntax, search_syntax
from mailcore.wire.imap.syntax.search_syntax import (
    And,
    Contains,
    Day,
    HasFlag,
    HasKeyword,
    HeaderContains,
    IsRecent,
    Not,
    Numbers,
    Or,
)
from mailcore.wire.message import body_structure
from mailcore.wire.message.body_section import Section
from mailcore.wire.message.headers import split_fields
from mailcore.wire.message.message_scan import scan_message
from mailcore.wire.message.mime import parse_message


def whole(read, text: bytes, *more):
    """Parse all of `text` with `read`."""
    cursor = Cursor(text)
    found = read(cursor, *more)
    cursor.end()
    return found


# --- Strings, dates, flags ------------------------------------------------------------------------


@given(st.binary(max_size=300).filter(lambda data: b"\0" not in data))
def test_a_string_is_read_back(data: bytes) -> None:
    assert whole(Cursor.string, response_format.format_string(data)) == data
    assert whole(Cursor.string, response_format.format_literal(data)) == data
    assert whole(Cursor.astring, response_format.format_string(data)) == data


@given(st.binary(max_size=100))
def test_a_binary_literal_keeps_its_zeros(data: bytes) -> None:
    assert whole(Cursor.string, response_format.format_literal8(data)) == data


@given(st.integers(0, 4102444800), st.sampled_from([0, 8 * 3600, -3600, 19800, -12600]))
def test_a_date_time_is_read_back(moment: int, offset: int) -> None:
    assert whole(Cursor.date_time, response_format.format_date_time(moment, offset)) == moment


@pytest.mark.parametrize(
    "text", [b'"32-Jan-2020 00:00:00 +0000"', b'"01-Foo-2020 00:00:00 +0000"', b'"1-Jan-2020"', b"x"]
)
def test_what_is_no_date_time(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        Cursor(text).date_time()


@pytest.mark.parametrize(
    ("flags", "keywords", "recent", "text"),
    [
        (0, "", False, b"()"),
        (1 | 4, "", False, b"(\\Flagged \\Seen)"),
        (2, "$Forwarded Junk", True, b"(\\Answered \\Recent $Forwarded Junk)"),
    ],
)
def test_flags(flags: int, keywords: str, recent: bool, text: bytes) -> None:
    assert response_format.format_flags(flags, keywords, recent) == text


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (Cursor.tag, b"+"), (Cursor.tag, b"*"), (Cursor.atom, b"("), (Cursor.atom, b"\xe4"),
        (Cursor.string, b"atom"), (Cursor.string, b'"open'), (Cursor.string, b'"bad \\escape"'),
        (Cursor.string, b"{5}\r\nabc"), (Cursor.number, b"-1"), (Cursor.number, b"99999999999999999999"),
        (Cursor.nz_number, b"0"), (Cursor.sequence_set, b"0"), (Cursor.sequence_set, b"1,,2"),
        (Cursor.sequence_set, b"1:"), (Cursor.sequence_set, b"4294967296"), (Cursor.date, b"1-Foo-2020"),
        (Cursor.flag, b"\\"), (Cursor.space, b"x"), (Cursor.keyword, b""),
    ],
)  # fmt: skip
def test_what_is_no_imap(read, text: bytes) -> None:
    with pytest.raises(BadSyntax):
        whole(read, text)


READERS = [
    Cursor.astring, Cursor.string, Cursor.flags, Cursor.sequence_set, Cursor.date_time, Cursor.date, Cursor.tag,
    fetch_syntax.parse_fetch_items, fetch_syntax.parse_modifiers, search_syntax.parse_program, search_syntax.parse_sort_criteria, list_syntax.parse_list_arguments, list_syntax.parse_status_items,
    lambda cursor: search_syntax.parse_return_options(cursor, fetch_syntax.parse_partial_range),
]  # fmt: skip
WORDS = st.sampled_from(
    b'( ) " \\ { } {3}\r\n {3+}\r\nabc * % 1:* $ , : . < > [ ] NIL BODY[ BODY.PEEK[HEADER.FIELDS ( FLAGS ALL OR NOT '
    b'UID 1 RETURN (MIN) SINCE 1-Jan-2020 SUBJECT "x" CHANGEDSINCE REVERSE DATE (STATUS) \xff \x00'.split(b" ")
)


@given(st.sampled_from(READERS), st.one_of(st.binary(max_size=60), st.lists(WORDS, max_size=12).map(b" ".join)))
def test_nothing_else_is_raised(read, text: bytes) -> None:
    with contextlib.suppress(BadSyntax, BadName, search_syntax.UnknownCharset):
        read(Cursor(text))


# --- Sets -----------------------------------------------------------------------------------------

ENDS = st.integers(0, 4294967295)  # 0 is "*"
RANGES = st.lists(st.tuples(ENDS, ENDS), min_size=1, max_size=8).map(tuple)


@given(RANGES)
def test_a_set_is_read_back(ranges) -> None:
    assert sequence_set.parse_ranges(sequence_set.format_ranges(ranges)) == ranges


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6).map(tuple), st.integers(1, 30)
)
def test_resolving_means_the_same_numbers(ranges, largest: int) -> None:
    meant = set()
    for low, high in ranges:
        low, high = sorted((low or largest, high or largest))
        meant |= set(range(low, high + 1))
    resolved = sequence_set.resolve_ranges(ranges, largest)
    assert {n for low, high in resolved for n in range(low, high + 1)} == meant
    assert all(one[1] + 1 < other[0] for one, other in pairwise(resolved))


@given(st.sets(st.integers(1, 60)))
def test_compressing_loses_nothing(numbers: set[int]) -> None:
    ranges = sequence_set.to_ranges(sorted(numbers))
    assert [n for low, high in ranges for n in range(low, high + 1)] == sorted(numbers)


# --- Names ----------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=40)


@given(TEXT)
def test_a_name_is_read_back(name: str) -> None:
    name = mailbox_names.canonical_name(name)
    assert mailbox_names.decode_utf7(mailbox_names.encode_utf7(name)) == name
    assert Cursor(mailbox_names.encode_name(name)).mailbox() == name
    assert Cursor(mailbox_names.encode_name(name, utf8=True), utf8=True).mailbox() == name


@given(TEXT)
def test_a_mailbox_has_a_folder_of_its_own(name: str) -> None:
    name = mailbox_names.canonical_name(name)
    if mailbox_names.find_name_error(name) is None:
        assert mailbox_names.name_of_folder(mailbox_names.maildir_folder(name)) == name
        assert "/" not in mailbox_names.maildir_folder(name)


@pytest.mark.parametrize(
    ("name", "wire", "folder"),
    [
        ("INBOX", b"INBOX", ""),
        ("Sent", b"Sent", ".Sent"),
        ("工作/2026.9", b"&XeVPXA-/2026.9", ".&XeVPXA-.2026&AC4-9"),
        ("R&D", b"R&-D", ".R&-D"),
        ("two words", b'"two words"', ".two words"),
    ],
)
def test_names(name: str, wire: bytes, folder: str) -> None:
    assert mailbox_names.encode_name(name) == wire
    assert mailbox_names.maildir_folder(name) == folder


@pytest.mark.parametrize("raw", [b"&", b"&AC4", b"&AGE-", b"a&-&b", b"\xe4\xb8\xad"])
def test_what_is_no_modified_utf7(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"modified UTF-7|8-bit"):
        mailbox_names.decode_name(raw)


@pytest.mark.parametrize(
    "name", ["", "a//b", "/a", "a/", " a", "a\nb", "a*", "x" * 256, "/".join("a" * 30), "..", "字" * 100]
)
def test_names_no_mailbox_may_have(name: str) -> None:
    assert mailbox_names.find_name_error(name) is not None


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "a/b", True), ("%", "a/b", False), ("%", "a", True), ("a/%", "a/b", True), ("a/%", "a/b/c", False),
        ("inbox", "INBOX", True), ("Inbox/*", "INBOX/a", True), ("a*c", "a/b/c", True), ("a.c", "abc", False),
        ("%/%", "a/b", True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert compile_pattern(pattern).matches(name) == matches


# --- FETCH ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "attributes", "contents"),
    [
        (b"ALL", ("FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE"), []),
        (b"fast", ("FLAGS", "INTERNALDATE", "RFC822.SIZE"), []),
        (b"(UID FLAGS UID)", ("UID", "FLAGS"), []),
        (b"BODY", ("BODY",), []),
        (b"BODY[]", (), [(b"BODY[]", Section(), False, "raw", None)]),
        (b"BODY.PEEK[1.2.MIME]<0.10>", (), [(b"BODY[1.2.MIME]", Section((1, 2), "MIME"), True, "raw", (0, 10))]),
        (
            b'(body.peek[header.fields (From "X Y")] RFC822.HEADER)',
            (),
            [
                (b'BODY[HEADER.FIELDS (FROM "X Y")]', Section((), "HEADER.FIELDS", ("FROM", "X Y")), True, "raw", None),
                (b"RFC822.HEADER", Section((), "HEADER"), True, "raw", None),
            ],
        ),
        (b"BINARY[2]<5.7>", (), [(b"BINARY[2]", Section((2,)), False, "binary", (5, 7))]),
        (b"BINARY.SIZE[]", (), [(b"BINARY.SIZE[]", Section(()), True, "binary size", None)]),
    ],
)
def test_what_fetch_asks_for(text: bytes, attributes, contents) -> None:
    found = whole(fetch_syntax.parse_fetch_items, text)
    assert found.attributes == attributes
    assert [(c.label, c.section, c.peek, c.kind, c.partial) for c in found.contents] == contents


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"()",
        b"NOTHING",
        b"BODY[0]",
        b"BODY[1.]",
        b"BODY[MIME]",
        b"BODY[TEXT]<0.0>",
        b"BODY[HEADER.FIELDS ()]",
        b"(ALL)",
        b"BODY[",
    ],
)
def test_what_fetch_does_not_know(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        whole(fetch_syntax.parse_fetch_items, text)


@given(
    st.lists(st.integers(1, 99), max_size=5).map(tuple),
    st.sampled_from(["", "HEADER", "TEXT", "MIME", "HEADER.FIELDS", "HEADER.FIELDS.NOT"]),
    st.lists(
        st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1).map(str.upper), min_size=1, max_size=3
    ),
)
def test_a_section_is_read_back(path, what, header_names) -> None:
    if what == "MIME" and not path:
        return
    section = Section(path, what, tuple(header_names) if "FIELDS" in what else ())
    [content] = whole(fetch_syntax.parse_fetch_items, fetch_syntax.format_section(section)).contents
    assert content.section == section


NESTED = b'Content-Type: message/rfc822\r\n\r\nFrom: "a\\"b" <c@d>, e@f\r\nSubject: \xc4\xe3\r\n\r\nx'
PICTURE = b'Content-Type: image/png\r\nContent-Disposition: attachment; filename="a)(.png"\r\n\r\nx\r\n--b--\r\n'


def test_body_is_bodystructure_without_extensions() -> None:
    messages = [
        b"\r\nhello",
        b'Content-Type: text/html; charset="\xff"\r\nContent-Language: en, de\r\n\r\nhello',
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\n" + NESTED + b"\r\n--b\r\n" + PICTURE,
    ]
    for message in messages:
        plain = body_structure.format_body(message, parse_message(message)).encode("latin-1")
        assert strip_extensions(scan_message(message).body_structure) == plain


# --- SEARCH ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (b"UNSEEN", Not(HasFlag(1))),
        (b"NEW", And((IsRecent(), Not(HasFlag(1))))),
        (b"1:3 UID 7", And((Numbers(((1, 3),), False), Numbers(((7, 7),), True)))),
        (b"OR SEEN (FLAGGED DRAFT)", Or((HasFlag(1), And((HasFlag(4), HasFlag(16)))))),
        (b"NOT KEYWORD Junk", Not(HasKeyword("Junk"))),
        (b'SENTSINCE "1-Feb-1970"', Day("sent", ">=", 31)),
        (b"SUBJECT {6}\r\n\xe4\xbd\xa0\xe5\xa5\xbd", HeaderContains("subject", "你好")),
        (b'HEADER "X-Spam" ""', HeaderContains("x-spam", "")),
        (b"BODY \xef\xbc\xa1".replace(b"\xef\xbc\xa1", b'"\xef\xbc\xa1"'), Contains("body", "a")),
        (b"$", Numbers(sequence_set.SAVED_RESULT, False)),
    ],
)
def test_what_search_means(text: bytes, key) -> None:
    assert whole(search_syntax.parse_program, text) == key


@pytest.mark.parametrize(
    "text", [b"", b"SUBJECT", b"FROM ", b"NO", b"OR SEEN", b"(SEEN", b"SEEN)", b"SINCE yesterday", b"(" * 200]
)
def test_what_search_does_not_know(text: bytes) -> None:
    with pytest.raises(BadSyntax):
        whole(search_syntax.parse_program, text)


def test_the_charset_is_heeded() -> None:
    assert whole(search_syntax.parse_program, b'TEXT "\xc4\xe3\xba\xc3"', "GB2312") == Contains("text", "你好")
    with pytest.raises(search_syntax.UnknownCharset):
        whole(search_syntax.parse_program, b"ALL", "X-NONE")
    with pytest.raises(BadSyntax):
        whole(search_syntax.parse_program, b'TEXT "\xc4\xe3"', "UTF-8")


def test_listing_arguments() -> None:
    found = whole(
        list_syntax.parse_list_arguments,
        b'(SUBSCRIBED RECURSIVEMATCH) "" (INBOX "a/%") RETURN (CHILDREN STATUS (MESSAGES UNSEEN))',
    )
    assert found.patterns == ("INBOX", "a/%")
    assert found.extended
    assert found.selections == {"SUBSCRIBED", "RECURSIVEMATCH"}
    assert (found.returns, found.status) == ({"CHILDREN"}, ("MESSAGES", "UNSEEN"))


def test_utf7_is_what_other_software_writes() -> None:
    """Modified UTF-7 of a name, by its definition: base64 of UTF-16 with a comma for the slash."""
    for name in ("台北", "日本語", "ü", "😀", "\x7f"):
        coded = base64.b64encode(name.encode("utf-16-be")).rstrip(b"=").replace(b"/", b",")
        assert mailbox_names.encode_utf7(name) == b"&" + coded + b"-"


def test_header_fields_are_found_however_they_are_folded() -> None:
    fields = split_fields(b"A: 1\r\n 2\r\nb : 3\r\nnot a field\r\nC:\r\n\td\r\n\r\n")
    assert [(name, re.sub(r"\s+", " ", value)) for name, value in fields] == [("a", "1 2"), ("b", "3"), ("c", "d")]
