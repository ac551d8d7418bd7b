"""A real Postfix as the other host: what it answers, what becomes of our message, and what it has in its queue."""

import email
import json
import re
import socket
from collections.abc import Callable, Iterator
from email import policy

import pytest

from mailcore.mta.queue import enqueue, states
from mailcore.mta.workers.courier import Courier
from mailcore.values import MessageRecipient
from tests.mta.conftest import STRANGER
from tests.programs.conftest import Postfix, postfix  # noqa: F401  (fixture)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.program]

# What arrives stays on hold, where `postcat` shows it.
_MAIN_CF = """
mydestination =
virtual_mailbox_domains = far.example
virtual_mailbox_maps = inline:{{ a@far.example=a/, b@far.example=b/, later@far.example=c/, full@far.example=d/ }}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_sender_restrictions = static:HOLD
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ later@far.example = 450 4.2.0 greylisted, come again }} {{ full@far.example = 452 4.2.2 mailbox is full }} }}
smtpd_tls_cert_file = {certificate}
smtpd_tls_key_file = $smtpd_tls_cert_file
smtpd_tls_security_level = may
smtpd_tls_received_header = yes
maillog_file_prefixes = {folder}
maillog_file = {folder}/data/log
local_header_rewrite_clients =
{more}
"""


class Neighbour:
    """A Postfix that takes mail for far.example at `hop`."""

    def __init__(self, programs: Postfix, hop: str) -> None:
        self.hop = hop
        self._programs = programs

    def messages(self) -> list[dict[str, object]]:
        """Its queue, as `postqueue -j` has it."""
        listed = self._programs("postqueue", "-j")
        return [json.loads(line) for line in listed.out.splitlines()]

    def envelope(self, queue_id: object) -> str:
        return self._programs("postcat", "-qe", str(queue_id)).out

    def content(self, queue_id: object) -> str:
        return self._programs("postcat", "-qhb", str(queue_id)).out


@pytest.fixture
def far_postfix(postfix: Postfix, authority) -> Iterator[Callable[..., Neighbour]]:  # noqa: F811
    """`far_postfix("message_size_limit = 20000")`: one with this in its configuration."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    def start(more: str = "") -> Neighbour:
        certificate = authority.chain("mx.far.example")
        with (postfix.folder / "main.cf").open("a") as main_cf:
            main_cf.write(_MAIN_CF.format(folder=postfix.folder, certificate=certificate, more=more))
        with (postfix.folder / "master.cf").open("a") as master_cf:
            master_cf.write(f"127.0.0.1:{port} inet n - n - - smtpd\n")
        started = postfix("postfix", "start")
        if started.status != 0:
            pytest.skip(f"Postfix does not start: {started.err}")
        return Neighbour(postfix, f"[127.0.0.1]:{port}")

    yield start
    postfix("postfix", "stop")


def test_it_takes_a_message(far_postfix, send):
    neighbour = far_postfix()
    body = "Subject: x\r\n\r\n.a dot\r\nand the end\r\n"
    assert send(neighbour.hop, content=body.encode()) == [("a@far.example", "delivered", "2.0.0")]
    [message] = neighbour.messages()
    assert send.said == f"250 2.0.0 Ok: queued as {message['queue_id']}"
    assert message["sender"] == "a@other.example"
    assert neighbour.content(message["queue_id"]).endswith(body.replace("\r\n", "\n"))


def test_everybody_has_an_outcome(far_postfix, send):
    neighbour = far_postfix()
    names = [f"{name}@far.example" for name in ("a", "nobody", "later", "full", "b")]
    assert send(neighbour.hop, *names) == [
        ("a@far.example", "delivered", "2.0.0"),
        ("nobody@far.example", "failed", "5.1.1"),
        ("later@far.example", "deferred", "4.2.0"),
        ("full@far.example", "deferred", "4.2.2"),
        ("b@far.example", "delivered", "2.0.0"),
    ]
    assert "User unknown in virtual mailbox table (in reply to RCPT TO command)" in send.said
    assert "greylisted, come again" in send.said
    [message] = neighbour.messages()
    assert [each["address"] for each in message["recipients"]] == ["a@far.example", "b@far.example"]


def test_it_does_not_relay_for_us(far_postfix, send):
    assert send(far_postfix().hop, "a@elsewhere.example") == [("a@elsewhere.example", "failed", "5.7.1")]
    assert "Relay access denied" in send.said


@pytest.mark.parametrize(("level", "secured"), [("none", False), ("may", True), ("encrypt", True)])
def test_under_tls_as_far_as_we_are_told_to(far_postfix, send, parameters, level, secured):
    parameters(smtp_tls_security_level=level)
    neighbour = far_postfix()
    assert send(neighbour.hop) == [("a@far.example", "delivered", "2.0.0")]
    [message] = neighbour.messages()
    assert bool(re.search(r"\(using TLSv1\.3 with cipher ", neighbour.content(message["queue_id"]))) is secured


def test_where_tls_is_a_must_and_there_is_none_the_message_waits(far_postfix, send, parameters):
    parameters(smtp_tls_security_level="encrypt")
    neighbour = far_postfix("smtpd_tls_security_level = none")
    assert send(neighbour.hop) == [("a@far.example", "deferred", "4.7.4")]
    assert neighbour.messages() == []


def test_too_large_for_it_by_what_it_announces(far_postfix, send):
    neighbour = far_postfix("message_size_limit = 20000")
    large = b"Subject: large\r\n\r\n" + b"0123456789\r\n" * 3000
    assert send(neighbour.hop, content=large) == [("a@far.example", "failed", "5.3.4")]


GREETING = "Subject: =?utf-8?b?5L2g5aW9?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"


@pytest.mark.parametrize(
    ("more", "encoding"), [("", "8bit"), ("smtpd_discard_ehlo_keywords = 8bitmime", "quoted-printable|base64")]
)
def test_eight_bits_where_it_can_and_seven_where_not(far_postfix, send, more, encoding):
    neighbour = far_postfix(more)
    content = f"{GREETING}Content-Transfer-Encoding: 8bit\r\n\r\n你好，世界\r\n".encode()
    assert send(neighbour.hop, content=content, eight_bit=True) == [("a@far.example", "delivered", "2.0.0")]
    [message] = neighbour.messages()
    arrived = email.message_from_bytes(neighbour.content(message["queue_id"]).encode(), policy=policy.default)
    assert re.fullmatch(encoding, arrived["Content-Transfer-Encoding"])
    assert arrived.get_content().rstrip() == "你好，世界"


@pytest.mark.parametrize(
    ("more", "outcome"),
    [("smtputf8_enable = yes", ("delivered", "2.0.0")), ("smtputf8_enable = no", ("failed", "5.6.7"))],
)
def test_addresses_beyond_ascii(far_postfix, send, more, outcome):
    neighbour = far_postfix(more)
    assert send(neighbour.hop, sender="小七@benet.com", smtputf8=True) == [("a@far.example", *outcome)]


def test_wishes_for_notices_are_passed_on(far_postfix, benet, parameters):
    neighbour = far_postfix()
    parameters(relayhost=neighbour.hop)
    wishes = MessageRecipient("a@far.example", "SUCCESS,FAILURE", "rfc822;A@far.example")
    enqueue.write_and_enqueue(
        b"Subject: x\r\n\r\n",
        "lisi@benet.com",
        [wishes],
        STRANGER,
        states.now_us(),
        envelope_id="QQ314",
        return_full=True,
    )
    Courier().run_until_idle()
    [message] = neighbour.messages()
    envelope = neighbour.envelope(message["queue_id"])
    assert "envelope_id=QQ314" in envelope
    assert "ret_flags=1" in envelope  # FULL
    assert "notify_flags=6" in envelope  # success and failure
    assert "dsn_orig_rcpt=rfc822;A@far.example" in envelope
