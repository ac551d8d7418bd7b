"""Regular expressions in scripts: POSIX's, without backtracking."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.sieve import regex
from mailcore.wire.sieve.compiler import EXTENSIONS, compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.regex import Regex, RegexError
from mailcore.wire.sieve.results import Envelope, Keep, ScriptEnvironment, SieveResult, SieveRunError
from mailcore.wire.sieve.sieve_message import SieveMessage


def match(pattern: str, text: str, *, ignore_case: bool = False) -> tuple[str, ...] | None:
    spans = Regex(pattern, ignore_case=ignore_case).search(text, lambda: None)
    return None if spans is None else tuple(text[start:end] if start >= 0 else "-" for start, end in spans)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a(b|c)d", "xxabdyy", ("abd", "b")),
        ("^[[:digit:]]{2,4}$", "123", ("123",)),
        ("^[[:digit:]]{2,4}$", "12345", None),
        (r"\[([^]]*)\] (.*)", "[列表] 你好", ("[列表] 你好", "列表", "你好")),
        ("([^@]+)@(.*)", "li@benet.com", ("li@benet.com", "li", "benet.com")),
        ("[]a-c]+", "x]ab", ("]ab",)),
        ("[^a-c-]", "a-d", ("d",)),
        ("(x)?y", "y", ("y", "-")),
        ("(a|ab)(c|bcd)", "abcd", ("abcd", "a", "bcd")),
        ("a{0}b", "ab", ("b",)),
        ("()", "x", ("", "")),
        ("", "x", ("",)),
        ("a.c", "a\nc", ("a\nc",)),
        ("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)", "abcdefghij", ("abcdefghij", *"abcdefghi")),
    ],
)
def test_a_pattern(pattern: str, text: str, found: tuple[str, ...] | None) -> None:
    assert match(pattern, text) == found


def test_the_case_of_letters() -> None:
    assert match("[A-F]+ straße", "ab STRASSE", ignore_case=True) is None
    assert match("[A-F]+ ÉT", "ab ét", ignore_case=True) == ("ab ét",)
    assert match("a", "A") is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "without )"),
        (")", "without ("),
        ("[a", "too early"),
        ("*", "nothing to repeat"),
        ("a{", "without numbers"),
        ("a{3,2}", "cannot be"),
        ("a{256}", "cannot be"),
        ("[z-a]", "cannot be"),
        ("[[:letter:]]", "no class"),
        ("\\", "too early"),
        ("(" * 60 + ")" * 60, "nested"),
        ("(a{255}){255}", "too large"),
        ("a" * 1001, "too long"),
    ],
)
def test_what_is_no_pattern(pattern: str, words: str) -> None:
    with pytest.raises(RegexError, match=re.escape(words)):
        Regex(pattern, ignore_case=False)


@given(st.text(alphabet="ab(|)*+.[^$]x", max_size=8), st.text(alphabet="abx", max_size=8))
def test_pythons_engine_finds_the_same(pattern: str, text: str) -> None:
    """Patterns with brackets or two repetitions in a row are left out: the two read them differently."""
    if re.search(r"[*+][*+]|\[", pattern):
        return
    try:
        theirs = re.compile(pattern).search(text)
        ours = match(pattern, text)
    except (re.error, RegexError):
        return
    assert (ours and ours[0]) == (theirs and theirs[0])


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(a*)*b", "(a?){50}a{50}b", "([^b]*[^c]*)*d"])
def test_no_pattern_backtracks(pattern: str) -> None:
    """Each character costs at most one step for each state."""
    steps = []
    for length in (50, 500):
        machine = Regex(pattern, ignore_case=False)
        seen = 0
        follow = machine._follow

        def counted(threads, at, end, follow=follow):
            nonlocal seen
            out = follow(threads, at, end)
            seen += len(out)
            return out

        machine._follow = counted  # type: ignore[method-assign]
        machine.search("a" * length, lambda: None)
        assert seen <= len(machine._states) * (length + 1)
        steps.append(seen)
    assert steps[1] <= steps[0] * 15


def test_only_so_much_of_a_text_is_looked_at() -> None:
    assert match("b", "a" * (regex.MAX_TEXT - 1) + "b") == ("b",)
    assert match("b", "a" * regex.MAX_TEXT + "b") is None


def run(script: str) -> SieveResult:
    required = ", ".join(f'"{name}"' for name in EXTENSIONS if name != "ihave")
    content = b"Subject: [List] Hello\r\nX-A: a.c\r\n\r\n"
    around = ScriptEnvironment(now=0.0, has_mailbox=lambda _: False, mailbox_for=lambda _: "", was_seen=lambda _: False)
    return run_script(
        compile_script(f"require [{required}]; {script}"), SieveMessage(content, Envelope("", "a@b.cn")), around
    )


def test_groups_become_variables() -> None:
    made = run(r'if header :regex "subject" "^\\[([^]]+)\\] (.*)" { fileinto "${1}/${2}"; }')
    assert made.keeps == (Keep("List/Hello"),)


def test_the_comparator_decides_on_case() -> None:
    assert run('if header :regex "subject" "hello$" { discard; }').keeps == ()
    assert run('if header :comparator "i;octet" :regex "subject" "hello$" { discard; }').keeps == (Keep(),)


def test_a_text_is_quoted_for_a_pattern() -> None:
    assert run('set :quoteregex "q" "a.c"; if header :regex "x-a" "^${q}$" { discard; }').keeps == ()
    assert run('set :quoteregex "q" "a.c"; if string :regex "abc" "^${q}$" { discard; }').keeps == (Keep(),)


def test_a_pattern_that_only_shows_at_run_time() -> None:
    with pytest.raises(SieveRunError, match="no regular expression"):
        run('set "p" "("; if header :regex "subject" "${p}" { keep; }')
