"""LIST patterns: the same answers as their definition gives, one step a character of the name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap.list_pattern import compile_pattern


def by_definition(pattern: str, name: str) -> bool:
    """RFC 9051 §6.3.9, as slow as it is plain: a table of what prefixes match what prefixes."""
    row = [True] + [False] * len(name)
    for token in pattern:
        after = [token in "*%" and row[0]]
        for at, character in enumerate(name):
            if token == "*":
                after.append(after[at] or row[at + 1])
            elif token == "%":
                after.append((after[at] and character != "/") or row[at + 1])
            else:
                after.append(row[at] and token == character)
        row = after
    return row[-1]


@given(st.text("ab/*%", max_size=10), st.text("ab/", max_size=12))
def test_matching_is_as_defined(pattern: str, name: str) -> None:
    assert compile_pattern(pattern).matches(name) == by_definition(pattern, name)


class Counted(str):
    """A name that counts how often one of its characters is looked at."""

    __slots__ = ("looks",)

    def __getitem__(self, at):
        self.looks = getattr(self, "looks", 0) + 1
        return str.__getitem__(self, at)


@pytest.mark.parametrize(
    "pattern", ["*a" * 25 + "*b", "%a" * 25 + "%b", "*%a" * 25 + "*b", "*" * 5000 + "b", "*a%" * 60, "%/*" * 25 + "ab*"]
)
@pytest.mark.parametrize("name", ["a" * 255, "a/" * 127, "a" * 254 + "b"])
def test_a_name_costs_one_step_a_character(pattern: str, name: str) -> None:
    counted = Counted(name)
    found = compile_pattern(pattern).matches(counted)
    assert getattr(counted, "looks", 0) <= len(name)
    assert found == by_definition(pattern.replace("*" * 5000, "*"), name)


@pytest.mark.parametrize("pattern", ["inbox", "Inbox/*", "iNBOX*", "inbox%"])
def test_inbox_is_matched_in_any_case(pattern: str) -> None:
    assert compile_pattern(pattern).matches("INBOX" + ("/a" if pattern.endswith("/*") else ""))


def test_a_pattern_of_64_kilobytes() -> None:
    assert not compile_pattern("*a" * 32768).matches("a" * 255)
