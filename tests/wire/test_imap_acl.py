"""Rights and what SETACL asks for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire import flags
from mailcore.wire.imap import acl
from mailcore.wire.imap.cursor import BadSyntax, Cursor

RIGHTS = st.lists(st.sampled_from(acl.ALL)).map(lambda letters: acl.ordered("".join(letters)))


@given(st.sampled_from(["", "+", "-"]), RIGHTS)
def test_a_change_reads_as_it_is_written(mode, rights):
    found = acl.change(Cursor(f'"{mode}{rights}"'.encode()))
    assert (found.mode, found.rights) == (mode, rights)


@given(RIGHTS, RIGHTS)
def test_what_changes_do(before, rights):
    assert acl.Change("", rights).of(before) == rights
    assert set(acl.Change("+", rights).of(before)) == set(before) | set(rights)
    assert set(acl.Change("-", rights).of(before)) == set(before) - set(rights)


@given(st.binary(max_size=30))
def test_nothing_but_bad_syntax_comes_of_any_octets(octets):
    for read in (acl.change, acl.identifier):
        with contextlib.suppress(BadSyntax):
            read(Cursor(octets))


def test_rfc_2086s_letters():
    assert acl.change(Cursor(b"lrcd")).rights == "lrkxte"
    assert acl.spelled("lrk") == "lrkc"
    assert acl.spelled("lrte") == "lrted"
    assert acl.spelled("lr") == "lr"
    for wrong in (b"q", b"L", b"lr!"):
        with pytest.raises(BadSyntax):
            acl.change(Cursor(wrong))


def test_which_flags_a_right_is_for():
    assert acl.flags_mask("lrs") == flags.SEEN
    assert acl.flags_mask("t") == flags.DELETED
    assert acl.flags_mask("w") == flags.ANSWERED | flags.FLAGGED | flags.DRAFT
    assert acl.flags_mask(acl.ALL) == sum(flags.BITS.values())
