"""Messages to other hosts: a table of what they do to us and what becomes of the message."""

import email
import socket
import ssl
import threading

import pytest

from mailcore.models import Queued, Recipient
from mailcore.mta.workers.courier import Courier
from mailcore.values import MessageRecipient
from tests.mta.smtp.remote_host import HANG_UP, SILENCE, FarHost

pytestmark = pytest.mark.django_db(transaction=True)

PIPELINING = b"250-far.example\r\n250-SIZE\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"


def test_a_message_arrives_octet_for_octet(send, far):
    host = far()
    assert send(host.hop) == [("a@far.example", "delivered", "2.0.0")]
    assert host.content == b"Subject: x\r\n\r\n..dot\r\n"
    assert host.commands[0] == "EHLO mail.benet.com"
    assert host.commands[1].startswith("MAIL FROM:<a@other.example> SIZE=")
    assert send.said == "250 2.0.0 Ok: queued as FAR"


@pytest.mark.parametrize("ehlo", [None, PIPELINING], ids=["one by one", "pipelined"])
@pytest.mark.parametrize(
    ("behaviour", "kind", "dsn"),
    [
        ({"greeting": b"554 5.7.1 go away\r\n"}, "deferred", "4.7.1"),
        ({"greeting": b"421 4.3.2 too many connections\r\n"}, "deferred", "4.3.2"),
        ({"greeting": HANG_UP}, "deferred", "4.4.2"),
        ({"greeting": SILENCE}, "deferred", "4.4.2"),
        ({"greeting": b"hello there\r\n"}, "deferred", "4.4.2"),
        ({"MAIL": b"451 4.7.1 greylisted\r\n"}, "deferred", "4.7.1"),
        ({"MAIL": b"550 5.7.1 not you\r\n"}, "failed", "5.7.1"),
        ({"MAIL": b"421 4.7.0 slow down\r\n"}, "deferred", "4.7.0"),
        ({"RCPT": b"450 4.2.0 try later\r\n"}, "deferred", "4.2.0"),
        ({"RCPT": b"550 5.1.1 nobody\r\n"}, "failed", "5.1.1"),
        ({"RCPT": b"550 no enhanced code\r\n"}, "failed", "5.0.0"),
        ({"RCPT": b"421 4.7.0 enough\r\n"}, "deferred", "4.7.0"),
        ({"RCPT": HANG_UP}, "deferred", "4.4.2"),
        ({"RCPT": SILENCE}, "deferred", "4.4.2"),
        ({"DATA": b"452 4.3.1 disk full\r\n"}, "deferred", "4.3.1"),
        ({"dot": b"554 5.6.0 spam\r\n"}, "failed", "5.6.0"),
        ({"dot": b"451 4.3.0 later\r\n"}, "deferred", "4.3.0"),
        ({"dot": HANG_UP}, "deferred", "4.4.2"),
        ({"dot": SILENCE}, "deferred", "4.4.2"),
        ({"QUIT": HANG_UP}, "delivered", "2.0.0"),
        ({"EHLO": b"502 5.5.1 what?\r\n"}, "delivered", "2.0.0"),
        ({"EHLO": b"502 5.5.1 what?\r\n", "HELO": b"550 5.7.1 go\r\n"}, "deferred", "4.7.1"),
        ({"EHLO": b"250-far.example\r\n250 STARTTLS\r\n", "STARTTLS": b"454 4.7.0 not now\r\n"}, "delivered", "2.0.0"),
    ],
)
def test_what_other_hosts_do(send, far, parameters, behaviour, kind, dsn, ehlo):
    if ehlo and "EHLO" not in behaviour:
        behaviour = {**behaviour, "EHLO": ehlo}
    host = far(**behaviour)
    parameters(smtp_connect_timeout="1", smtp_timeout="1", smtp_data_done_timeout="1")
    assert send(host.hop) == [("a@far.example", kind, dsn)], send.said
    if behaviour.get("dot") in (HANG_UP, SILENCE):
        assert "may be sent more than once" in send.said


def test_nobody_listens(send):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert send(f"[127.0.0.1]:{port}") == [("a@far.example", "deferred", "4.4.1")]
    assert send.said == f"connect to 127.0.0.1[127.0.0.1]:{port}: Connection refused"


class Choosy(FarHost):
    """Takes mail for some: no@, later@ and (hanging up with 421) enough@ are refused."""

    def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
        for name, reply in (("no@", b"550 5.1.1 nobody"), ("later@", b"450 4.2.1 later"), ("enough@", b"421 4.7.0 go")):
            if verb == "RCPT" and f"<{name}" in command:
                connection.sendall(reply + b"\r\n")
                return not reply.startswith(b"421")
        return super().answer(connection, verb, command)


@pytest.mark.parametrize("ehlo", [b"250 far.example\r\n", PIPELINING], ids=["one by one", "pipelined"])
def test_each_recipient_has_an_outcome_of_its_own(send, far, ehlo):
    host = far(Choosy, EHLO=ehlo)
    assert send(host.hop, "yes@far.example", "no@far.example", "later@far.example") == [
        ("yes@far.example", "delivered", "2.0.0"),
        ("no@far.example", "failed", "5.1.1"),
        ("later@far.example", "deferred", "4.2.1"),
    ]
    assert "said: 550 5.1.1 nobody (in reply to RCPT TO command)" in send.said
    assert len(host.messages) == 1


@pytest.mark.parametrize("ehlo", [b"250 far.example\r\n", PIPELINING], ids=["one by one", "pipelined"])
def test_nobody_is_served_when_the_host_goes_before_the_content(send, far, ehlo):
    host = far(Choosy, EHLO=ehlo)
    outcomes = send(host.hop, "yes@far.example", "enough@far.example", "too@far.example")
    assert {(kind, dsn) for _, kind, dsn in outcomes} == {("deferred", "4.7.0")}
    assert host.messages == []


def test_everybody_refused_and_yet_the_host_waits_for_content(send, far):
    host = far(EHLO=PIPELINING, RCPT=b"550 5.1.1 nobody\r\n")
    assert send(host.hop) == [("a@far.example", "failed", "5.1.1")]
    assert host.content == b""


def test_commands_go_out_in_one_piece_where_the_host_pipelines(send, far):
    class Slow(FarHost):
        """Says nothing to MAIL and RCPT before DATA has come: a client that waits for replies waits for ever."""

        def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
            if verb in ("MAIL", "RCPT"):
                self.held = getattr(self, "held", b"") + self.script[verb]
                return True
            if verb == "DATA":
                connection.sendall(self.held)
            return super().answer(connection, verb, command)

    host = far(Slow, EHLO=PIPELINING)
    assert send(host.hop, "a@far.example", "b@far.example")[1][1] == "delivered"


# --- What a host cannot do ------------------------------------------------------------------------


def test_a_message_larger_than_the_host_takes(send, far):
    host = far(EHLO=b"250-far.example\r\n250 SIZE 100\r\n")
    assert send(host.hop, content=b"x" * 200 + b"\r\n") == [("a@far.example", "failed", "5.3.4")]
    assert "MAIL" not in host.verbs


@pytest.mark.parametrize(
    ("offered", "more", "address", "kind", "dsn"),
    [
        (False, {"smtputf8": True}, "jos@far.example", "delivered", "2.0.0"),
        (False, {"smtputf8": True}, "josé@far.example", "failed", "5.6.7"),
        (False, {"smtputf8": True, "sender": "josé@other.example"}, "jos@far.example", "failed", "5.6.7"),
        (False, {"smtputf8": True, "content": "Subject: é\r\n\r\n".encode()}, "jos@far.example", "failed", "5.6.7"),
        (True, {"smtputf8": True}, "josé@far.example", "delivered", "2.0.0"),
    ],
)
def test_utf8_addresses_need_a_host_that_takes_them(send, far, offered, more, address, kind, dsn):
    host = far(EHLO=b"250-far.example\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n" if offered else b"250 far.example\r\n")
    assert send(host.hop, address, **more) == [(address, kind, dsn)]
    if offered:
        assert host.commands[1].endswith(" SMTPUTF8")
        assert host.commands[2] == f"RCPT TO:<{address}>"


EIGHT_BIT = b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"


def test_eight_bit_mail_goes_as_it_is_where_it_may(send, far):
    host = far()
    content = EIGHT_BIT + "café\r\n".encode()
    send(host.hop, content=content, eight_bit=True)
    assert host.content == content
    assert host.commands[1].endswith(" BODY=8BITMIME")


@pytest.mark.parametrize(("convert", "kept"), [("no", False), ("yes", True)])
def test_a_host_of_seven_bits(send, far, parameters, convert, kept):
    parameters(disable_mime_output_conversion=convert)
    host = far(EHLO=b"250-far.example\r\n250 SIZE\r\n")
    content = EIGHT_BIT + "a line of messages with a café in it\r\n".encode()
    send(host.hop, content=content, eight_bit=True)
    if kept:
        assert host.content == content
    else:
        assert host.content.isascii()
        assert b"quoted-printable\r\n\r\na line of messages with a caf=C3=A9 in it\r\n" in host.content
    assert int(host.commands[1].partition("SIZE=")[2]) == len(host.content)


@pytest.mark.parametrize(("size", "lines"), [(3_000, 1), (400_000, 1), (3_000, 200)])
def test_no_line_is_longer_than_a_host_must_take(send, far, size, lines):
    """RFC 5321 §4.5.3.1.6: 998 bytes; several large hosts refuse more."""
    host = far()
    content = EIGHT_BIT + (b"a" * size + b"\r\n") * lines
    send(host.hop, content=content, eight_bit=True)
    assert max(map(len, host.content.split(b"\r\n"))) <= 998
    assert email.message_from_bytes(host.content).get_payload(decode=True) == content.partition(b"\r\n\r\n")[2]
    assert int(host.commands[1].partition("SIZE=")[2].split()[0]) == len(host.content)


def test_long_lines_go_as_they_are_where_the_administrator_says_so(send, far, parameters):
    parameters(smtp_line_length_limit="0")
    host = far()
    content = EIGHT_BIT + b"a" * 3_000 + b"\r\n"
    send(host.hop, content=content, eight_bit=True)
    assert host.content == content


# --- DSN ------------------------------------------------------------------------------------------


def test_what_the_sender_wants_to_hear_is_passed_on(post, far, parameters):
    host = far(EHLO=b"250-far.example\r\n250 DSN\r\n")
    parameters(relayhost=host.hop)
    wishes = MessageRecipient("a@far.example", "SUCCESS,DELAY", "rfc822;A+40x")
    from mailcore.mta.queue import enqueue, states
    from tests.mta.conftest import STRANGER

    enqueue.write_and_enqueue(
        b"Subject: x\r\n\r\n", "lisi@benet.com", [wishes, MessageRecipient("b+c@far.example")], STRANGER,
        states.now_us(), envelope_id="id=1", return_full=False,
    )  # fmt: skip
    Courier().run_until_idle()
    assert "MAIL FROM:<lisi@benet.com> RET=HDRS ENVID=id+3D1" in host.commands
    assert "RCPT TO:<a@far.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;A+40x" in host.commands
    assert "RCPT TO:<b+c@far.example> ORCPT=rfc822;b+2Bc@far.example" in host.commands
    assert Queued.objects.count() == 1  # the other host will tell


@pytest.mark.parametrize(("ehlo", "action"), [(b"250 far.example\r\n", "relayed"), (b"250-f\r\n250 DSN\r\n", "")])
def test_who_tells_of_success(send, far, ehlo, action):
    send(far(EHLO=ehlo).hop)
    assert send.actions == [action]


# --- TLS ------------------------------------------------------------------------------------------

TLS = {"EHLO": b"250-far.example\r\n250 STARTTLS\r\n", "STARTTLS": b"220 2.0.0 go ahead\r\n"}


class BreaksTls(FarHost):
    """Offers TLS, and talks nonsense when it comes to it."""

    def answer(self, connection: socket.socket, verb: str, command: str) -> bool:
        if verb == "STARTTLS":
            connection.sendall(b"220 go ahead\r\nand this is no handshake\r\n")
            return False
        return super().answer(connection, verb, command)


@pytest.mark.parametrize(
    ("level", "host", "kind", "dsn", "secret"),
    [
        ("none", "good", "delivered", "2.0.0", False),
        ("may", "good", "delivered", "2.0.0", True),
        ("may", "without", "delivered", "2.0.0", False),
        ("may", "broken", "delivered", "2.0.0", False),
        ("may", "unwilling", "delivered", "2.0.0", False),
        ("encrypt", "good", "delivered", "2.0.0", True),
        ("encrypt", "without", "deferred", "4.7.4", False),
        ("encrypt", "broken", "deferred", "4.7.5", False),
        ("encrypt", "unwilling", "deferred", "4.7.4", False),
        ("verify", "good", "deferred", "4.7.5", False),
        ("strong", "good", "deferred", "4.7.5", False),
    ],
)
def test_tls_levels(send, far, parameters, authority, level, host, kind, dsn, secret):
    parameters(smtp_tls_security_level=level, smtp_timeout="5")
    context = authority.context("another.example")
    other = {
        "good": lambda: far(context=context, **TLS),
        "without": far,
        "broken": lambda: far(BreaksTls, **TLS),
        "unwilling": lambda: far(**{**TLS, "STARTTLS": b"454 4.7.0 no\r\n"}),
    }[host]()
    assert send(other.hop) == [("a@far.example", kind, dsn)], send.said
    assert (other.verbs.count("EHLO") == 2 and other.connections == 1) is secret


@pytest.mark.parametrize(
    ("level", "certificate", "trusted", "kind"),
    [
        ("verify", "mx.far.example", True, "delivered"),
        ("verify", "*.far.example", True, "delivered"),
        ("verify", "mx.far.example", False, "deferred"),
        ("verify", "far.example", True, "deferred"),
        ("secure", "far.example", True, "delivered"),
        ("secure", "mx.far.example", True, "delivered"),  # dot-nexthop
        ("secure", "mx.evil.example", True, "deferred"),
        ("secure match=mx.evil.example", "mx.evil.example", True, "delivered"),
    ],
)
def test_certificates(send, far, parameters, names, authority, level, certificate, trusted, kind):
    from mailcore.store.settings import lookup_tables

    host = far(context=authority.context(certificate), **TLS)
    names("far.example", "MX", "10 mx.far.example")
    names("mx.far.example", "A", "127.0.0.1")
    lookup_tables.replace_entries("tls_policy", {"far.example": level})
    parameters(smtp_tls_CAfile=authority.file if trusted else "")
    assert send(f"far.example:{host.port}")[0][1] == kind, send.said


def test_tls_from_the_first_octet(send, parameters, authority):
    context = authority.context("relay.example")
    listening = socket.create_server(("127.0.0.1", 0))
    heard: list[bytes] = []

    def serve() -> None:
        connection, _ = listening.accept()
        with context.wrap_socket(connection, server_side=True) as secret:
            secret.sendall(b"220 hello\r\n")
            heard.append(secret.recv(100))
            secret.sendall(b"554 5.3.2 no\r\n")
            secret.recv(100)

    threading.Thread(target=serve, daemon=True).start()
    parameters(smtp_tls_wrappermode="yes", smtp_tls_security_level="encrypt", smtp_timeout="5")
    send(f"[127.0.0.1]:{listening.getsockname()[1]}")
    assert heard == [b"EHLO mail.benet.com\r\n"]
    listening.close()


def test_what_was_said_before_tls_is_forgotten(send, far, authority):
    """Discard data received before the TLS handshake: an attacker may have injected it (CVE-2011-0411)."""
    host = far(context=authority.context("x.example"), **{**TLS, "STARTTLS": b"220 go\r\n250 injected\r\n"})
    try:
        assert send(host.hop)[0][1] in ("delivered", "deferred")
    except ssl.SSLError:
        pytest.fail("the injected line was read as TLS")
    assert "injected" not in send.said


def test_a_message_waits_in_the_queue_for_another_host(post, far, parameters):
    host = far(RCPT=b"450 4.2.0 greylisted\r\n")
    parameters(relayhost=host.hop)
    post("x@remote.example")
    Courier().run_until_idle()
    assert Queued.objects.get().state == "deferred"
    row = Recipient.objects.get()
    assert (row.state, row.dsn, row.relay) == ("waiting", "4.2.0", f"127.0.0.1[127.0.0.1]:{host.port}")
    host.script["RCPT"] = b"250 2.1.5 Ok\r\n"
    Queued.objects.update(due_us=0)
    Courier().run_until_idle()
    assert Queued.objects.get().state == "done"
