"""The order of SORT: i;unicode-casemap, and i;ascii-casemap within it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.message.casemap import casemap


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", ""),
        ("a_B[c]", "A_B[C]"),
        ("é", "E\u0301"),
        ("ё", "Е\u0308"),
        ("\u01c4", "Dz\u030c"),  # the example of RFC 5051 §2
        ("ß", "ß"),
        ("ａ", "A"),
        ("北京", "北京"),
        ("a\0b", "AB"),
    ],
)
def test_keys(text: str, key: str) -> None:
    assert casemap(text) == key


def test_the_order() -> None:
    """RFC 4790 §9.2: letters become upper case, so that they precede "[", "_" and "`"."""
    words = ["0", "Zeta", "a", "alpha", "a_b", "ab", "[x]", "_", "eta", "éta", "ezra", "ёлка", "еж", "жук", "北"]
    assert sorted(words, key=casemap) == [
        "0", "a", "ab", "alpha", "a_b", "eta", "ezra", "éta", "Zeta", "[x]", "_", "ёлка", "еж", "жук", "北"
    ]  # fmt: skip


@given(st.text())
def test_a_key_is_its_own_key_for_ascii_and_never_longer_than_stored(text: str) -> None:
    key = casemap(text)
    assert "\0" not in key
    if text.isascii():
        assert casemap(key) == key
