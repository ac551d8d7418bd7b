"""Results of spam and virus filters as scripts test them (RFC 5235)."""

import pytest

from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.extensions import filter_scores
from mailcore.wire.sieve.extensions.filter_scores import ScoreSource
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.regex import DEFAULT_LIMITS
from mailcore.wire.sieve.results import Envelope, ScriptEnvironment
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

REQUIRED = 'require ["spamtestplus", "virustest", "relational", "comparator-i;ascii-numeric"];\n'
NUMERIC = ':comparator "i;ascii-numeric"'


def is_true(test: str, *, spam: float | None = None, virus: float | None = None) -> bool:
    around = ScriptEnvironment(
        now=0.0,
        has_mailbox=lambda _: True,
        mailbox_for=lambda _: "",
        was_seen=lambda _: False,
        spam_ratio=lambda _: spam,
        virus_ratio=lambda _: virus,
    )
    script = compile_script(f"{REQUIRED}if {test} {{ discard; }}")
    return not run_script(script, SieveMessage(b"A: 1\r\n\r\n", Envelope("", "lisi@benet.com")), around).keeps


@pytest.mark.parametrize(
    ("ratio", "spam", "percent", "virus"),
    [(None, 0, 0, 0), (0.0, 1, 0, 1), (0.05, 1, 5, 1), (0.5, 5, 50, 3), (0.999, 9, 99, 4), (1.0, 10, 100, 5)],
)
def test_results_are_numbers(ratio, spam, percent, virus):
    assert is_true(f'spamtest "{spam}"', spam=ratio)
    assert is_true(f'spamtest :percent "{percent}"', spam=ratio)
    assert is_true(f'virustest "{virus}"', virus=ratio)
    assert is_true(f'not spamtest "{spam + 1}"', spam=ratio)


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        (f'spamtest :value "ge" {NUMERIC} "7"', True),
        (f'spamtest :value "gt" {NUMERIC} "10"', False),
        (f'spamtest :percent :value "ge" {NUMERIC} "80"', True),
        (f'spamtest :count "eq" {NUMERIC} "1"', True),
        (f'virustest :count "eq" {NUMERIC} "0"', True),
        (f'virustest :value "eq" {NUMERIC} "0"', True),
    ],
)
def test_comparisons(test, holds):
    assert is_true(test, spam=0.8) is holds


def test_spamtestplus_is_needed_for_percent():
    with pytest.raises(SieveError, match="spamtestplus"):
        compile_script('require "spamtest"; if spamtest :percent "1" { }')
    with pytest.raises(SieveError, match="spamtest"):
        compile_script('if spamtest "1" { }')


HEADER = (
    b"X-Spam-Status: No, score=3.5 required=5.0 tests=A\r\nX-Spam-Level: ****\r\nX-Virus: Suspicious\r\n"
    b"X-Spam-Status: Yes, score=99\r\nX-Empty:\r\nX-Number: 7 of 10\r\n\r\n"
)
VIRUS = ("unknown", "clean", "cured", "suspicious", "infected")


@pytest.mark.parametrize(
    ("source", "ratio"),
    [
        (ScoreSource("X-Spam-Status: score=(-?[[:digit:].]+)", max_value="5"), 0.7),
        (ScoreSource("X-Spam-Status:score=[0-9.]+", max_value="5"), None),  # "score=3.5" is no number
        (ScoreSource("x-spam-status: score=([0-9.]+)", max_header="X-Spam-Status: required=([0-9.]+)"), 0.7),
        (ScoreSource("X-Spam-Level", "strlen", "10"), 0.4),
        (ScoreSource("X-Spam-Level", "strlen", "2"), 1.0),
        (ScoreSource("X-Empty", "strlen", "2"), 0.0),
        (ScoreSource("X-Virus", "text", texts=VIRUS), 2 / 3),
        (ScoreSource("X-Virus", "text", texts=("suspicious", "clean", "infected")), None),
        (ScoreSource("X-Virus", "text", texts=()), None),
        (ScoreSource("X-Number", max_value="10"), 0.7),
        (ScoreSource("X-Number", max_value="-10"), None),
        (ScoreSource("X-Number", max_value=""), None),
        (ScoreSource("X-Number", max_value="1e400"), 1.0),
        (ScoreSource("X-None", max_value="10"), None),
        (ScoreSource("X-Number: (", max_value="10"), None),
        (ScoreSource("", max_value="10"), None),
    ],
)
def test_where_a_result_stands(source, ratio):
    message = SieveMessage(HEADER, Envelope("", "lisi@benet.com"))
    found = filter_scores.find_ratio(source, message, DEFAULT_LIMITS, lambda: None)
    assert found == (None if ratio is None else pytest.approx(ratio))
