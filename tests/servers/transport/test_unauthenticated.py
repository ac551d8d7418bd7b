"""Connections on which nobody signs in: how many an address may have, for how long, and when descriptors run out."""

import base64
import resource
import socket
import threading
from collections.abc import Callable

import pytest

from conversation import Conversation, Running
from mailcore import rate_counters
from mailcore.servers.managesieve.session import SieveServer
from mailcore.servers.pop3.session import Pop3Server
from mailcore.servers.transport.unauthenticated import TOO_LATE, TOO_MANY, TOO_MANY_IN_ALL
from tests.servers.runtime.test_supervisor import System, pids

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 5
PROTOCOLS = ("submission", "imap", "pop3", "sieve")
SIGN_IN = {
    "submission": "AUTH PLAIN " + base64.b64encode(b"\0lisi@benet.com\x00123456").decode(),
    "imap": "a LOGIN lisi@benet.com 123456",
    "pop3": "USER lisi@benet.com\r\nPASS 123456",
    "sieve": 'AUTHENTICATE "PLAIN" "' + base64.b64encode(b"\0lisi@benet.com\x00123456").decode() + '"',
}
IN = {"submission": "235 ", "imap": "a OK ", "pop3": "+OK Logged in", "sieve": 'OK "Logged in'}


@pytest.fixture
def start(serve, smtp, imap, parameters, benet) -> Callable[..., Running]:
    """`start("imap", context)`: TLS at once where there is a context."""

    def begin(name: str, context: object = None) -> Running:
        if name == "submission":
            running = smtp("submissions" if context else "submission", context)
        elif name == "imap":
            running = imap(context=context, implicit=True) if context else imap()
        elif name == "pop3":
            running = serve(lambda executor: Pop3Server(executor, context, implicit_tls=context is not None))
        else:
            running = serve(lambda executor: SieveServer(executor, None))
        parameters(mynetworks="", unauthenticated_connection_limit=str(LIMIT))
        return running

    return begin


def rest(client: Conversation) -> str:
    """Everything until the server closes."""
    try:
        return client.file.read().decode()
    except ConnectionResetError:
        return ""


def greet(client: Conversation, name: str) -> None:
    client.hear()
    if name == "submission":
        client.talk("C: EHLO x")
        while not client.hear().startswith("250 "):
            pass
    while name == "sieve" and not client.hear().startswith("OK"):
        pass


def sign_in(client: Conversation, name: str) -> None:
    client.say(SIGN_IN[name])
    while not (line := client.hear()).startswith(IN[name]):
        assert line.startswith("+OK"), line


@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_oldest_is_dropped_and_those_who_sign_in_stay(start, name):
    running = start(name)
    known = []
    for _ in range(LIMIT + 2):  # those who have signed in count no more
        known.append(running.dial())
        greet(known[-1], name)
        sign_in(known[-1], name) if name != "pop3" or not known[:-1] else None
        if name == "pop3":
            break  # one session has the mailbox
    strangers = []
    for _ in range(LIMIT + 3):
        strangers.append(running.dial())
        greet(strangers[-1], name)
    for client in strangers[:3]:
        assert TOO_MANY.rstrip(".") in rest(client)
    assert rate_counters.increment_held("unauthenticated", "127.0.0.1") == LIMIT + 1
    rate_counters.decrement_held("unauthenticated", "127.0.0.1")
    if name != "pop3":
        sign_in(strangers[-1], name)
    known[0].say("NOOP" if name != "imap" else "b NOOP")
    assert known[0].hear()


@pytest.mark.parametrize("name", ["submission", "imap", "pop3"])
def test_those_that_never_shake_hands_count_too(start, name, certificate):
    running = start(name, certificate[0])
    silent = [running.dial() for _ in range(LIMIT + 3)]
    for client in silent[:3]:
        assert rest(client) == ""
    client = running.dial()
    client.start_tls(certificate[1])
    assert client.hear()


@pytest.mark.parametrize("name", ["submission", "imap", "pop3"])
def test_a_handshake_makes_a_connection_no_younger(start, name, certificate):
    """login_timeout, too, runs from the start: it is of the same count."""
    running = start(name, certificate[0])
    first = running.dial()
    others = [running.dial() for _ in range(LIMIT - 1)]
    first.start_tls(certificate[1])
    assert first.hear()
    running.dial()
    assert TOO_MANY.rstrip(".") in rest(first)
    others[0].start_tls(certificate[1])
    assert others[0].hear()


@pytest.mark.parametrize("name", ["submission", "imap", "pop3"])
def test_who_signs_in_after_a_handshake_counts_no_more(start, name, certificate):
    running = start(name, certificate[0])
    client = running.dial()
    client.start_tls(certificate[1])
    greet(client, name)
    sign_in(client, name)
    assert rate_counters.increment_held("unauthenticated", "127.0.0.1") == 1
    assert rate_counters.increment_held("unauthenticated total", "") == 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_all_addresses_together_have_a_limit(start, parameters, name):
    running = start(name)
    parameters(mynetworks="127.0.0.0/8", unauthenticated_connection_total_limit=str(LIMIT))
    clients = []
    for _ in range(LIMIT + 2):
        clients.append(running.dial())
        greet(clients[-1], name)
    for client in clients[:2]:
        assert TOO_MANY_IN_ALL.rstrip(".") in rest(client)
    sign_in(clients[2], name)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_bytes_do_not_prolong_the_time_to_sign_in(start, parameters, name):
    running = start(name)
    parameters(login_timeout="1s")
    client = running.dial()
    ended = threading.Event()
    sent = []

    def trickle() -> None:
        while not ended.wait(0.1) and len(sent) < 600:
            try:
                client.send(b"x")
            except OSError:
                return
            sent.append(1)

    thread = threading.Thread(target=trickle)
    thread.start()
    heard = rest(client)
    ended.set()
    thread.join()
    assert not heard or TOO_LATE.rstrip(".") in heard
    assert len(sent) < 600


def test_no_limit_for_neighbours(start, parameters):
    running = start("imap")
    parameters(mynetworks="127.0.0.0/8")
    clients = [running.dial() for _ in range(LIMIT + 3)]
    for client in clients:
        greet(client, "imap")
        client.say("a NOOP")
        assert client.hear().startswith("a OK")


def test_the_soft_limit_is_raised_and_running_out_of_descriptors_passes(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
    try:
        limits = {"MAIL_LOGIN_TIMEOUT": "600s", "MAIL_UNAUTHENTICATED_CONNECTION_LIMIT": "0"}
        system = System(tmp_path, "--demo", "--json", "--no-web", MAIL_SERVER_PROCESSES="1", **limits)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    system.await_ready()
    try:
        server = pids(system)["server-1"]
        assert resource.prlimit(server, resource.RLIMIT_NOFILE)[0] == hard
        resource.prlimit(server, resource.RLIMIT_NOFILE, (100, hard))
        for port in (system.ports["imaps"], system.ports["imap"], system.ports["smtp"]):
            held = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(150)]
            if port == system.ports["imaps"]:
                assert system.await_log("warning: accept: ")
            for client in held:
                client.close()
        resource.prlimit(server, resource.RLIMIT_NOFILE, (hard, hard))
        with socket.create_connection(("127.0.0.1", system.ports["imap"]), 30) as client:
            assert client.recv(100).startswith(b"* OK")
    finally:
        system.stop()
