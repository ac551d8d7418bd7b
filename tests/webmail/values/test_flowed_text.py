"""format=flowed (RFC 3676)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmail.values.flowed_text import join_flowed_lines

# the text as it was sent, as it is read
FLOWED = {
    "a paragraph": ("The quick brown fox jumps over \nthe lazy dog.", "The quick brown fox jumps over the lazy dog."),
    "fixed lines": ("one\ntwo", "one\ntwo"),
    "an empty line": ("one \ntwo\n\nthree", "one two\n\nthree"),
    "a quotation": ("> one \n> two\n> three", "> one two\n> three"),
    "levels of quotation": (">> one \n> two \nthree", ">> one\n> two\nthree"),
    "space-stuffing": (" >not quoted\n From me \nto you", ">not quoted\nFrom me to you"),
    "a signature": ("text \n-- \nname", "text\n-- \nname"),
    "a quoted signature": ("> text \n> -- \n> name", "> text\n> -- \n> name"),
    "a line that goes on nowhere": ("one ", "one"),
}


@pytest.mark.parametrize(("sent", "read"), FLOWED.values(), ids=FLOWED.keys())
def test_lines_are_joined(sent: str, read: str) -> None:
    assert join_flowed_lines(sent) == read


def test_the_space_at_the_end_is_deleted_where_words_have_none() -> None:
    assert join_flowed_lines("这是一个很长的 \n段落。", delete_space=True) == "这是一个很长的段落。"
    assert join_flowed_lines("two  \nwords", delete_space=True) == "two words"


@given(st.text(alphabet="> a-\n", max_size=80))
def test_no_character_but_spaces_and_line_ends_is_lost(text: str) -> None:
    assert join_flowed_lines(text).count("a") == text.count("a")
