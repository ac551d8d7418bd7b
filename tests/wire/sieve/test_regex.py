"""Regular expressions in scripts: POSIX's, without backtracking."""

import functools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.sieve.compiler import EXTENSIONS, compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.regex import Regex, RegexError, RegexLimits
from mailcore.wire.sieve.results import Envelope, Keep, ScriptEnvironment, SieveResult, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
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
        ("(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)", "abcdefghij", ("abcdefghij", *"abcdefghij")),
        ("(a)" * 33, "a" * 33, ("a" * 33, *"a" * 31)),
        # the longest match, and in it the longest text for what stands first
        ("a|ab", "ab", ("ab",)),
        ("(a|ab)(c|bcd)(d*)", "abcd", ("abcd", "ab", "c", "d")),
        ("(a*)(ab)*(b*)", "abb", ("abb", "a", "-", "bb")),
        ("(a|ab|b)*", "abab", ("abab", "ab")),
        ("((a)|b)*", "ab", ("ab", "b", "-")),
        ("(a*)*", "b", ("", "")),
        ("(a*)+", "aa", ("aa", "aa")),
        ("(a*){2}", "aa", ("aa", "")),
        ("(a*)*b", "aab", ("aab", "aa")),
        ("x*", "axx", ("",)),
        # where POSIX leaves it to the implementation, as glibc
        ("a{,3}b", "aaaab", ("aaab",)),
        ("a{,}b", "aaaab", ("aaaab",)),
        ("x{1,300}", "x" * 400, ("x" * 300,)),
        ("a)", "(a)", ("a)",)),
        ("(a))", "(a)", ("a)", "a")),
        ("a}", "a}", ("a}",)),
        ("a||b", "b", ("b",)),
        ("a||b", "x", ("",)),
        ("a**", "aaa", ("aaa",)),
        ("a+*b", "b", ("b",)),
        ("(){5}", "x", ("", "")),
        ("(^a)b", "ab", ("ab", "a")),
        ("a^b", "a^b", None),
        ("a$b", "a$b", None),
        (r"\w+", "你好_1 b", ("你好_1",)),
        (r"\W+", "ab -c", (" -",)),
        (r"\S+\s\S", " ab\tc", ("ab\tc",)),
        (r"\bcat\b", "concat cat", ("cat",)),
        (r"\Bcat", "cat concat", ("cat",)),
        (r"\<(.)", "- xy", ("x", "x")),
        (r"(.)\>", "xy -", ("y", "y")),
        (r"\`a\'", "a", ("a",)),
        (r"\`a\'", "ba", None),
        (r"\d\.\n", "d.n", ("d.n",)),
        ("[[=a=]b]+", "xab", ("ab",)),
        ("[[.hyphen.][.-.][.space.]]+", "a- b", ("- ",)),
        ("[[.a.]-c]+", "xabcd", ("abc",)),
        ("[a-]+", "b-a", ("-a",)),
        ("[%--]+", "+,-", ("+,-",)),
        ("[[:punct:]]+", "a。!b", ("。!",)),
        (r"[\]+", r"a\b", ("\\",)),
        ("[[:alpha:][:digit:]]+", "-a1-", ("a1",)),
    ],
)
def test_a_pattern(pattern: str, text: str, found: tuple[str, ...] | None) -> None:
    assert match(pattern, text) == found


def test_the_case_of_letters() -> None:
    assert match("[A-F]+ straße", "ab STRASSE", ignore_case=True) is None
    assert match("[A-F]+ ÉT", "ab ét", ignore_case=True) == ("ab ét",)
    assert match("a", "A") is None
    assert match("[[:upper:]]+", "ab", ignore_case=True) == ("ab",)
    assert match("[A-z]", "_", ignore_case=True) is None  # both ends are in upper case, as glibc has it
    assert match("[^a]", "Aa", ignore_case=True) is None


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "without )"),
        ("[a", "too early"),
        ("*", "nothing to repeat"),
        ("a{", "without numbers"),
        ("a{3,2}", "cannot be"),
        ("a{32768}", "more than 32767"),
        ("a{99999999999999999999}", "more than 32767"),
        ("a{1,2,3}", "without numbers"),
        ("a{}", "without numbers"),
        ("a{x}", "without numbers"),
        ("{2}a", "nothing to repeat"),
        ("^*", "nothing to repeat"),
        ("a|*b", "nothing to repeat"),
        (r"\b+", "nothing to repeat"),
        (r"(a)\1", r"back-references such as \1"),
        ("[a-c-e]", "neither first nor last"),
        ("[[:alpha:]-z]", "cannot be"),
        ("[[=a=]-z]", "cannot be"),
        ("[[.letter.]]", "no character"),
        ("[[:alpha", "too early"),
        ("[]", "too early"),
        ("[z-a]", "cannot be"),
        ("[[:letter:]]", "no class"),
        ("\\", "too early"),
        ("(" * 120 + ")" * 120, "nested"),
        ("a" + "{1}" * 120, "repetitions"),
        ("a{32767}", "too large"),
        ("(){32767}", "too large"),
        ("(a{255}){255}", "too large"),
        ("a" * 4001, "too long"),
    ],
)
def test_what_is_no_pattern(pattern: str, words: str) -> None:
    with pytest.raises(RegexError, match=re.escape(words)):
        Regex(pattern, ignore_case=False)


_ATOMS = st.sampled_from(["a", "b", "ab", ".", "[ab]", "x", ""])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("({0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{0,2}", "{2,}", ""])).map(
            lambda given: f"({given[0]})" + given[1]
        ),
    ),
    max_leaves=6,
)


@given(_PATTERNS, st.text(alphabet="abx ", max_size=8))
def test_the_match_is_the_leftmost_and_the_longest(pattern: str, text: str) -> None:
    """Python's engine tells of each part of the text if the pattern matches just that; groups lie one in the other."""
    known = re.compile(pattern, re.DOTALL)
    spans = Regex(pattern, ignore_case=False).search(text, lambda: None)
    every = ((low, high) for low in range(len(text) + 1) for high in range(len(text), low - 1, -1))
    wanted = next((span for span in every if known.fullmatch(text, *span)), None)
    assert (spans and spans[0]) == wanted
    if spans and wanted:
        assert all(span == (-1, -1) or wanted[0] <= span[0] <= span[1] <= wanted[1] for span in spans[1:])


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|a)*b", "(a*)*b", "(a?){50}a{50}b", "([^b]*[^c]*)*d", "(a|b)*a(a|b){200}", "((a)*)*"]
)
def test_no_pattern_backtracks(pattern: str) -> None:
    """Sets of states are counted, each of which costs at most one step for each state."""
    counts = []
    for length in (500, 5000):
        machine = Regex(pattern, ignore_case=False)
        counted = 0
        steps = {name: getattr(machine._automaton, name) for name in ("reach", "reach_back")}

        def count(*given, step):
            nonlocal counted
            counted += 1
            return step(*given)

        for name, step in steps.items():
            setattr(machine._automaton, name, functools.partial(count, step=step))
        machine.search("ab" * (length // 2) if "b)*" in pattern else "a" * length, lambda: None)
        counts.append(counted)
    assert counts[1] <= max(counts[0], 100) * 15


def test_all_of_a_long_text_is_looked_at() -> None:
    text = "a" * 999_999 + "b"
    assert match("b", text) == ("b",)
    assert match("^(a*)(b)$", text) == (text, text[:-1], "b")
    assert match(r"\bc", text) is None
    assert match("^c", text) is None


def test_the_clock_is_looked_at() -> None:
    """An endless match ends as a fault of the script."""

    class TooLongError(Exception):
        pass

    def stop() -> None:
        nonlocal looks
        looks += 1
        if looks > 20:
            raise TooLongError

    for pattern in ("(a|b)*a(a|b){500}", "b", "^(.*)(.*)$"):
        looks = 0
        with pytest.raises(TooLongError):
            Regex(pattern, ignore_case=False).search("ab" * 100_000, stop)


def test_characters_of_many_scripts() -> None:
    text = "".join(map(chr, range(0x4E00, 0x9FA5))) + "通知"
    assert match("龤.*通知$", text) == (text[text.index("龤") :],)


def run(script: str) -> SieveResult:
    required = ", ".join(f'"{name}"' for name in EXTENSIONS if name != "ihave")
    content = b"Subject: [List] Hello\r\nX-A: a.c\r\n\r\n"
    around = ScriptEnvironment(now=0.0, has_mailbox=lambda _: False, mailbox_for=lambda _: "", was_seen=lambda _: False)
    return run_script(
        compile_script(f"require [{required}]; {script}"), SieveMessage(content, Envelope("", "a@b.cn")), around
    )


def test_limits_of_a_pattern() -> None:
    assert Regex("a{20}", ignore_case=False, limits=RegexLimits(states=20)).search("a" * 20, lambda: None)
    with pytest.raises(RegexError, match="too large"):
        Regex("a{21}", ignore_case=False, limits=RegexLimits(states=20))
    with pytest.raises(RegexError, match="too long"):
        Regex("aaa", ignore_case=False, limits=RegexLimits(length=2))
    with pytest.raises(SieveError, match="too large"):
        compile_script('require "regex"; if header :regex "x" "a{21}" { stop; }', RegexLimits(states=20))


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
