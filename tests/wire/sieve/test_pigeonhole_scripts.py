"""Scripts as Pigeonhole and the RFCs read them: names of variables, ihave, addresses, bodies, line ends."""

import pytest

from mailcore.wire.sieve.compiler import EXTENSIONS, compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, Keep, Redirect, ScriptEnvironment, SieveResult, SieveRunError
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

MESSAGE = b"From: a@b.cn\r\nTo: c@d.cn\r\nDate: Sat, 05 Sep 2026 07:15:09 +0800\r\n\r\none\r\ntwo\r\n"
ALL = "require [" + ", ".join(f'"{name}"' for name in EXTENSIONS) + "];\n"


def run(script: str, content: bytes = MESSAGE, sender: str = "a@b.cn", **scripts: str) -> SieveResult:
    around = ScriptEnvironment(
        now=1_788_600_000.0,
        has_mailbox=lambda _: True,
        mailbox_for=lambda _: "",
        was_seen=lambda _: False,
        load_script=lambda _location, name: scripts.get(name),
    )
    return run_script(compile_script(script), SieveMessage(content, Envelope(sender, "c@d.cn")), around)


def holds(test: str, content: bytes = MESSAGE, sender: str = "a@b.cn") -> bool:
    return run(f"{ALL} if {test} {{ discard; }}", content, sender).keeps == ()


# --- Variables (RFC 5229, RFC 6609) ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ('require ["variables", "fileinto"]; fileinto "${foo.bar}";', 'no extension in use has a variable "foo.bar"'),
        ('require ["variables", "fileinto"]; fileinto "${global.x}";', 'has a variable "global.x"'),
        ('require ["variables", "include"]; set "global.1" "x";', "no name of a variable"),
        ('require ["variables", "include"]; set "globl.x" "x";', 'has a variable "globl.x"'),
        ('require ["variables", "include"]; set "global.a.b" "x";', 'has a variable "a.b"'),
        ('require ["variables", "include"]; global "global.x";', 'has a variable "global.x"'),
        ('require ["variables", "include"]; include "${x}";', "constant name"),
        ('require ["variables", "ihave"]; if ihave "${x}" { keep; }', "must be named outright"),
        ('require "imap4flags"; setflag "x" "y";', 'needs require "variables"'),
        ('require "variables"; set "0" "x";', '"0" is no name'),
    ],
)
def test_names_that_are_wrong(script, words):
    with pytest.raises(SieveError) as caught:
        compile_script(script)
    assert words in caught.value.words


def test_what_is_no_reference_is_text():
    script = 'require ["variables", "fileinto", "include"]; include :optional "${"; fileinto "${a.}${.b}${a b}$${1a}";'
    assert run(script).keeps == (Keep("${a.}${.b}${a b}$${1a}"),)


def test_without_include_a_name_with_a_dollar_is_constant():
    assert run('require "include"; include "${x}"; keep;', **{"${x}": 'require "fileinto"; fileinto "A";'}).keeps == (
        Keep("A"),
        Keep(),
    )


def test_the_namespace_of_shared_variables():
    inner = 'require ["variables", "include"]; set "GLOBAL.b" "${global.a}2"; set "a" "own";'
    script = 'set "global.a" "1"; include "x"; global "b"; addflag "global.f" "y"; fileinto "${b}${a}${global.f}";'
    assert run(ALL + script, x=inner).keeps == (Keep("12y"),)


def test_a_variable_in_use_cannot_become_global():
    assert run(ALL + 'global "a"; global "A"; set "a" "1"; global "a"; fileinto "${a}";').keeps == (Keep("1"),)
    with pytest.raises(SieveRunError, match="cannot become global"):
        run(ALL + 'set "a" "1"; global "A";')


def test_a_match_variable_that_is_out_of_range_is_empty():
    script = f'if header :matches "from" "*" {{ fileinto "a${{99}}${{{"9" * 30}}}${{{"9" * 5000}}}${{0001}}"; }}'
    assert run(ALL + script).keeps == (Keep("aa@b.cn"),)


# --- ihave (RFC 5463) -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["variables", "encoded-character"])
def test_what_changes_how_strings_are_read_cannot_be_enabled_part_way(name):
    """RFC 5463 §4: the test fails, and the extension stays off."""
    script = f'require ["ihave", "fileinto"]; if not ihave "{name}" {{ fileinto "${{x}}${{hex:41}}"; }}'
    assert run(script).keeps == (Keep("${x}${hex:41}"),)


def test_all_of_the_extensions_are_enabled_or_none():
    script = 'require "ihave"; if ihave ["fileinto", "vnd.none"] { keep; } else { fileinto "x"; }'
    with pytest.raises(SieveRunError, match='needs require "fileinto"'):
        run(script)
    assert holds('ihave ["comparator-i;octet", "fileinto"]')


# --- Flags (RFC 5232) -----------------------------------------------------------------------------


def test_flags_of_several_variables_are_counted_together():
    script = 'setflag "a" ["x y", "X"]; setflag "b" "x"; if hasflag :count "eq" ["a", "b"] "3" { discard; }'
    assert run(ALL + script).keeps == ()


# --- Addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["X-Complaints-To", "X-BeenThere", "Author", "Approved", "For-Approval", "X-Admin", "Read-Receipt-To"]
)
def test_fields_with_addresses(name):
    assert holds(f'address :domain "{name}" "f.cn"', f"{name}: E <e@f.cn>\r\n\r\n".encode())


@pytest.mark.parametrize(
    ("test", "sender"),
    [
        ('not address :localpart "from" "stephan"', "a@b.cn"),
        ('address :all "cc" "nonsense"', "a@b.cn"),
        ('not address :localpart "cc" ["nonsense", ""]', "a@b.cn"),
        ('not address :domain "to" "example.org"', "a@b.cn"),
        ('envelope :all "from" ""', ""),
        ('envelope :localpart "from" ""', ""),
        ('envelope :domain "from" ""', ""),
    ],
)
def test_what_is_no_address_has_no_parts(test, sender):
    """RFC 5228 §2.7.4; the null sender is empty in all its parts (§5.4)."""
    assert holds(test, b"From: stephan@\r\nTo: @example.org\r\nCc: nonsense\r\n\r\n", sender)


@pytest.mark.parametrize(
    "target", ["w @b.cn", "w@ b.cn", " w @ b.cn ", "Wang< w@b.cn>", " Wang  <  w  @  b.cn  > ", "<w@b.cn >"]
)
def test_space_in_an_address_is_nothing(target):
    assert run(f'redirect "{target}";').redirects == (Redirect("w@b.cn"),)


# --- Bodies (RFC 5173) ----------------------------------------------------------------------------

MIXED = (
    b"From: a@b.cn\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\npro\r\nlogue\r\n"
    b"--b\r\nContent-Type: application/xhtml+xml\r\n\r\n<p>XHTML</p>\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: enclosed\r\nTo: x\r\n\r\ntext\r\n"
    b"--b--\r\nepilogue\r\n"
)


@pytest.mark.parametrize(
    ("test", "content"),
    [
        ('body :content "multipart" "pro\r\nlogue"', MIXED),
        ('body :content "multipart" "epilogue\r\n"', MIXED),
        ('body :content "multipart" ""', MIXED.replace(b"pro\r\nlogue\r\n", b"")),
        ('body :content "multipart" ""', MIXED.replace(b"pro\r\nlogue", b"")),
        ('body :content "message/rfc822" "Subject: enclosed\r\nTo: x\r\n"', MIXED),
        ('body :text :contains "XHTML"', MIXED),
        ('not body :text :contains "<p>"', MIXED),
        ('body :raw "one\ntwo\n"', MESSAGE),
        ('body :text "one\r\ntwo\r\n"', MESSAGE),
        ("body :raw text:\none\ntwo\n.\n", MESSAGE),
        ('body :text :contains "end"', MESSAGE + b"x" * 2_000_000 + b"end"),
        ('body :raw :regex "x(end)$"', MESSAGE + b"x" * 2_000_000 + b"end"),
        ('body :content "text" :matches "*xend"', MESSAGE + b"x" * 2_000_000 + b"end"),
    ],
)
def test_bodies(test, content):
    """A line end before a boundary belongs to that; in scripts it may be LF (RFC 2046 §5.1.1, RFC 5228 §2.4.2)."""
    assert holds(test, content)


# --- Dates and comparators ------------------------------------------------------------------------


def test_a_zone_may_be_a_variable():
    assert run(ALL + 'set "z" "+0000"; if date :zone "${z}" "date" "hour" "23" { discard; }').keeps == ()
    with pytest.raises(SieveRunError, match='"east" is no time zone'):
        run(ALL + 'set "z" "east"; if date :zone "${z}" "date" "hour" "23" { discard; }')


def test_the_comparator_for_all_letters_needs_no_require():
    assert run('if header :comparator "i;unicode-casemap" "from" "A@B.CN" { discard; }').keeps == ()


# --- vacation (RFC 5230) --------------------------------------------------------------------------


@pytest.mark.parametrize("sender", ["李四@b.cn", "李四 <李四@b.cn>", "lisi@b.cn"])
def test_the_sender_of_an_answer(sender):
    assert run(f'require "vacation"; vacation :from "{sender}" "away";').vacation.sender == sender


@pytest.mark.parametrize("sender", ["lisi", "@", "a@b.cn, c@b.cn", "a b@c d"])
def test_what_cannot_be_the_sender_of_an_answer(sender):
    with pytest.raises(SieveError, match="is no address"):
        run(f'require "vacation"; vacation :from "{sender}" "away";')
