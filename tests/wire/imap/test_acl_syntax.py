"""Rights and what SETACL asks for."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.imap import system_flags
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.syntax import acl_syntax

RIGHTS = st.lists(st.sampled_from(acl_syntax.ALL)).map(lambda letters: acl_syntax.order_rights("".join(letters)))


@given(st.sampled_from(["", "+", "-"]), RIGHTS)
def test_a_change_reads_as_it_is_written(mode, rights):
    found = acl_syntax.parse_change(Cursor(f'"{mode}{rights}"'.encode()))
    assert (found.mode, found.rights) == (mode, rights)


@given(RIGHTS, RIGHTS)
def test_what_changes_do(before, rights):
    assert acl_syntax.AclChange("", rights).of(before) == rights
    assert set(acl_syntax.AclChange("+", rights).of(before)) == set(before) | set(rights)
    assert set(acl_syntax.AclChange("-", rights).of(before)) == set(before) - set(rights)


@given(st.binary(max_size=30))
def test_nothing_but_bad_syntax_comes_of_any_bytes(data):
    for read in (acl_syntax.parse_change, acl_syntax.parse_identifier):
        with contextlib.suppress(BadSyntax):
            read(Cursor(data))


def test_rfc_2086s_letters():
    assert acl_syntax.parse_change(Cursor(b"lrcd")).rights == "lrkxte"
    assert acl_syntax.format_rights("lrk") == "lrkc"
    assert acl_syntax.format_rights("lrte") == "lrted"
    assert acl_syntax.format_rights("lr") == "lr"
    for wrong in (b"q", b"L", b"lr!"):
        with pytest.raises(BadSyntax):
            acl_syntax.parse_change(Cursor(wrong))


def test_which_flags_a_right_is_for():
    assert acl_syntax.flags_mask("lrs") == system_flags.SEEN
    assert acl_syntax.flags_mask("t") == system_flags.DELETED
    assert acl_syntax.flags_mask("w") == system_flags.ANSWERED | system_flags.FLAGGED | system_flags.DRAFT
    assert acl_syntax.flags_mask(acl_syntax.ALL) == sum(system_flags.BITS.values())
