"""Passwords guessed over many connections at once, on every protocol."""

import base64
import select
from collections import Counter

import pytest

from mailcore import rate_counters
from mailcore.servers.managesieve.session import SieveServer
from mailcore.servers.pop3.session import Pop3Server
from mailcore.store.auth import throttle

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTIONS = 60
LIMIT = 5
# Each thread that judges (two at least, one a processor) may have begun before the limit was reached.
OVERSHOOT = 16


def token(password: str, name: str = "lisi@benet.com") -> str:
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


PROTOCOLS = {
    "smtp": ("AUTH PLAIN {token}", "235 ", "535 ", "454 4.7.0 "),
    "imap": ("a LOGIN {name} {password}", "a OK ", "a NO [AUTHENTICATIONFAILED] ", "a NO [UNAVAILABLE] "),
    "imap-sasl": ("a AUTHENTICATE PLAIN {token}", "a OK ", "a NO [AUTHENTICATIONFAILED] ", "a NO [UNAVAILABLE] "),
    "pop3": ("PASS {password}", "+OK", "-ERR [AUTH]", "-ERR [SYS/TEMP] "),
    "sieve": ('AUTHENTICATE "PLAIN" "{token}"', "OK ", 'NO "', "NO (TRYLATER) "),
}


@pytest.fixture(params=PROTOCOLS)
def protocol(request, serve, smtp, imap, parameters, benet):
    """(how to open a conversation that may sign in, the protocol's words)."""
    name = request.param
    if name == "smtp":
        running = smtp("submission")
    elif name.startswith("imap"):
        running = imap()
    elif name == "pop3":
        running = serve(lambda executor: Pop3Server(executor, None, implicit_tls=False))
    else:
        running = serve(lambda executor: SieveServer(executor, None))
    off = {"unauthenticated_connection_limit": "0", "smtpd_client_connection_count_limit": "0"}
    parameters(auth_failure_limit=str(LIMIT), auth_failure_delay="0", **off)

    def dial(user="lisi@benet.com"):
        client = running.dial()
        if name == "smtp":
            client.talk("S: 220 …\nC: EHLO x")
            while not client.hear().startswith("250 "):
                pass
        elif name == "sieve":
            while not client.hear().startswith("OK"):
                pass
        elif name == "pop3":
            client.talk(f"S: +OK …\nC: USER {user}\nS: +OK…")
        else:
            client.hear()
        return client

    return dial, PROTOCOLS[name]


def answers(
    clients, command: str, passwords: list[str], kinds: tuple[str, ...], name: str = "lisi@benet.com"
) -> Counter[str]:
    for client, password in zip(clients, passwords, strict=True):
        client.say(command.format(name=name, token=token(password, name), password=password))
    found: Counter[str] = Counter()
    for client in clients:
        line = client.hear()
        found[next((kind for kind in kinds if line.startswith(kind)), line)] += 1
    return found


def test_many_connections_guess_no_faster_than_one(protocol):
    dial, (command, *kinds) = protocol
    clients = [dial() for _ in range(CONNECTIONS)]
    found = answers(clients, command, [f"wrong{number}" for number in range(CONNECTIONS)], tuple(kinds))
    right, wrong, later = kinds
    assert set(found) <= {wrong, later}
    assert LIMIT <= found[wrong] <= LIMIT + OVERSHOOT
    assert found[later] == CONNECTIONS - found[wrong]
    assert rate_counters.count_events("auth account", "lisi@benet.com", 3600, events=0) == found[wrong]
    # What is refused holds nothing: the right password opens, alone.
    assert answers([dial()], command, ["123456"], tuple(kinds)) == {right: 1}


def test_the_right_password_too_is_refused_while_another_attempt_is_judged(protocol):
    dial, (command, *kinds) = protocol
    for _ in range(LIMIT):
        throttle.Attempt("lisi@benet.com", "127.0.0.1").end(failed=True)
    under_way = throttle.Attempt("lisi@benet.com", "192.0.2.1")
    assert answers([dial()], command, ["123456"], tuple(kinds)) == {kinds[2]: 1}
    under_way.end(failed=False)


def test_a_refused_guess_waits_as_long_as_a_wrong_one(protocol, parameters):
    """Else one connection tries again thousands of times a second, and the processors do nothing else."""
    dial, (command, *kinds) = protocol
    for _ in range(LIMIT):
        throttle.Attempt("lisi@benet.com", "192.0.2.9").end(failed=True)
    under_way = throttle.Attempt("lisi@benet.com", "192.0.2.1")
    refused, other = dial(), dial("xiaoqi@benet.com")
    parameters(auth_failure_delay="3s")
    refused.say(command.format(name="lisi@benet.com", token=token("guess"), password="guess"))
    # Another account's attempt, which does not wait, is verified meanwhile.
    assert answers([other], command, ["123456"], tuple(kinds), "xiaoqi@benet.com") == {kinds[0]: 1}
    assert not select.select([refused.socket], [], [], 0)[0]
    assert refused.hear().startswith(kinds[2])
    under_way.end(failed=False)
