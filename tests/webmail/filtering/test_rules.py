"""Filters as pages show them and as a script: nothing changes on the way there and back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailcore.wire.sieve.compiler import compile_script
from webmail.filtering import rules
from webmail.filtering.rules import Action, Condition, FilterSet, Rule, UnknownScript, VacationSettings

words = st.text(alphabet="ab会议*?\\\"'. ;{}#@-", min_size=1, max_size=12).map(str.strip).filter(bool)
mails = st.sampled_from(["a@b.example", "李四@benet.com", "x+y@z.example"])
conditions = st.one_of(
    st.builds(Condition, st.sampled_from(["from", "to", "cc", "anyone", "subject", "body", "list"]), st.sampled_from(rules.HOWS), words),
    st.builds(Condition, st.just("header"), st.sampled_from(rules.HOWS), words, st.sampled_from(["x-spam", "x-score"])),
    st.builds(Condition, st.sampled_from(["larger", "smaller"]), st.just("contains"), st.integers(1, 9999).map(str)),
    st.just(Condition("all")),
)  # fmt: skip
actions = st.one_of(
    st.builds(Action, st.sampled_from(["move", "copy"]), words),
    st.builds(Action, st.just("label"), st.sampled_from(["work", "$later"])),
    st.builds(Action, st.sampled_from(["star", "read", "discard"])),
    st.builds(Action, st.sampled_from(["forward", "pass"]), mails),
)
ordered = st.lists(actions, min_size=1, max_size=4).map(
    lambda found: tuple(sorted(found, key=lambda action: action.kind not in ("label", "star", "read")))
)
some_rules = st.builds(
    lambda name, of, acts, any_of, stop, enabled: Rule(name, tuple(of), acts, any_of and len(of) > 1, stop, enabled),
    words.map(lambda name: " ".join(name.split())),
    st.lists(conditions, min_size=1, max_size=3),
    ordered,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
some_away = st.builds(
    VacationSettings,
    words,
    st.one_of(st.just(""), words),
    st.integers(1, 30),
    st.lists(mails, unique=True, max_size=2).map(tuple),
    st.sampled_from(["", "2026-09-01"]),
    st.sampled_from(["", "2026-09-30"]),
    st.booleans(),
)
filters = st.builds(
    lambda found, away, blocked: FilterSet(tuple(found), away, tuple(sorted(blocked, key=lambda each: each[0] == "@"))),
    st.lists(some_rules, max_size=3),
    st.one_of(st.just(VacationSettings()), some_away),
    st.lists(st.sampled_from(["a@b.example", "@spam.example", "c@d.example"]), unique=True),
)


@settings(max_examples=300, deadline=None)
@given(filters)
def test_there_and_back(given_filters):
    script = rules.render_script(given_filters)
    compile_script(script)  # the server takes it
    assert rules.parse_script(script) == given_filters


@pytest.mark.parametrize(
    "script",
    [
        "keep;",
        'require "fileinto"; fileinto "x";',
        'if true { keep; } else { discard; }',
        'if header :contains ["subject", "x-other"] "a" { discard; }',
        'if header :contains "subject" ["a", "b"] { discard; }',
        'if not true { discard; }',
        'require "vacation"; vacation :mime "x";',
        'if true { if true { discard; } }',
        'redirect',
    ],
)  # fmt: skip
def test_what_the_pages_cannot_show_they_do_not_touch(script):
    with pytest.raises(UnknownScript):
        rules.parse_script(script)
