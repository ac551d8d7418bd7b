"""Addresses as they come from servers and from people's keyboards."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.values.addresses import Address, InvalidAddress, parse_envelope, parse_header, parse_typed

TYPED = {
    "one": ("lisi@benet.com", [("", "lisi@benet.com")]),
    "with a name": ("李四 <lisi@benet.com>", [("李四", "lisi@benet.com")]),
    "quoted name": ('"Li, Si" <lisi@benet.com>', [("Li, Si", "lisi@benet.com")]),
    "quoted quote": (r'"Li \"Four\" Si" <lisi@benet.com>', [('Li "Four" Si', "lisi@benet.com")]),
    "commas": ("a@b.cn,c@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "semicolons": ("a@b.cn; c@d.cn;", [("", "a@b.cn"), ("", "c@d.cn")]),
    "lines": ("a@b.cn\r\nc@d.cn\n", [("", "a@b.cn"), ("", "c@d.cn")]),
    "full-width comma": ("a@b.cn，c@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "enumeration comma": ("a@b.cn、c@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "full-width semicolon and at": ("a＠b.cn；c@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "full-width brackets": ("李四＜lisi@benet.com＞", [("李四", "lisi@benet.com")]),
    "twice": ("a@b.cn, A@B.cn", [("", "a@b.cn")]),
    "extension": ("lisi+news@benet.com", [("", "lisi+news@benet.com")]),
    "international domain": ("a@例子.中国", [("", "a@xn--fsqu00a.xn--fiqs8s")]),
    "between spaces": ("a@b.cn c@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "between tabs": ("a@b.cn\tc@d.cn", [("", "a@b.cn"), ("", "c@d.cn")]),
    "columns of a spreadsheet": ("李四\ta@b.cn\n王五\tc@d.cn\t", [("李四", "a@b.cn"), ("王五", "c@d.cn")]),
    "a web address": ("mailto:a@b.cn", [("", "a@b.cn")]),
    "a comment": ("a@b.cn (李四)", [("李四", "a@b.cn")]),
    "zero-width spaces": ("\u200ba@b.cn\ufeff, \u202ac@d.cn\u202c", [("", "a@b.cn"), ("", "c@d.cn")]),
    "full-width letters": ("ｌｉｓｉ＠ｂｅｎｅｔ．ｃｏｍ", [("", "lisi@benet.com")]),
    "a group": ("同事: a@b.cn, c@d.cn;", [("", "a@b.cn"), ("", "c@d.cn")]),
    "book-title marks": ("李四《lisi@benet.com》", [("李四", "lisi@benet.com")]),
    "a no-break space": ("李四\xa0<a@b.cn>", [("李四", "a@b.cn")]),
    "nothing": (" , ;\n", []),
}
WRONG = ["lisi", "lisi@", "@benet.com", "a b@c.cn", "a@b..cn", "<>", "李四 <lisi>", "a@b.cn\0", "a@b.cn\x1b", "a@b@c.cn", "x" * 70 + "@b.cn", "a@b.cn c", "【a@b.cn】", "a@b.cn…", "c:"]  # fmt: skip


@pytest.mark.parametrize(("text", "found"), TYPED.values(), ids=TYPED.keys())
def test_what_people_type(text: str, found: list[tuple[str, str]]) -> None:
    assert [(a.name, a.mail) for a in parse_typed(text)] == found


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_address_is_said_so(text: str) -> None:
    with pytest.raises(InvalidAddress):
        parse_typed(text)


@given(
    st.text(min_size=1, max_size=40).filter(lambda t: t.isprintable() and t.strip() == t and t == " ".join(t.split()))
)
def test_a_name_comes_back_from_the_header_as_it_went(name: str) -> None:
    message = email.message_from_string(
        f"To: {Address(name, 'lisi@benet.com').coded}\n\n", policy=email.policy.compat32
    )
    assert parse_header(message["To"]) == (Address(name, "lisi@benet.com"),)


@given(st.text(max_size=200))
def test_a_header_never_holds_a_line_end(name: str) -> None:
    """Names come from options and address books too: whatever they hold, one field stays one field."""
    try:
        people = parse_typed(f'"{name}" <lisi@benet.com>')
    except InvalidAddress:
        return
    for person in people:
        assert "\n" not in person.coded.replace("\r\n ", "")
        assert "\r" not in person.coded.replace("\r\n ", "")


@given(st.text(alphabet="王a é李", min_size=1, max_size=150), st.sampled_from(["a@b.cn", "a" * 60 + "@example.cn"]))
def test_no_line_of_a_header_is_longer_than_rfc_2047_allows(name: str, mail: str) -> None:
    """An encoded word has at most 75 bytes, a line with one at most 76 (RFC 2047 §2)."""
    for line in f"From: {Address(name, mail).coded}".split("\r\n"):
        assert len(line) <= 76 or "=?" not in line
        assert all(len(word) <= 75 for word in line.split() if word.startswith("=?"))


def test_an_envelope_with_a_group() -> None:
    group = (
        (None, None, b"friends", None),
        (b"=?gb2312?B?wO7LxA==?=", None, b"lisi", b"benet.com"),
        (None, None, None, None),
    )
    assert parse_envelope(group) == (Address("李四", "lisi@benet.com"),)


def test_an_encoded_comma_does_not_part_addresses() -> None:
    assert parse_header("=?utf-8?q?Li=2C_Si?= <lisi@benet.com>") == (Address("Li, Si", "lisi@benet.com"),)
