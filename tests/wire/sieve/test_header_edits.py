"""Scripts that change a message's header (RFC 5293): addheader and deleteheader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.extensions import header_edits
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Limits, ScriptEnvironment, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

REQUIRED = (
    'require ["editheader", "variables", "fileinto", "copy", "relational", "regex", "body", "mime",'
    ' "comparator-i;ascii-numeric"];\n'
)
TRACE = b"Return-Path: <a@other.example>\r\nDelivered-To: lisi@benet.com\r\n"
HEADER = (
    b"Received: from a by b\r\nSubject: hello\r\nX-Spam: yes\r\nX-List: a\r\nX-List:  b\r\n\tfolded\r\n"
    b"X-List: =?utf-8?B?5LiJ?=\r\nAuto-Submitted: no\r\n"
)
BODY = b"\r\nThe body.\r\n"


def run(script: str, content: bytes = TRACE + HEADER + BODY, trace_size: int = len(TRACE), **limits):
    around = ScriptEnvironment(
        now=0.0,
        has_mailbox=lambda _: True,
        mailbox_for=lambda _: "",
        was_seen=lambda _: False,
        limits=Limits(**limits),
    )
    message = SieveMessage(content, Envelope("", "lisi@benet.com"), trace_size)
    return run_script(compile_script(REQUIRED + script), message, around)


def kept(script: str, *content: bytes, **more) -> bytes:
    """Return the header of the message that is kept, as far as a script may change it."""
    [keep] = run(script, *content, **more).keeps
    return keep.header


def test_a_message_that_is_not_changed_keeps_its_header():
    assert kept("keep;") is None
    assert kept('deleteheader "X-None"; keep;') is None
    assert kept('deleteheader :contains "Subject" "no such words";') is None


@pytest.mark.parametrize(
    ("command", "changed"),
    [
        ('addheader "X-New" "one";', b"X-New: one\r\n" + HEADER),
        ('addheader :last "X-New" " one ";', HEADER + b"X-New: one\r\n"),
        ('addheader "X-New" "";', b"X-New: \r\n" + HEADER),
        ('addheader "X-New" "预算";', b"X-New: =?utf-8?b?6aKE566X?=\r\n" + HEADER),
        ('addheader "X-New" "a\nBcc: b@x.example";', b"X-New: a Bcc: b@x.example\r\n" + HEADER),
        ('deleteheader "x-spam";', HEADER.replace(b"X-Spam: yes\r\n", b"")),
        ('deleteheader "X-List";', HEADER[: HEADER.index(b"X-List")] + b"Auto-Submitted: no\r\n"),
        ('deleteheader :index 2 "X-List";', HEADER.replace(b"X-List:  b\r\n\tfolded\r\n", b"")),
        ('deleteheader :index 1 :last "X-List";', HEADER.replace(b"X-List: =?utf-8?B?5LiJ?=\r\n", b"")),
        ('deleteheader :index 3 "X-List" "三";', HEADER.replace(b"X-List: =?utf-8?B?5LiJ?=\r\n", b"")),
        ('deleteheader "X-List" ["a", "三"];', HEADER.replace(b"X-List: a\r\n", b"").replace(b"X-List: =?utf-8?B?5LiJ?=\r\n", b"")),
        ('deleteheader :matches "X-List" "b*folded";', HEADER.replace(b"X-List:  b\r\n\tfolded\r\n", b"")),
        ('deleteheader :regex "Subject" "^h.llo$";', HEADER.replace(b"Subject: hello\r\n", b"")),
        ('deleteheader :value "gt" "X-Spam" "xxx";', HEADER.replace(b"X-Spam: yes\r\n", b"")),
        ('deleteheader "Subject"; addheader "Subject" "[${x}] hello";', b"Subject: [] hello\r\n" + HEADER.replace(b"Subject: hello\r\n", b"")),
    ],
)  # fmt: skip
def test_changes_of_the_header(command, changed):
    assert kept(command) == changed + b"\r\n"


@pytest.mark.parametrize(
    "command",
    [
        'deleteheader "Received";',
        'deleteheader :contains "auto-submitted" "";',
        'deleteheader "Return-Path"; deleteheader "Delivered-To";',
        'deleteheader :index 4 "X-List";',
        'deleteheader :index 1 "X-List" "b";',
        'set "x" "Received"; deleteheader "${x}";',
    ],
)
def test_fields_that_stay(command):
    assert kept(command) is None


def test_the_administrator_protects_fields():
    protected = frozenset(("x-spam",))
    assert kept('deleteheader "X-Spam"; addheader "X-SPAM" "no";', protected_fields=protected) is None


def test_later_tests_see_the_change():
    script = (
        'addheader "X-New" "one"; deleteheader "Subject";'
        'if allof (header "X-New" "one", not exists "Subject", header "Return-Path" "<a@other.example>",'
        ' header :mime "X-New" "one", body :contains "the body", size :over 10) { discard; }'
    )
    assert run(script).keeps == ()


def test_each_action_has_the_header_of_its_moment():
    made = run('fileinto "A"; addheader "X-New" "1"; redirect :copy "b@x.example"; addheader "X-New" "2"; keep;')
    by_box = {keep.mailbox: keep.header for keep in made.keeps}
    assert by_box["A"] is None
    assert made.redirects[0].header == b"X-New: 1\r\n" + HEADER + b"\r\n"
    assert by_box["INBOX"] == b"X-New: 2\r\nX-New: 1\r\n" + HEADER + b"\r\n"


def test_match_variables_are_those_of_tests():
    script = 'if header :matches "Subject" "h*" { deleteheader :matches "X-Spam" "*"; addheader "X-New" "${1}"; }'
    assert kept(script).startswith(b"X-New: ello\r\n")


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (b"A: 1\n\nbody\n", b"X-New: one\nA: 1\n\n"),
        (b"A: 1", b"X-New: one\r\nA: 1\r\n\r\n"),
        (b"", b"X-New: one\r\n\r\n"),
        (b"\r\nbody", b"X-New: one\r\n\r\n"),
        (b"no field\r\nA: 1\r\n\r\n", b"X-New: one\r\nno field\r\nA: 1\r\n\r\n"),
    ],
)
def test_headers_of_every_shape(content, changed):
    assert kept('addheader "X-New" "one";', content, trace_size=0) == changed


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ('addheader "X New" "a";', "no name of a header field"),
        ('addheader "X:" "a";', "no name"),
        ('addheader "" "a";', "no name"),
        ('deleteheader "预算";', "no name"),
        ('addheader "X";', "arguments"),
        ('deleteheader :last "X";', "needs"),
        ('deleteheader :index 0 "X";', "counts from 1"),
        ('deleteheader :count "eq" "X" "1";', "no :count"),
        ('deleteheader :regex "X" "(";', "no regular expression"),
    ],
)
def test_faults_are_found_before_a_script_is_stored(script, fault):
    with pytest.raises(SieveError, match=fault):
        compile_script(REQUIRED + script)


@pytest.mark.parametrize("script", ['addheader "X" "y";', 'deleteheader "X";'])
def test_the_extension_must_be_required(script):
    with pytest.raises(SieveError, match="needs require"):
        compile_script(script)


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ('set "n" "X New"; addheader "${n}" "a";', "no name of a header field"),
        (f'addheader "X" "{"a" * 2048}";', "too long"),
        ('addheader "A" "1"; addheader "A" "2"; addheader "A" "3";', "too many header fields"),
    ],
)
def test_faults_at_run_time(script, fault):
    with pytest.raises(SieveRunError, match=fault):
        run(script, added_fields=2)
    assert kept(f'addheader "X" "{"a" * 2047}";', header_size=2048)


@given(st.binary(max_size=300))
def test_splitting_loses_nothing(header):
    fields, end = header_edits.split_raw_fields(header)
    assert b"".join(fields) + end == header


@given(st.text(max_size=300))
def test_an_added_value_is_read_back(value):
    value = " ".join("".join(c for c in value if c.isprintable()).split())
    field = header_edits.render_field("X-Test", value, b"\r\n")
    assert max(map(len, field.split(b"\r\n"))) < 999
    assert header_edits.field_value(field) == value
