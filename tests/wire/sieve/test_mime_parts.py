"""Scripts that look at the parts of a message (RFC 5703): foreverypart, break, the mime tags, extracttext."""

import pytest

from mailcore.wire.message import mime
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Limits, ScriptEnvironment, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

REQUIRED = (
    'require ["foreverypart", "mime", "extracttext", "variables", "fileinto", "imap4flags", "relational", "index",'
    ' "comparator-i;ascii-numeric", "regex", "include"];\n'
)
MESSAGE = (
    b"From: lisi@benet.com\r\nSubject: parts\r\nX-Mark: outer\r\n"
    b'Content-Type: multipart/mixed; boundary="one"\r\n\r\n'
    b"--one\r\nContent-Type: multipart/alternative; boundary=two\r\nX-Mark: choice\r\n\r\n"
    b"--two\r\nContent-Type: text/plain; charset=gb18030\r\nX-Mark: plain\r\n\r\n"
    + "预算超支。\r\n第二行\r\n".encode("gb18030")
    + b"--two\r\nContent-Type: text/html\r\nX-Mark: html\r\n\r\n<p>Over <b>budget</b></p>\r\n--two--\r\n"
    b"--one\r\nContent-Type: application/pdf; name*=utf-8''%E6%8A%A5%E5%91%8A.pdf\r\n"
    b'Content-Disposition: attachment; filename="report.exe"\r\nX-Mark: file\r\n\r\n%PDF\r\n'
    b"--one\r\nContent-Type: message/rfc822\r\nX-Mark: enclosed\r\n\r\n"
    b"From: <wang@accp.com>, <zhao@accp.com>\r\nX-Mark: inner\r\nContent-Type: text/plain\r\n\r\ninner\r\n--one--\r\n"
)


def run(script: str, content: bytes = MESSAGE, **more):
    around = ScriptEnvironment(
        now=0.0, has_mailbox=lambda _: True, mailbox_for=lambda _: "", was_seen=lambda _: False, **more
    )
    return run_script(compile_script(REQUIRED + script), SieveMessage(content, Envelope("", "lisi@benet.com")), around)


def flags(script: str, content: bytes = MESSAGE) -> list[str]:
    """Return the flags that a script adds, in order."""
    return list(run(script, content).keeps[0].flags)


def is_true(test: str, content: bytes = MESSAGE) -> bool:
    return not run(f"if {test} {{ discard; }}", content).keeps


NAME_PART = 'if header :mime :matches "X-Mark" "*" { addflag "${1}"; }'


# --- Loops ----------------------------------------------------------------------------------------


def test_a_loop_visits_every_part_the_outer_ones_first():
    marks = ["outer", "choice", "plain", "html", "file", "enclosed", "inner"]
    assert flags(f"foreverypart {{ {NAME_PART} }}") == marks


def test_a_message_without_parts_is_one_part():
    assert flags(f"foreverypart {{ {NAME_PART} }}", b"X-Mark: only\r\n\r\ntext\r\n") == ["only"]
    assert flags(f"foreverypart {{ {NAME_PART} }}", b"X-Mark: only\r\nContent-Type: multipart/mixed\r\n\r\nx") == [
        "only"
    ]


def test_a_loop_in_a_loop_visits_what_is_below_the_part():
    inside = f'if header :mime "X-Mark" "choice" {{ foreverypart {{ {NAME_PART} }} }}'
    assert flags(f"foreverypart {{ {inside} }}") == ["plain", "html"]
    after = 'foreverypart { if header :mime "X-Mark" "choice" { foreverypart { stop; } } }'
    assert run(after).keeps


def test_after_a_loop_the_whole_message_is_meant_again():
    assert flags(f"foreverypart {{ foreverypart {{ }} }} {NAME_PART}") == ["outer"]


def test_break_ends_the_innermost_loop_or_the_one_it_names():
    ends = 'if header :mime "X-Mark" "plain" { break; }'
    assert flags(f"foreverypart {{ {NAME_PART} {ends} }}") == ["outer", "choice", "plain"]
    inner = 'if header :mime "X-Mark" "plain" { break %s; }'
    both = f'foreverypart :name "a" {{ foreverypart :name "b" {{ {inner} }} {NAME_PART} }}'
    assert flags(both % ':name "a"') == []
    assert (
        flags(both % ':name "b"')
        == flags(both % "")
        == [*["outer", "choice", "plain", "html", "file", "enclosed", "inner"]]
    )


@pytest.mark.parametrize(
    ("script", "fault"),
    [
        ("break;", "outside of foreverypart"),
        ('foreverypart { break :name "x"; }', 'no loop "x"'),
        ('foreverypart :name "x" { foreverypart { } } break :name "x";', "outside"),
        ('foreverypart :name "${x}" { }', "constant name"),
        ('extracttext "x";', "outside of foreverypart"),
        ('foreverypart { extracttext "x y"; }', "x y"),
        ('if header :anychild "Subject" "x" { }', "need"),
        ('if header :param "name" "Content-Type" "x" { }', "need"),
        ('if header :mime :type :subtype "Content-Type" "x" { }', "cannot stand beside"),
        ("foreverypart keep;", "block"),
    ],
)
def test_faults_are_found_before_a_script_is_stored(script, fault):
    with pytest.raises(SieveError, match=fault):
        compile_script(REQUIRED + script)


@pytest.mark.parametrize(
    "script", ["foreverypart { }", 'if header :mime "x" "y" { }', 'foreverypart { extracttext "x"; }']
)
def test_each_extension_must_be_required(script):
    with pytest.raises(SieveError, match="needs require"):
        compile_script(script)


def test_an_included_script_begins_with_the_whole_message():
    included = REQUIRED + NAME_PART
    made = run('foreverypart { include "x"; break; }', load_script=lambda *_: included)
    assert made.keeps[0].flags == ("outer",)
    made = run('foreverypart { foreverypart { include "x"; break; } break; }', load_script=lambda *_: included)
    assert made.keeps[0].flags == ("outer",)


def test_loops_in_loops_over_many_parts_end_with_the_time_limit():
    parts = b"--a\r\n\r\nx\r\n" * mime.MAX_PARTS
    content = b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + parts + b"--a--\r\n"
    heavy = 'foreverypart { if header :mime "Content-Type" "y" { } if header :mime :anychild "x" "y" { } }'
    nested = b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n"
    deep = b"".join(nested % (n, n) for n in range(mime.MAX_DEPTH - 1)) + content
    with pytest.raises(SieveRunError, match="too long"):
        run(heavy * 50, deep, limits=Limits(seconds=0.2))


# --- Header tests of parts ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("test", "holds"),
    [
        ('header :mime :type "Content-Type" "multipart"', True),
        ('header :mime :subtype "content-type" "mixed"', True),
        ('header :mime :contenttype "Content-Type" "multipart/mixed"', True),
        ('header :mime :contenttype "Content-Type" "text/plain"', False),
        ('header :mime :anychild :contenttype "Content-Type" "text/plain"', True),
        ('header :mime :anychild :contenttype "Content-Type" "image/png"', False),
        ('header :mime :param "boundary" "Content-Type" "one"', True),
        ('header :mime :anychild :param ["x", "filename"] "Content-Disposition" "report.exe"', True),
        ('header :mime :anychild :param "filename" :matches "Content-Disposition" "*.exe"', True),
        ('header :mime :anychild :param "name" :contains ["Content-Type", "Content-Disposition"] "报告"', True),
        ('header :mime :anychild :param "missing" :contains "Content-Type" ""', False),
        ('header :mime :anychild :type "Content-Disposition" "attachment"', True),
        ('header :mime :anychild :subtype "Content-Disposition" ""', True),
        ('header :mime :type "Subject" "parts"', False),
        ('header :mime "Subject" "parts"', True),
        ('header :mime :anychild :count "eq" :comparator "i;ascii-numeric" "X-Mark" "7"', True),
        ('header :mime :anychild :index 2 "X-Mark" "choice"', True),
        ('header :mime :anychild :index 1 :last "X-Mark" "inner"', True),
        ('exists :mime "Content-Disposition"', False),
        ('exists :mime :anychild ["Content-Disposition", "Subject"]', True),
        ('exists :mime :anychild ["Content-Disposition", "X-None"]', False),
        ('address :mime :domain "From" "benet.com"', True),
        ('address :mime :domain "From" "accp.com"', False),
        ('address :mime :anychild :localpart "From" "zhao"', True),
        ('address :mime :anychild :count "eq" :comparator "i;ascii-numeric" "From" "3"', True),
    ],
)
def test_headers_of_the_message_and_of_its_parts(test, holds):
    assert is_true(test) is holds


def test_without_mime_a_test_in_a_loop_is_of_the_message():
    assert flags('foreverypart { if header "X-Mark" "plain" { addflag "wrong"; } } addflag "right";') == ["right"]


# --- Text of parts --------------------------------------------------------------------------------


def extracted(command: str, mark: str) -> str:
    script = f'foreverypart {{ if header :mime "X-Mark" "{mark}" {{ {command} fileinto "<${{t}}>"; }} }}'
    made = run(script).keeps
    return made[0].mailbox if made else ""


@pytest.mark.parametrize(
    ("command", "mark", "text"),
    [
        ('extracttext :first 5 "t";', "plain", "<预算超支。>"),
        ('extracttext :first 0 "t";', "plain", "<>"),
        ('extracttext :upper :first 4 "t";', "html", "<OVER>"),
        ('extracttext :length :first 4 "t";', "html", "<4>"),
        ('set "t" "before"; extracttext "t";', "file", "<>"),
        ('set "t" "before"; extracttext "t";', "choice", "<>"),
        ('extracttext :first 5 "t";', "inner", "<inner>"),
    ],
)
def test_the_text_of_a_part(command, mark, text):
    assert extracted(command, mark) == text


def test_a_part_of_many_megabytes_is_read_as_far_as_a_variable_holds():
    content = b"Content-Type: text/plain; charset=utf-8\r\n\r\n" + "文".encode() * 3_000_000
    counted = 'foreverypart { extracttext :length "t"; addflag "n${t}"; }'
    assert flags(counted, content) == ["n8000"]
