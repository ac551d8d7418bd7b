"""Sieve: scripts that are wrong and where, what tests hold, what actions come out (RFC 5228 and its extensions)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailcore.wire.sieve import comparison, script_parser, vacation
from mailcore.wire.sieve.compiler import EXTENSIONS, compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import (
    Envelope,
    Keep,
    Limits,
    Redirect,
    ScriptEnvironment,
    SieveResult,
    SieveRunError,
    VacationReply,
)
from mailcore.wire.sieve.script_parser import SieveError
from mailcore.wire.sieve.sieve_message import SieveMessage

MESSAGE = (
    b"Return-Path: <coyote@desert.example>\r\n"
    b"Received: from a by b; Fri, 04 Sep 2026 23:30:00 +0800\r\n"
    b"From: =?utf-8?B?5p2O5Zub?= <lisi@benet.com>\r\n"
    b'To: "Roadrunner, the" <road+birds@benet.com>, x@other.example\r\n'
    b"Subject: =?gb2312?B?u+HS6c2o1qo=?= (final)\r\n"
    b"Date: Sat, 05 Sep 2026 07:15:09 +0800\r\n"
    b"Message-ID: <1@desert.example>\r\n"
    b"X-Score: 7.3\r\nX-List: a\r\nX-List: b\r\nX-List: c\r\n"
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=gb18030\r\n\r\n"
    + "预算超支。\r\n".encode("gb18030")
    + b"--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERi0xLjQ=\r\n--b--\r\n"
)
ENVELOPE = Envelope("coyote@desert.example", "road+birds@benet.com")
ALL = "require [" + ", ".join(f'"{name}"' for name in EXTENSIONS) + "];\n"
BOXES = {"INBOX": "", "Junk": "\\Junk", "工作": ""}


def around(**more) -> ScriptEnvironment:
    def box_for(use: str) -> str:
        return next((name for name, its in BOXES.items() if its == use), "")

    basis = {
        "now": 1_788_600_000.0,
        "has_mailbox": BOXES.__contains__,
        "mailbox_for": box_for,
        "was_seen": set().__contains__,
    }
    return ScriptEnvironment(**(basis | {"environment": {"name": "Youju", "location": "MDA"}} | more))


def result(script: str, content: bytes = MESSAGE, envelope: Envelope = ENVELOPE, **more) -> SieveResult:
    return run_script(compile_script(ALL + script), SieveMessage(content, envelope), around(**more))


def holds(test: str, **more) -> bool:
    return result(f"if {test} {{ discard; }}", **more).keeps == ()


# --- Scripts that are wrong -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "line", "words"),
    [
        ('fileinto "x";', 1, '"fileinto" needs require "fileinto"'),
        ('require "vnd.none";', 1, 'unsupported extension "vnd.none"'),
        ('require "regex"; if header :regex "a" "(b" { keep; }', 1, '"(b" is no regular expression: a ( without )'),
        ('if header :regex "a" "b" { keep; }', 1, '":regex" needs require "regex"'),
        ("keep", 1, '";" expected before "the end"'),
        ("\n\nkeep;\nbark;", 4, '"bark" is an unknown command'),
        ("if bark { keep; }", 1, '"bark" is an unknown test'),
        ("if keep { keep; }", 1, '"keep" is a command, not a test'),
        ("true;", 1, '"true" is a test, not a command'),
        ("else { keep; }", 1, '"else" without an if before it'),
        ("if true { keep; ", 1, '"}" expected before "the end"'),
        ("if true keep;", 1, '"if" needs a block'),
        ("keep { }", 1, '"keep" takes no block'),
        ('if header "subject" { keep; }', 1, '"header" takes 2 arguments, not 1'),
        ('if header :is :contains "a" "b" { keep; }', 1, '":contains" cannot stand beside'),
        ('if header :barks "a" "b" { keep; }', 1, '"header" has no tag ":barks"'),
        ('if header :comparator "i;klingon" "a" "b" { keep; }', 1, 'unsupported comparator "i;klingon"'),
        ('if address "subject" "b" { keep; }', 1, 'the header "subject" does not hold addresses'),
        ("if size 100 { keep; }", 1, '"size" needs :over or :under'),
        ('if size :over "x" { keep; }', 1, '"size" takes a number here'),
        ('redirect "nobody";', 1, '"nobody" is no address to redirect to'),
        ("if not true, false { keep; }", 1, '";" expected'),
        ('keep;\nrequire "copy";', 2, "require must come before all other commands"),
        ("redirect text:\nno end", 1, "the text: has no end"),
        ('if header "a" "unfinished { keep; }', 1, "unexpected"),
        ('if header "a" [1] { keep; }', 1, "expected before"),
        ('if header "a" [] { keep; }', 1, "expected before"),
        ('require ["include", "encoded-character"]; include "a${unicode:85}";', 1, "control characters"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(script, line, words):
    with pytest.raises(SieveError) as caught:
        compile_script(script)
    assert caught.value.line == line
    assert words in caught.value.words


def test_lines_are_counted_through_texts_and_comments():
    script = 'require "vacation";\n/* two\nlines */\nvacation text: # why not\na\n..b\n.\n;\n# c\nbark;'
    with pytest.raises(SieveError) as caught:
        compile_script(script)
    assert caught.value.line == 10


def test_nesting_ends_somewhere():
    compile_script("if true { " * 20 + "keep;" + " }" * 20)
    with pytest.raises(SieveError, match="too deeply nested"):
        compile_script("if true { " * 40 + "keep;" + " }" * 40)
    with pytest.raises(SieveError, match="too deeply nested"):
        compile_script("if " + "not " * 5000 + "true { keep; }")


@given(st.text(max_size=60))
def test_any_text_is_a_script_or_an_error(text):
    with contextlib.suppress(SieveError):
        compile_script(text)


@given(st.text(alphabet=st.characters(blacklist_categories=("Cs",), blacklist_characters="\r"), max_size=40))
def test_written_strings_are_read_back(text):
    [node] = script_parser.parse_script(f"redirect {script_parser.quote_string(text)};")
    assert node.arguments[0].value == text
    [node] = script_parser.parse_script(f"redirect {script_parser.format_multiline(text)};")
    assert node.arguments[0].value == text.rstrip("\n") + "\n"


def test_comments_stay_with_the_command_they_stand_before():
    first, second = script_parser.parse_script("# rule: 发票\n# second line\nif true { keep; }\nstop;")
    assert (first.comment, second.comment) == ("rule: 发票\nsecond line", "")


# --- Tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "test",
    [
        'header :contains "subject" "会议"',
        'header :is "SUBJECT" "会议通知 (FINAL)"',
        'header :matches "subject" "*通知 (?inal)"',
        'header :comparator "i;octet" :contains "subject" "final"',
        'not header :comparator "i;octet" :contains "subject" "FINAL"',
        'header :value "gt" :comparator "i;ascii-numeric" "x-score" "5"',
        'header :count "eq" :comparator "i;ascii-numeric" "x-list" "3"',
        'string :comparator "i;ascii-numeric" "9007199254740993" "9007199254740993"',
        'not string :comparator "i;ascii-numeric" "9007199254740993" "9007199254740992"',
        'string :value "gt" :comparator "i;ascii-numeric" "10x" "09y"',
        'string :value "gt" :comparator "i;ascii-numeric" "x" "99999999999999999999"',
        'string :comparator "i;ascii-numeric" "x" "y"',
        'string :comparator "i;ascii-numeric" "000" "0"',
        'header :index 2 "x-list" "b"',
        'header :index 1 :last "x-list" "c"',
        'not header :index 9 "x-list" "c"',
        'address :domain "from" "benet.com"',
        'address :localpart ["from", "to"] "x"',
        'address :all "to" "ROAD+birds@benet.com"',
        'address :user "to" "road"',
        'address :detail "to" "birds"',
        'not address :detail "from" ["", "x"]',
        'envelope "from" "coyote@desert.example"',
        'envelope :detail "to" "birds"',
        'exists ["from", "date"]',
        'not exists ["from", "x-none"]',
        "size :over 500", "size :under 1K", "not size :over 1M",
        'body :contains "超支"',
        'body :raw :contains "--b"',
        'body :content "application/pdf" :contains "%PDF-1.4"',
        'not body :content "text" :contains "%PDF"',
        'allof (true, anyof (false, not false))',
        'date :originalzone "date" "hour" "07"',
        'date :zone "+0000" "date" "date" "2026-09-04"',
        'date :originalzone "received" "weekday" "5"',
        'date :value "ge" :originalzone "date" "date" "2026-09-01"',
        'currentdate :zone "+0800" "year" "2026"',
        'currentdate :value "le" "iso8601" "2027"',
        'environment "name" "youju"',
        'not environment "vnd.none" "x"',
        'mailboxexists ["INBOX", "工作"]',
        'not mailboxexists "Elsewhere"',
        'specialuse_exists "\\\\Junk"',
        'not specialuse_exists "\\\\Sent"',
        'string "a${hex:42}${unicode:4e2d}" "aB中"',
        'header :comparator "i;unicode-casemap" :is "subject" "会议通知 (final)"',
        'string "a${unicode:0000040}b" "a@b"',
        'string "${hex:4}" "\x04"',
        'string "${hex:440}" "${hex:440}"',
        'ihave ["fileinto", "copy"]',
        'not ihave ["fileinto", "vnd.none"]',
        'allof (not ihave "vnd.none", not allof (ihave "vnd.none", vndnone :tag "x"))',
    ],
)  # fmt: skip
def test_holds(test):
    assert holds(test)


MIXED = (
    b"From: a@b.cn\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\nprologue\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\ninner text\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: enclosed\r\n\r\nenclosed text\r\n"
    b"--b--\r\nepilogue\r\n"
)


@pytest.mark.parametrize(
    ("test", "content"),
    [
        ('body :content "multipart" :contains "prologue"', MIXED),
        ('body :content "multipart" :contains "epilogue"', MIXED),
        ('not body :content "multipart" :contains "inner"', MIXED),
        ('not body :content "multipart" :contains "--b"', MIXED),
        ('body :content "message/rfc822" :contains "enclosed"', MIXED),
        ('not body :content "message/rfc822" :contains "enclosed text"', MIXED),
        ('body :content "text" :contains "enclosed text"', MIXED),
        ('body :raw :is ""', b"From: a@b.cn\r\n\r\n"),
        ('not body :raw :is ""', b"From: a@b.cn\r\n"),
        ('not body :text :contains ""', b"From: a@b.cn\r\n"),
        ('not body :content "" :contains ""', b"From: a@b.cn\r\n"),
        ('address "x-original-sender" "c@d.cn"', b"X-Original-Sender: c@d.cn\r\n\r\n"),
        ('address :count "eq" "list-owner" "1"', b"List-Owner: <mailto:c@d.cn>\r\n\r\n"),
    ],
)
def test_parts_of_a_message(test, content):
    """RFC 5173 §4 and §5, RFC 5228 §5.1."""
    assert holds(test, content=content)


def test_a_capture_may_be_written_with_zeroes():
    script = 'if header :matches "subject" "*通知 (*)" { fileinto "${0000002}${00000000000000000009}"; }'
    assert result(script).keeps == (Keep("final"),)


def test_flags_are_counted_once():
    script = """
    set "names" "\\\\Seen $a \\\\seen $A";
    if hasflag :count "eq" :comparator "i;ascii-numeric" "names" "2" { discard; }"""
    assert result(script).keeps == ()


@pytest.mark.parametrize("target", ["Wang <w@b.cn>", '"Wang, W." <w@b.cn>', "<w@b.cn>", "王 <w@b.cn>", " w@b.cn "])
def test_an_address_to_redirect_to_may_have_a_name(target):
    written = target.replace('"', '\\"')
    assert result(f'redirect "{written}";').redirects == (Redirect("w@b.cn"),)


@pytest.mark.parametrize(
    "target", ["a@b.cn, c@d.cn", "a@b.cn <c@d.cn>", "Wang <w@b.cn", "Wang", "<>", "a <b> <c@d.cn>"]
)
def test_what_is_no_address_to_redirect_to(target):
    with pytest.raises(SieveError, match="no address to redirect to"):
        compile_script(f'redirect "{target}";')


# --- Extensions that may be missing (RFC 5463) ----------------------------------------------------


def test_a_block_for_a_missing_extension_is_not_looked_at():
    script = """require "ihave";
    if ihave "vnd.none" { vndcommand :strange "x"; } else { discard; }"""
    assert run_script(compile_script(script), SieveMessage(MESSAGE, ENVELOPE), around()).keeps == ()


def test_an_extension_asked_for_needs_no_require():
    script = 'require "ihave"; if ihave "fileinto" { fileinto "x"; }'
    assert run_script(compile_script(script), SieveMessage(MESSAGE, ENVELOPE), around()).keeps == (Keep("x"),)


@pytest.mark.parametrize("script", ["if true { vndcommand; }", "if vndtest { keep; }", 'error "Nothing works.";'])
def test_what_is_missing_fails_when_it_is_reached(script):
    compiled = compile_script(f'require "ihave"; {script}')
    with pytest.raises(SieveRunError):
        run_script(compiled, SieveMessage(MESSAGE, ENVELOPE), around())


# --- Included scripts (RFC 6609) ------------------------------------------------------------------


def including(script: str, **scripts: str) -> SieveResult:
    found = {
        tuple(key.split("_")): 'require ["fileinto", "include", "variables"]; ' + text for key, text in scripts.items()
    }
    return result(script, load_script=lambda *key: found.get(key))


def test_a_script_includes_others():
    made = including('include "a"; include :global "b"; keep;', personal_a='fileinto "A";', global_b='fileinto "B";')
    assert made.keeps == (Keep("A"), Keep("B"), Keep())


def test_return_ends_the_included_script_and_stop_the_run():
    assert including('include "a"; fileinto "B";', personal_a='return; fileinto "A";').keeps == (Keep("B"),)
    assert including('include "a"; fileinto "B";', personal_a='fileinto "A"; stop;').keeps == (Keep("A"),)


def test_variables_are_a_scripts_own_unless_it_shares_them():
    made = including(
        'global "shared"; set "shared" "1"; set "own" "2"; include "a"; fileinto "${shared}${own}";',
        personal_a='global "shared"; set "own" "3"; set "shared" "${shared}x${nothing}";',
    )
    assert made.keeps == (Keep("1x2"),)


def test_once_and_optional():
    made = including('include :once "a"; include :once "a"; include :optional "none";', personal_a='set "x" "1"; keep;')
    assert made.keeps == (Keep(),)
    with pytest.raises(SieveRunError, match="no personal script"):
        including('include "none";')


def test_a_script_that_includes_itself_ends():
    with pytest.raises(SieveRunError, match="includes too many"):
        including('include "a";', personal_a='include "a";')


def test_a_fault_in_an_included_script_names_it():
    with pytest.raises(SieveRunError, match='included script "a": line 1'):
        including('include "a";', personal_a="bark;")


def test_variables_and_what_wildcards_stood_for():
    script = """
    set "company" "ACME";
    if header :matches "subject" "*通知 (*)" {
        set :upperfirst :lower "kind" "${2}X";
        fileinto "${company}/${1}/${kind}";
    }"""
    assert result(script).keeps == (Keep("ACME/会议/Finalx"),)
    assert result('set :length "n" "会议"; fileinto "b${n}${unknown}";').keeps == (Keep("b2"),)
    assert result('set :quotewildcard "q" "a*?"; fileinto "${q}";').keeps == (Keep("a\\*\\?"),)


def test_without_the_extension_a_dollar_is_a_dollar():
    made = run_script(compile_script('require "fileinto"; fileinto "${x}";'), SieveMessage(MESSAGE, ENVELOPE), around())
    assert made.keeps == (Keep("${x}"),)


@pytest.mark.parametrize(
    ("value", "pattern", "stars"),
    [
        ("abcbc", "a*bc", ("abcbc", "bc")),
        ("", "*", ("", "")),
        ("abc", "?b?", ("abc", "a", "c")),
        ("a*c", "a\\*c", ("a*c",)),
        ("ab", "abc*", None),
        ("aXbXc", "*X*", ("aXbXc", "a", "bXc")),
        ("frop.......frop", "?*?*?", ("frop.......frop", "f", "", "r", "op.......fro", "p")),
        ("xaxabbb", "*a?b*", ("xaxabbb", "xax", "b", "b")),
        ("xa-a" + "b" * 300, "*a?" + "b" * 299 + "*", ("xa-a" + "b" * 300, "xa-", "b", "")),
        ("x" * 33, "?" * 33, ("x" * 33, *"x" * 31)),
        ("a\\", "a\\", ("a\\",)),
    ],
)
def test_wildcards(value, pattern, stars):
    assert comparison.compare("matches", "i;octet", "", value, pattern) == stars


def test_a_pattern_of_many_stars_takes_no_time():
    assert comparison.compare("matches", "i;octet", "", "a" * 20_000, "a*" * 200 + "b") is None


def test_a_long_pattern_of_question_marks_ends_with_the_time_of_the_script():
    key = "*" + "a?" * 1000 + "b*"
    assert comparison.compare("matches", "i;octet", "", "a" * 20_000, key) is None
    assert comparison.compare("matches", "i;octet", "", "a" * 20_000 + "b", key)[-1] == "a"

    def stop() -> None:
        raise SieveRunError("the script takes too long")

    with pytest.raises(SieveRunError):
        comparison.compare("matches", "i;octet", "", "a" * 20_000, key, stop)


EVERYTHING = (
    ALL
    + """
if anyof (header :matches ["subject", "from"] "*?x*", address :detail "to" "a", body :raw :contains "zz",
          body :content "" :matches "q*q", body :text :is "no", date "date" "year" "1900", size :over 1G,
          header :count "gt" :comparator "i;ascii-numeric" "received" "99", date :originalzone "received" "zone" "x",
          envelope :all "from" "", exists "x-never") { fileinto "${1}x"; }
if duplicate { discard; }
vacation :handle "h" "away";
"""
)


@given(st.binary(max_size=400), st.text(max_size=20))
def test_whatever_a_message_is_a_script_comes_to_its_end(content, sender):
    made = result(EVERYTHING, content, Envelope(sender, "lisi@benet.com"))
    assert made.vacation is not None
    vacation.should_reply(made.vacation, SieveMessage(content, Envelope(sender, "x")), OWN)


# --- Actions --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("", SieveResult((Keep(),))),
        ("keep; keep;", SieveResult((Keep(),))),
        ("discard;", SieveResult()),
        ("stop; discard;", SieveResult((Keep(),))),
        ('fileinto "Junk";', SieveResult((Keep("Junk"),))),
        ('fileinto "inbox";', SieveResult((Keep("INBOX"),))),
        ('fileinto :copy "Junk";', SieveResult((Keep("Junk"), Keep()))),
        ('fileinto :create "新";', SieveResult((Keep("新", create=True),))),
        ('fileinto :specialuse "\\\\Junk" "x";', SieveResult((Keep("Junk"),))),
        ('redirect "a@b.example";', SieveResult((), (Redirect("a@b.example"),))),
        ('redirect :copy "a@b.example"; redirect "A@b.example";', SieveResult((), (Redirect("A@b.example"),))),
        ('setflag "\\\\seen"; addflag ["$Work", "\\\\Flagged"]; removeflag "\\\\Seen";',
         SieveResult((Keep(flags=("$Work", "\\Flagged")),))),
        ('addflag "x" "a b"; keep :flags "${x}";', SieveResult((Keep(flags=("a", "b")),))),
        ('setflag "a"; if hasflag :is "A" { fileinto "Junk"; }', SieveResult((Keep("Junk", ("a",)),))),
        ('if false { discard; } elsif true { fileinto "Junk"; } else { keep; }', SieveResult((Keep("Junk"),))),
    ],
)  # fmt: skip
def test_what_comes_out(script, wanted):
    assert result(script) == wanted


def test_a_rejected_message_is_nothing_else():
    assert result('reject "no\\nthanks";').reject.reason == "no\\nthanks".replace("\\n", "n")
    with pytest.raises(SieveRunError, match="cannot be rejected and also"):
        result('reject "no"; keep;')


def test_limits():
    with pytest.raises(SieveRunError, match="too many addresses"):
        result(" ".join(f'redirect "{n}@b.example";' for n in range(5)))
    with pytest.raises(SieveRunError, match="too many actions"):
        result(" ".join(f'fileinto "{n}";' for n in range(4)), limits=Limits(actions=3))
    with pytest.raises(SieveRunError, match="takes too long"):
        result("keep;", limits=Limits(seconds=-1))
    with pytest.raises(SieveRunError, match="too many variables"):
        result(" ".join(f'set "v{n}" "x";' for n in range(300)))


def test_an_address_that_only_shows_when_the_script_runs():
    with pytest.raises(SieveRunError, match="is no address"):
        result('if header :matches "subject" "*" { redirect "${1}"; }')


def test_duplicates_are_remembered_only_when_all_went_well():
    made = result("if duplicate :seconds 60 { discard; }")
    assert made.keeps == (Keep(),)
    [(key, seconds)] = made.remember
    assert seconds == 60
    assert result("if duplicate { discard; }", was_seen={key}.__contains__).keeps == ()


# --- Vacation (RFC 5230, RFC 3834) -----------------------------------------------------------------

ORDINARY = (
    b"From: a@far.example\r\nTo: lisi@benet.com\r\nSubject: =?utf-8?B?5L2g5aW9?=\r\nMessage-ID: <9@far.example>\r\n"
)
OWN = ("lisi@benet.com",)


def answered(extra: bytes = b"", sender: str = "a@far.example", content: bytes = ORDINARY) -> bool:
    message = SieveMessage(content + extra + b"\r\nhi\r\n", Envelope(sender, "lisi@benet.com"))
    return vacation.should_reply(VacationReply("away"), message, OWN)


def test_a_message_to_the_owner_is_answered():
    assert answered()


@pytest.mark.parametrize(
    "how",
    [
        {"sender": ""},
        {"sender": "lisi@benet.com"},
        {"sender": "MAILER-DAEMON@far.example"},
        {"sender": "owner-list@far.example"},
        {"sender": "list-request@far.example"},
        {"sender": "noreply@far.example"},
        {"extra": b"Auto-Submitted: auto-generated\r\n"},
        {"extra": b"List-Id: <l.far.example>\r\n"},
        {"extra": b"Precedence: bulk\r\n"},
        {"extra": b"X-Auto-Response-Suppress: OOF\r\n"},
        {"content": ORDINARY.replace(b"lisi@benet.com", b"all@benet.com").replace(b"To:", b"Bcc-none:")},
    ],
    ids=str,
)
def test_nobody_else_is(how):
    if "content" in how:
        message = SieveMessage(how["content"] + b"\r\nhi", Envelope("a@far.example", "all@benet.com"))
        assert not vacation.should_reply(VacationReply("away"), message, OWN)
    else:
        assert not answered(**how)


def test_the_answer():
    message = SieveMessage(ORDINARY + b"\r\nhi\r\n", Envelope("a@far.example", "lisi@benet.com"))
    made = vacation.render_reply(
        VacationReply("不在。\nBcc: x@y.example", subject="Away\r\nBcc: evil@x.example"),
        message,
        owner="lisi@benet.com",
        date="Sat, 05 Sep 2026 07:15:09 +0800",
        message_id="1@mail.benet.com",
    )
    head, _, body = made.partition(b"\r\n\r\n")
    assert b"\r\nBcc:" not in head
    assert b"To: a@far.example\r\n" in head
    assert b"In-Reply-To: <9@far.example>\r\nReferences: <9@far.example>\r\n" in head
    assert b"Auto-Submitted: auto-replied (vacation)" in head
    assert body == "不在。\r\nBcc: x@y.example\r\n".encode()
