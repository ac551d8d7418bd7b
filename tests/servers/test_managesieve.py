"""ManageSieve conversations with a real server on a real socket. `C:` is what the client says, `S:` what it hears."""

import base64
import ssl
from collections.abc import Callable

import pytest

from conversation import Conversation, Running
from mailcore.models import SieveScript
from mailcore.servers.managesieve.session import SieveServer
from mailcore.store import directory
from mailcore.wire.managesieve_syntax import (
    CommandTokens,
    GrammarError,
    ResponseCode,
    StringToken,
    format_response,
    format_string,
    parse_command,
)

pytestmark = pytest.mark.django_db(transaction=True)

PLAIN = base64.b64encode(b"\0lisi@benet.com\x00123456").decode()
SCRIPT = 'require "fileinto";\r\nfileinto "Archive";\r\n'


@pytest.fixture
def sieve(serve: Callable[..., Running], benet) -> Callable[..., Running]:
    """`sieve(context)` starts a ManageSieve server."""
    return lambda context=None: serve(lambda executor: SieveServer(executor, context))


def greeted(server: Running) -> Conversation:
    client = server.dial()
    until_ok(client)
    return client


def until_ok(client: Conversation) -> list[str]:
    lines = [client.hear()]
    while not lines[-1].startswith(("OK", "NO", "BYE")):
        lines.append(client.hear())
    return lines


@pytest.fixture
def lisi(sieve) -> Conversation:
    """李四, signed in."""
    client = greeted(sieve())
    client.talk(f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: OK "Logged in."')
    return client


def put(client: Conversation, name: str, script: str) -> str:
    data = script.encode()
    client.send(f'PUTSCRIPT "{name}" {{{len(data)}+}}\r\n'.encode() + data + b"\r\n")
    return client.hear()


def test_greeting(sieve):
    client = sieve().dial()
    lines = until_ok(client)
    said = dict(line.split(" ", 1) if " " in line else (line, "") for line in lines[:-1])
    assert said['"IMPLEMENTATION"'] == '"Youju"'
    assert "vacation" in said['"SIEVE"']
    assert said['"NOTIFY"'] == '"mailto"'  # RFC 5804 §1.7: beside enotify
    assert "PLAIN" in said['"SASL"']
    assert said['"VERSION"'] == '"1.0"'
    assert '"STARTTLS"' not in said


def test_a_whole_visit(lisi):
    lisi.talk('C: HAVESPACE "a" 1000\nS: OK "Enough space."')
    assert put(lisi, "a", SCRIPT) == 'OK "Stored."'
    lisi.talk(
        """
        C: LISTSCRIPTS
        S: "a"
        S: OK
        C: setactive "a"
        S: OK "Done."
        C: LISTSCRIPTS
        S: "a" ACTIVE
        S: OK
        C: GETSCRIPT "a"
        S: {42}
        S: require "fileinto";
        S: fileinto "Archive";
        S:
        S: OK
        C: DELETESCRIPT "a"
        S: NO (ACTIVE) "…"
        C: RENAMESCRIPT "a" "过滤"
        S: OK "Renamed."
        C: SETACTIVE ""
        S: OK "Done."
        C: DELETESCRIPT "过滤"
        S: OK "Deleted."
        C: GETSCRIPT "a"
        S: NO (NONEXISTENT) "…"
        C: NOOP "x1"
        S: OK (TAG "x1") "Done."
        C: LOGOUT
        S: OK "Logout completed."
        """
    )
    assert not SieveScript.objects.exists()


def test_a_faulty_script_is_told_by_line_and_not_stored(lisi):
    assert "line 2: " in put(lisi, "a", "keep;\r\nbark;\r\n")
    data = b"keep;\r\nbark;"
    lisi.send(b"CHECKSCRIPT {%d+}\r\n%s\r\n" % (len(data), data))
    assert lisi.hear().startswith('NO "line 2')
    lisi.talk('C: CHECKSCRIPT "keep;"\nS: OK "No fault found."')
    assert not SieveScript.objects.exists()


def test_limits(lisi, parameters):
    parameters(sieve_quota_max_scripts="1", sieve_max_script_size="5000")
    assert put(lisi, "a", "keep;").startswith("OK")
    assert put(lisi, "b", "keep;").startswith("NO (QUOTA/MAXSCRIPTS)")
    lisi.talk('C: HAVESPACE "a" 99999\nS: NO (QUOTA/MAXSIZE) "…"')
    assert put(lisi, "a", "# " + "x" * 6000) == 'NO "Literal too large."'
    lisi.talk("C: NOOP\nS: OK …")


def test_before_sign_in(sieve):
    client = greeted(sieve())
    client.talk(
        """
        C: LISTSCRIPTS
        S: NO "Sign in first."
        C: BARK
        S: NO "Unknown command."
        C: AUTHENTICATE "PLAIN" "!"
        S: NO "Invalid base64."
        C: AUTHENTICATE "PLAIN"
        S: ""
        C: "*"
        S: NO "Authentication failed."
        C: AUTHENTICATE "BARK"
        S: NO "Unsupported mechanism."
        C: STARTTLS
        S: NO "TLS is not offered."
        """
    )
    client.send(b"PUTSCRIPT {99999999+}\r\n")
    assert client.hear() == 'BYE "Literal too large."'


def test_a_wrong_password(sieve):
    client = greeted(sieve())
    wrong = base64.b64encode(b"\0lisi@benet.com\0no").decode()
    client.talk(f'C: AUTHENTICATE "PLAIN" "{wrong}"\nS: NO "Authentication failed."')


def test_under_tls(sieve, certificate, parameters):
    server, trusting = certificate
    parameters(disable_plaintext_auth="yes")
    client = sieve(server).dial()
    assert '"STARTTLS"' in until_ok(client)
    client.talk("C: STARTTLS\nS: OK …")
    client.start_tls(trusting)
    lines = until_ok(client)  # sent again, unasked (RFC 5804 §2.2)
    assert '"STARTTLS"' not in lines
    assert isinstance(client.socket, ssl.SSLSocket)
    client.talk(f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: OK "Logged in."')


def test_whose_scripts(lisi, sieve, benet):
    put(lisi, "a", "keep;")
    other = greeted(sieve())
    theirs = base64.b64encode(b"\0xiaoqi@benet.com\x00123456").decode()
    other.talk(
        f'C: AUTHENTICATE "PLAIN" "{theirs}"\nS: OK "Logged in."\nC: LISTSCRIPTS\nS: OK\nC: GETSCRIPT "a"\nS: NO …'
    )


def test_who_was_signed_out_is_told(sieve, benet):
    server = sieve()
    client = greeted(server)
    client.talk(f'C: AUTHENTICATE "PLAIN" "{PLAIN}"\nS: OK "Logged in."')
    directory.set_password(benet["lisi"], "another long password")
    server.server.on_notifications(server.server.watched_ids)
    client.talk('C: NOOP\nS: BYE "You have been signed out."')


@pytest.mark.parametrize(
    ("line", "tokens"),
    [
        (b'PUTSCRIPT "a\\"b" "c"', ["PUTSCRIPT", StringToken(b'a"b'), StringToken(b"c")]),
        (b'NO (QUOTA/MAXSIZE) "x"', ["NO", ResponseCode("QUOTA/MAXSIZE"), StringToken(b"x")]),
        (b'OK (TAG "a)") "x"', ["OK", ResponseCode('TAG "a)"'), StringToken(b"x")]),
        (b"", []),
    ],
)
def test_sentences(line, tokens):
    sentence = CommandTokens()
    assert sentence.line(line)
    assert sentence.tokens == tokens


@pytest.mark.parametrize("line", [b'"open', b"PUT (", b'a "\r"', b"}"])
def test_what_is_no_sentence(line):
    with pytest.raises(GrammarError):
        CommandTokens().line(line)


@pytest.mark.parametrize(
    "tokens",
    [[], [StringToken(b"x")], ["NOOP", "x"], ["SETACTIVE"], ["HAVESPACE", StringToken(b"a"), StringToken(b"1")]],
)
def test_what_is_no_command(tokens):
    with pytest.raises(GrammarError):
        parse_command(tokens, signed_in=True)


def test_strings_and_answers():
    assert format_string('a"b') == b'"a\\"b"'
    assert format_string("a\r\nb") == b"{4}\r\na\r\nb"
    assert format_response("NO", "Line 1: no.\r\nLine 2", "QUOTA") == b"NO (QUOTA) {19}\r\nLine 1: no.\r\nLine 2\r\n"


def test_a_command_has_few_strings(serve, benet):
    server = serve(lambda executor: SieveServer(executor, None))
    client = server.dial()
    while not client.hear().startswith("OK"):
        pass
    client.send(b"NOOP " + b"{0+}\r\n" * 1000 + b"\r\n")
    client.talk('S: NO "Too many strings."')
