"""Literals of IMAP clients: how many, how long, how they share the event loop, and what a mailbox name may come as."""

import asyncio

import pytest

from imap_client import PLAIN, ImapRunning, Mailer
from mailcore.wire.imap.syntax.search_syntax import DEFAULT_LIMITS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def running(imap) -> ImapRunning:
    return imap()


@pytest.fixture
def lisi(running) -> Mailer:
    client = running.dial().sign_in()
    client.do("SELECT INBOX")
    return client


def test_few_literals_before_sign_in(running):
    client = running.dial()
    client.hear()
    client.send(b"a LOGIN " + b"{0+}\r\n" * 11 + b"\r\nb NOOP\r\n")
    client.talk("S: a NO [LIMIT] Too many literals\nS: b OK …")
    client.do("LOGIN {4+}\r\nlisi {6+}\r\n123456")


def test_64_kilobytes_a_command_before_sign_in(running):
    client = running.dial()
    client.hear()
    client.send(b"a LOGIN {40000+}\r\n" + b"x" * 40_000 + b" {40000+}\r\n" + b"x" * 40_000 + b"\r\nb NOOP\r\n")
    client.talk("S: a NO [TOOBIG] Literal is too long\nS: b OK …")


def test_a_client_that_goes_on_with_such_literals_is_sent_away(running, parameters):
    parameters(mail_max_bad_commands="3")
    client = running.dial()
    client.hear()
    for tag in "abc":
        client.send(tag.encode() + b" LOGIN {99999}\r\n")
        client.talk(f"S: {tag} NO [TOOBIG] …")
    client.talk("S: * BYE Too many invalid commands")


def test_145000_literals_before_sign_in(running):
    client = running.dial()
    client.hear()
    client.send(b"a LOGIN " + b"{0+}\r\n" * 145_000 + b"\r\nb NOOP\r\n")
    client.talk("S: a NO [LIMIT] …\nS: b OK …")


def test_a_cap_on_literals_after_sign_in(lisi, parameters):
    parameters(imap_max_literals="20")
    lisi.do(b"SEARCH " + b" ".join([b"SUBJECT {1+}\r\nx"] * 20))
    lisi.do(b"SEARCH " + b" ".join([b"SUBJECT {1+}\r\nx"] * 21), "NO [LIMIT]")


def test_a_kept_literal_longer_than_what_is_read_ahead(lisi):
    """Reading pauses at 256 KB: a literal that is waited for must not wait for that."""
    lisi.do(b"SEARCH TEXT {600000+}\r\n" + b"x" * 600_000, "NO [LIMIT] Search string is too long")
    lisi.do("NOOP")


@pytest.mark.parametrize(
    "command", ["APPEND {5+}\r\nINBOX ", "APPEND {5+}\r\nINBOX (\\Seen) ", "UID REPLACE 1 {5+}\r\nINBOX "]
)
def test_a_mailbox_name_as_a_literal_before_a_message(lisi, command):
    lisi.append(PLAIN)
    lisi.do("NOOP")
    lisi.do(command.encode() + b"{%d+}\r\n%b" % (len(PLAIN), PLAIN))
    assert "APPENDUID" in lisi.tagged or "REPLACE" in command


def test_a_waiting_literal_as_a_mailbox_name(lisi):
    lisi.send(b"a APPEND {5}\r\n")
    lisi.talk("S: + OK")
    lisi.send(b"INBOX {%d}\r\n" % len(PLAIN))
    lisi.talk("S: + OK")
    lisi.send(PLAIN + b"\r\n")
    while not (line := lisi.hear()).startswith("a "):
        pass
    assert line.startswith("a OK [APPENDUID ")


class Ticks:
    """The most bytes a session wrote in one iteration of the event loop."""

    def __init__(self, running: ImapRunning) -> None:
        self.most = 0
        self._before = 0
        self._running = running
        self._go_on = True

    async def start(self) -> None:
        asyncio.get_running_loop().call_soon(self._tick)

    def _tick(self) -> None:
        written = sum(session.connection._out_size for session in self._running.server._sessions)
        self.most = max(self.most, written - self._before)
        self._before = written
        if self._go_on:
            asyncio.get_running_loop().call_soon(self._tick)

    async def stop(self) -> None:
        self._go_on = False


def test_the_event_loop_turns_between_commands_sent_ahead(running):
    client = running.dial()
    client.hear()
    ticks = Ticks(running)
    running.do(ticks.start())
    client.send(b"a NOOP\r\n" * 5000)
    for _ in range(5000):
        assert client.hear() == "a OK Noop completed."
    running.do(ticks.stop())
    assert ticks.most <= 2 * len("a OK Noop completed.\r\n")


def nested(depth: int) -> str:
    """ANDs and ORs in turn."""
    program = "SEEN"
    for _ in range(depth):
        program = f"OR FLAGGED (DRAFT {program})"
    return program


@pytest.mark.parametrize(
    ("program", "expect"),
    [
        ("OR SEEN " * 30 + "UNSEEN", "OK"),
        ("OR SEEN " * 900 + "UNSEEN", "OK"),
        ("SEEN " * 900 + "UNSEEN", "OK"),
        ("NOT " * DEFAULT_LIMITS.depth + "SEEN", "OK"),
        ("NOT " * (DEFAULT_LIMITS.depth + 1) + "SEEN", "NO [LIMIT]"),
        ("(" * DEFAULT_LIMITS.depth + "SEEN" + ")" * DEFAULT_LIMITS.depth, "OK"),
        ("(" * 30_000, "NO [LIMIT]"),
        ("OR SEEN " * 2000 + "UNSEEN", "NO [LIMIT]"),
        (nested(10), "OK"),
        (nested(11), "NO [LIMIT]"),
        ("OR (SUBJECT a FROM b) " * 30 + "ALL", "OK"),
        ("TEXT " + "x" * 1025, "NO [LIMIT]"),
        ("UID " + ",".join(f"{at}:{at + 1}" for at in range(1, 15_000, 3)), "OK"),
        ("NOT UID " + ",".join(str(at) for at in range(1, 9000, 2)), "OK"),
    ],
    ids=lambda value: value[:30],
)
def test_a_search_is_done_or_refused(lisi, program, expect):
    lisi.append(PLAIN)
    lisi.do(f"SEARCH {program}", expect)
    lisi.do(f"UID SEARCH {program}", expect)
    lisi.do(f"SORT (DATE) UTF-8 {program}", expect)
    lisi.do(f'ESEARCH IN (mailboxes "INBOX") {program}', expect)


@pytest.mark.parametrize(
    ("parameter", "value", "program"),
    [
        ("imap_search_max_depth", "2", "NOT NOT NOT SEEN"),
        ("imap_search_max_keys", "2", "SEEN SEEN SEEN"),
        ("imap_search_max_string", "2", "TEXT abc"),
        ("imap_search_max_alternations", "1", nested(1)),
    ],
)
def test_limits_of_searches_are_parameters(lisi, parameters, parameter, value, program):
    lisi.do(f"SEARCH {program}")
    parameters(**{parameter: value})
    for command in ("SEARCH", "UID SORT (DATE) UTF-8", "THREAD REFS UTF-8", "ESEARCH IN (personal)"):
        lisi.do(f"{command} {program}", "NO [LIMIT]")


def test_no_parameter_makes_a_search_an_internal_error(lisi, parameters):
    parameters(imap_search_max_depth="100000", imap_search_max_alternations="100000", imap_search_max_keys="100000")
    for program in ("NOT " * 200 + "SEEN", "(" * 200 + "SEEN" + ")" * 200, nested(15)):
        lisi.do(f"SEARCH {program}")
    for program in ("NOT " * 201 + "SEEN", nested(16)):
        lisi.do(f"SEARCH {program}", "NO [LIMIT]")
