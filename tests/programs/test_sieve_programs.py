"""Our Sieve beside Pigeonhole's: the same scripts do the same; our rules run there, our client and theirs meet."""

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.hashers import make_password

from conversation import Running
from mailcore.servers.managesieve.session import SieveServer
from mailcore.store import directory
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.interpreter import run_script
from mailcore.wire.sieve.results import Envelope, ScriptEnvironment, SieveResult
from mailcore.wire.sieve.sieve_message import SieveMessage
from tests.programs.dovecot import Dovecot, missing
from webmail.filtering import rules
from webmail.filtering.rules import Action, Condition, FilterSet, Rule, VacationSettings
from webmail.mailserver import sieve_client
from webmail.mailserver.server_addresses import ServerAddress

pytestmark = [
    pytest.mark.program,
    pytest.mark.skipif(not shutil.which("sieve-test"), reason="needs dovecot-sieve"),
]

MESSAGE = (
    b"From: =?utf-8?B?5p2O5Zub?= <lisi@benet.com>\r\n"
    b'To: "Roadrunner, the" <road+birds@benet.com>, x@other.example\r\nCc: Me <me@benet.com>\r\n'
    b"Subject: =?utf-8?B?5Lya6K6u6YCa55+l?= (final)\r\nDate: Sat, 05 Sep 2026 07:15:09 +0800\r\n"
    b"Message-ID: <1@desert.example>\r\nX-Score: 7.3\r\nX-List: a\r\nX-List: b\r\nX-List: c\r\nList-Id: L <l.example>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nbudget overrun\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>hello <b>wo</b>rld</p>\r\n--b--\r\n"
)
SENDER, RECIPIENT = "coyote@desert.example", "road+birds@benet.com"
EXTENSIONS = (
    *("fileinto", "copy", "imap4flags", "variables", "relational", "comparator-i;ascii-numeric", "subaddress"),
    *("envelope", "body", "date", "index", "encoded-character", "vacation", "reject", "mailbox"),
)
HEAD = f"require [{', '.join(f'{chr(34)}{name}{chr(34)}' for name in EXTENSIONS)}];\n"
TESTS = (
    'header :contains "subject" "会议"',
    'header :is "subject" "会议通知 (FINAL)"',
    'header :matches "subject" "*通知 (?inal)"',
    'header :matches "subject" "*(*"',
    'header :comparator "i;octet" :contains "subject" "FINAL"',
    'header :value "gt" :comparator "i;ascii-numeric" "x-score" "5"',
    'header :value "lt" :comparator "i;ascii-numeric" "x-score" "abc"',
    'header :count "eq" :comparator "i;ascii-numeric" "x-list" "3"',
    'header :count "ge" :comparator "i;ascii-numeric" ["x-list", "x-score"] "4"',
    'header :index 2 "x-list" "b"',
    'header :index 1 :last "x-list" "c"',
    'header :contains "x-none" ""',
    'header :is "list-id" "L <l.example>"',
    'address :domain "from" "benet.com"',
    'address :localpart ["from", "to"] "x"',
    'address :all :contains "to" "BIRDS"',
    'address :user "to" "road"',
    'address :detail "to" "birds"',
    'address :count "eq" :comparator "i;ascii-numeric" ["to", "cc"] "3"',
    'envelope "from" "coyote@desert.example"',
    'envelope :domain "to" "benet.com"',
    'exists ["from", "date"]',
    'exists ["from", "x-none"]',
    "size :over 500",
    "size :over 1M",
    'body :contains "overrun"',
    'body :text :contains "nothing"',
    'body :raw :contains "--b"',
    'body :content "text/html" :contains "<b>wo"',
    'allof (true, anyof (false, not false))',
    'date :originalzone "date" "hour" "07"',
    'date :zone "+0000" "date" "date" "2026-09-04"',
    'date :originalzone "date" "weekday" "6"',
    'date :originalzone "date" "julian" "61288"',
    'date :originalzone "date" "std11" "Sat, 05 Sep 2026 07:15:09 +0800"',
    'date :originalzone "date" "iso8601" "2026-09-05T07:15:09+08:00"',
    'string "a${hex:42}${unicode:4e2d}" "aB中"',
    'string :matches "abcbc" "a*bc"',
)  # fmt: skip
SCRIPTS = (
    "",
    "discard;",
    "stop; discard;",
    'fileinto "Junk";',
    'fileinto :copy "Junk";',
    'fileinto "a"; fileinto "b"; keep;',
    'redirect "a@b.example";',
    'redirect :copy "a@b.example";',
    'addflag ["one", "\\\\Seen"]; removeflag "ONE";',
    'setflag "x"; fileinto :flags "y z" "Junk"; keep;',
    'if header :matches "subject" "*通知 (*)" { set :upper "k" "${2}"; fileinto "${1}-${k}"; }',
    'if header :matches "subject" "*\\\\(*" { fileinto "${2}"; }',
    'set :length "n" "abc"; set :quotewildcard "q" "a*?"; set :upperfirst "u" "abc"; fileinto "${n}${q}${u}${none}";',
    'if false { discard; } elsif true { fileinto "e"; } else { keep; }',
    'reject "no";',
    'if address :matches "from" "*@*" { fileinto "${2}"; }',
)  # fmt: skip


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """Return a working directory for Pigeonhole, owned by nobody."""
    top = Path(tempfile.mkdtemp(prefix="sieve-"))
    top.chmod(0o777)
    (top / "m.eml").write_bytes(MESSAGE)
    conf = f"mail_uid=nobody\nmail_gid=nogroup\nmail_location=maildir:{top}/mail\nmail_home={top}\nlog_path=/dev/stderr\nssl=no\n"
    (top / "d.conf").write_text(conf)
    yield top
    shutil.rmtree(top)


def theirs(room: Path, script: str) -> set[tuple[str, ...]]:
    (room / "s.sieve").write_text(script)
    ran = subprocess.run(
        ["sieve-test", "-c", "d.conf", "-f", SENDER, "-a", RECIPIENT, "-r", RECIPIENT, "s.sieve", "m.eml"],
        cwd=room, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "final result: success" in ran.stderr + ran.stdout, ran.stdout + ran.stderr
    found: list[tuple[str, ...]] = []
    for line in ran.stdout.splitlines():
        if match := re.match(r" \* store message in folder: (.*)", line):
            found.append(("store", match[1]))
        elif match := re.match(r" \* redirect message to: <(.*)>", line):
            found.append(("redirect", match[1]))
        elif line.startswith(" * reject"):
            found.append(("reject",))
        elif match := re.match(r"\s+\+ add IMAP flags: (.*)", line):
            found[-1] = (*found[-1], *sorted(match[1].lower().split()))
    return set(found)


def ours(script: str) -> set[tuple[str, ...]]:
    around = ScriptEnvironment(1_788_600_000.0, bool, str, bool)
    result: SieveResult = run_script(compile_script(script), SieveMessage(MESSAGE, Envelope(SENDER, RECIPIENT)), around)
    found = {("store", keep.mailbox, *sorted(flag.lower() for flag in keep.flags)) for keep in result.keeps}
    found |= {("redirect", each.address) for each in result.redirects}
    return found | ({("reject",)} if result.reject else set())


@pytest.mark.parametrize("test", TESTS)
def test_tests_hold_alike(room: Path, test: str) -> None:
    script = f"{HEAD}if {test} {{ discard; }}"
    assert ours(script) == theirs(room, script)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_do_alike(room: Path, script: str) -> None:
    assert ours(HEAD + script) == theirs(room, HEAD + script)


# --- ManageSieve ----------------------------------------------------------------------------------


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    if missing() or not Path("/usr/lib/dovecot/managesieve").exists():
        pytest.skip("needs dovecot-managesieved, and root to start it")
    running = Dovecot(sieve=True)
    yield running
    running.stop()


def test_the_webmails_client_at_dovecot(dovecot: Dovecot) -> None:
    server = ServerAddress("127.0.0.1", dovecot.sieve_port, tls=False)
    with pytest.raises(sieve_client.SieveRefused), sieve_client.connect_sieve(server, "lisi", "wrong"):
        pass
    with sieve_client.connect_sieve(server, "lisi", "there") as keeper:
        assert "fileinto" in keeper.extensions
        with pytest.raises(sieve_client.SieveRefused, match="line 2"):
            keeper.put("x", "keep;\nbark;")
        keeper.put("过滤", rules.render_script(RULES))
        keeper.activate("过滤")
        assert keeper.scripts() == [sieve_client.StoredScript("过滤", active=True)]
        assert rules.parse_script(keeper.script("过滤")) == RULES
        with pytest.raises(sieve_client.SieveRefused) as refused:
            keeper.delete("过滤")
        assert refused.value.code == "ACTIVE"
        keeper.activate("")
        keeper.delete("过滤")
        assert keeper.scripts() == []


NET_SIEVE = """<?php
require 'Net/Sieve.php';
[$_, $port, $script] = $argv;
$s = new Net_Sieve('lisi@benet.com', '123456', '127.0.0.1', (int)$port, 'PLAIN', '', false, false);
$said = [];
function text($answer) { return $answer instanceof PEAR_Error ? $answer->getMessage() : $answer; }
$said['extensions'] = in_array('vacation', array_map('strtolower', $s->getExtensions()));
$said['room'] = text($s->haveSpace('r', 100));
$said['bad'] = text($s->installScript('bad', "keep;\nbark;"));
$said['put'] = text($s->installScript('roundcube', $script, true));
$said['list'] = $s->listScripts();
$said['active'] = $s->getActive();
$said['script'] = $s->getScript('roundcube');
$said['busy'] = text($s->removeScript('roundcube'));
$said['off'] = text($s->setActive(''));
$said['gone'] = text($s->removeScript('roundcube'));
$said['bye'] = text($s->disconnect());
echo json_encode($said);
"""


@pytest.mark.django_db(transaction=True)
def test_roundcubes_client_here(benet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path("/usr/share/php/Net/Sieve.php").exists():
        pytest.skip("needs php-net-sieve")
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    directory.set_password_hash(benet["lisi"], make_password("123456"))
    server = Running(lambda bridge: SieveServer(bridge, None))
    (tmp_path / "c.php").write_text(NET_SIEVE)
    script = rules.render_script(RULES)
    ran = subprocess.run(
        ["php", tmp_path / "c.php", str(server.port), script], capture_output=True, text=True, check=False
    )
    server.stop()
    said = json.loads(ran.stdout)
    assert (said["extensions"], said["room"], said["put"]) == (True, True, True)
    assert "line 2" in said["bad"]
    assert (said["list"], said["active"], said["script"].strip()) == (["roundcube"], "roundcube", script.strip())
    assert "cannot be deleted" in said["busy"]
    assert (said["off"], said["gone"]) == (True, True)


RULES = FilterSet(
    rules=(
        Rule("one", (Condition("from", "is", "lisi@benet.com"),), (Action("star"), Action("move", "工作"))),
        Rule("two", (Condition("subject", "lacks", "x"), Condition("body", "contains", "overrun")), (Action("pass", "a@b.example"),)),
        Rule("three", (Condition("larger", "contains", "1"), Condition("all")), (Action("label", "work"), Action("copy", "x")), any_of=True, stop=False),
        Rule("off", (Condition("all"),), (Action("discard"),), enabled=False),
        Rule("h", (Condition("header", "matches", "7*", "x-score"),), (Action("read"),)),
    ),
    away=VacationSettings("away\n.\nreally", "gone", 3, ("me@benet.com",), "2020-01-01", "2021-01-01", True),
    blocked=("spam@x.example", "@spam.example"),
)  # fmt: skip


def test_rules_of_the_pages_run_there(room: Path) -> None:
    script = rules.render_script(RULES)
    assert ours(script) == theirs(room, script) == {("store", "工作", "\\flagged")}
    for number in range(len(RULES.rules)):
        one = rules.render_script(FilterSet((RULES.rules[number],)))
        assert ours(one) == theirs(room, one)
