"""Letters to other hosts: a table of what they do to us and what becomes of the letter."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from mailcore.models import Queued
from mailcore.post import queue, remote
from mailcore.post.deliver import RemoteJob

pytestmark = pytest.mark.django_db(transaction=True)

Script = dict[str, bytes]
POLITE: Script = {
    "": b"220 far.example ESMTP\r\n",
    "EHLO": b"250-far.example\r\n250-SIZE\r\n250 8BITMIME\r\n",
    "HELO": b"250 far.example\r\n",
    "MAIL": b"250 2.1.0 Ok\r\n",
    "RCPT": b"250 2.1.5 Ok\r\n",
    "DATA": b"354 go on\r\n",
    ".": b"250 2.0.0 Ok: queued as FAR\r\n",
    "QUIT": b"221 2.0.0 Bye\r\n",
}
HANG_UP, SILENCE = b"", b"\0"


class FarHost:
    """A host that answers by a script: verb → reply, HANG_UP, or SILENCE."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.content = b""
        self.commands: list[str] = []
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.hop = f"[127.0.0.1]:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as lines:
            if not self._answer(connection, ""):
                return
            for line in lines:
                verb = line.split(b" ")[0].strip().decode().upper()
                self.commands.append(line.decode().strip())
                if not self._answer(connection, verb):
                    return
                if verb == "DATA" and self.script["DATA"].startswith(b"354"):
                    for content in lines:
                        if content == b".\r\n":
                            break
                        self.content += content
                    if not self._answer(connection, "."):
                        return

    def _answer(self, connection: socket.socket, verb: str) -> bool:
        reply = self.script.get(verb, b"500 5.5.2 what?\r\n")
        if reply == SILENCE:
            connection.recv(1 << 16)  # until the other side gives up
            return False
        if reply:
            connection.sendall(reply)
        return reply != HANG_UP


@pytest.fixture
def far() -> Iterator[Callable[..., FarHost]]:
    hosts: list[FarHost] = []

    def start(**changes: bytes) -> FarHost:
        script = {**POLITE, **{{"greeting": "", "dot": "."}.get(k, k): v for k, v in changes.items()}}
        hosts.append(FarHost(script))
        return hosts[-1]

    yield start
    for host in hosts:
        host.listening.close()


def send(
    post, hop: str, *recipients: str, content: bytes = b"Subject: x\r\n\r\n.dot\r\n", **more
) -> list[tuple[str, str, str]]:
    """[(address, kind, dsn)] for one letter sent straight to `hop`."""
    post(*(recipients or ("a@far.example",)), content=content, **more)
    [claim] = queue.claim("anna", 1)
    job = RemoteJob(claim, hop, tuple(claim.duties))
    return [(duty.address, outcome.kind, outcome.dsn) for duty, outcome in asyncio.run(remote.send(job))]


def test_a_letter_arrives_octet_for_octet(post, far):
    host = far()
    assert send(post, host.hop) == [("a@far.example", "delivered", "2.0.0")]
    assert host.content == b"Subject: x\r\n\r\n..dot\r\n"
    assert host.commands[0] == "EHLO mail.benet.com"
    assert host.commands[1].startswith("MAIL FROM:<a@other.example> SIZE=")


@pytest.mark.parametrize(
    ("behaviour", "kind", "dsn"),
    [
        ({"greeting": b"554 5.7.1 go away\r\n"}, "deferred", "4.4.1"),
        ({"greeting": HANG_UP}, "deferred", "4.4.1"),
        ({"greeting": SILENCE}, "deferred", "4.4.1"),
        ({"MAIL": b"451 4.7.1 greylisted\r\n"}, "deferred", "4.7.1"),
        ({"MAIL": b"550 5.7.1 not you\r\n"}, "failed", "5.7.1"),
        ({"RCPT": b"450 4.2.0 try later\r\n"}, "deferred", "4.2.0"),
        ({"RCPT": b"550 5.1.1 nobody\r\n"}, "failed", "5.1.1"),
        ({"RCPT": b"550 no enhanced code\r\n"}, "failed", "5.0.0"),
        ({"RCPT": HANG_UP}, "deferred", "4.4.2"),
        ({"RCPT": SILENCE}, "deferred", "4.4.2"),
        ({"DATA": b"452 4.3.1 disk full\r\n"}, "deferred", "4.3.1"),
        ({"dot": b"554 5.6.0 spam\r\n"}, "failed", "5.6.0"),
        ({"dot": b"451 4.3.0 later\r\n"}, "deferred", "4.3.0"),
        ({"dot": HANG_UP}, "deferred", "4.4.2"),
        ({"QUIT": HANG_UP}, "delivered", "2.0.0"),
        ({"EHLO": b"502 5.5.1 what?\r\n"}, "delivered", "2.0.0"),
        ({"EHLO": b"250-far.example\r\n250 STARTTLS\r\n", "STARTTLS": b"454 4.7.0 not now\r\n"}, "delivered", "2.0.0"),
    ],
)
def test_what_other_hosts_do(post, far, parameters, behaviour, kind, dsn):
    host = far(**behaviour)
    parameters(smtp_connect_timeout="1", smtp_timeout="1")
    assert send(post, host.hop) == [("a@far.example", kind, dsn)]


def test_nobody_listens(post):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        hop = f"[127.0.0.1]:{taken.getsockname()[1]}"
    assert send(post, hop) == [("a@far.example", "deferred", "4.4.1")]


def test_each_recipient_has_an_outcome_of_its_own(post, far):
    class Choosy(FarHost):
        def _answer(self, connection, verb):
            if verb == "RCPT" and "<no@" in self.commands[-1]:
                connection.sendall(b"550 5.1.1 nobody\r\n")
                return True
            return super()._answer(connection, verb)

    host = Choosy(POLITE)
    outcomes = send(post, host.hop, "yes@far.example", "no@far.example")
    assert sorted(outcomes) == [("no@far.example", "failed", "5.1.1"), ("yes@far.example", "delivered", "2.0.0")]
    host.listening.close()


def test_utf8_addresses_need_a_host_that_takes_them(post, far):
    assert send(post, far().hop, smtputf8=True) == [("a@far.example", "failed", "5.6.7")]


def test_a_letter_waits_when_its_names_cannot_be_looked_up(post, parameters):
    parameters(dns_timeout="1")
    [(_, kind, _)] = send(post, "far.invalid")
    assert kind in ("deferred", "failed")
    assert Queued.objects.get().state == Queued.State.ACTIVE
