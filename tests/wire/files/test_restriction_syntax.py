"""Restriction lists as text: every keyword, what must follow it, and which lists keep strangers out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.mta.policy.restrictions.restriction_lists import _CHECKS
from mailcore.wire.files.restriction_syntax import (
    GUARDS,
    KEYWORDS,
    OLDER,
    RestrictionError,
    parse_restrictions,
    stops_open_relay,
)


def test_every_keyword_has_its_meaning():
    assert set(_CHECKS) == set(KEYWORDS)
    assert set(OLDER.values()) <= set(KEYWORDS)
    assert set(KEYWORDS) >= GUARDS


restrictions = st.sampled_from(sorted(KEYWORDS)).map(
    lambda name: {"": [name], "table": [name, "hash:t"], "zone": [name, "bl.example"], "service": [name, "inet:h:1"]}[
        KEYWORDS[name]
    ]
)


@given(st.lists(restrictions, max_size=8))
def test_a_list_survives_being_written_and_read(lists):
    words = [word for each in lists for word in each]
    parsed = parse_restrictions(words)
    assert [word for restriction in parsed for word in str(restriction).split()] == words
    assert parse_restrictions([word.upper() if word in KEYWORDS else word for word in words]) == parsed


@given(
    st.lists(st.sampled_from([*KEYWORDS, *OLDER, "hash:x", "zone.example", "strict", "", ":"]) | st.text(max_size=9))
)
def test_anything_is_a_list_or_an_error(words):
    try:
        parsed = parse_restrictions(words, ["strict"], "check_client_access")
    except RestrictionError:
        return
    stops_open_relay(parsed)


@pytest.mark.parametrize("name", sorted(KEYWORDS))
def test_what_must_follow_is_missed(name):
    if KEYWORDS[name]:
        with pytest.raises(RestrictionError):
            parse_restrictions([name])
    else:
        assert str(parse_restrictions([name])[0]) == name
