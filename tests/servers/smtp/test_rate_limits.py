"""Clients that come too often, send too slowly, talk too early, or speak another protocol."""

import select

import pytest

from mailcore import rate_counters
from mailcore.models import Account, Queued
from mailcore.mta.workers.courier import Courier
from smtp_talk import extended, greeted, messages, plain, send, signed_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_counters() -> None:
    rate_counters.reset()


def test_connections_in_a_while(smtp, parameters):
    parameters(smtpd_client_connection_rate_limit="2")
    running = smtp()
    for _ in range(2):
        greeted(running).talk("C: QUIT\nS: 221 …\nS:")
    running.dial().talk("S: 421 4.7.0 mail.benet.com Error: too many connections from 127.0.0.1\nS:")


def test_messages_in_a_while(smtp, parameters):
    parameters(smtpd_client_message_rate_limit="1")
    greeted(smtp()).talk("""
        C: MAIL FROM:<a@other.example>
        S: 250 2.1.0 Ok
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@other.example>
        S: 450 4.7.1 Error: too much mail from 127.0.0.1
    """)


def test_recipients_in_a_while(smtp, parameters):
    parameters(smtpd_client_recipient_rate_limit="2")
    greeted(smtp()).talk("""
        C: VRFY lisi@benet.com
        S: 252 2.0.0 lisi@benet.com
        C: MAIL FROM:<a@other.example>
        S: 250 2.1.0 Ok
        C: RCPT TO:<lisi@benet.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<xiaoqi@benet.com>
        S: 450 4.7.1 Error: too many recipients from 127.0.0.1
        C: VRFY lisi@benet.com
        S: 450 4.7.1 Error: too many recipients from 127.0.0.1
    """)


def test_sign_ins_in_a_while(smtp, parameters):
    parameters(smtpd_client_auth_rate_limit="1")
    running = smtp("submission")
    signed_in(running)
    extended(running).talk(
        f"C: AUTH PLAIN {plain('lisi', '123456')}\nS: 450 4.7.1 Error: too many AUTH commands from 127.0.0.1"
    )


def test_handshakes_in_a_while(smtp, parameters, certificate):
    parameters(smtpd_client_new_tls_session_rate_limit="1")
    running = smtp(context=certificate[0])
    extended(running).talk("C: STARTTLS\nS: 220 2.0.0 Ready to start TLS")
    extended(running).talk(
        "C: STARTTLS\nS: 454 4.7.0 Error: too many new TLS sessions from localhost[127.0.0.1]\nC: NOOP\nS: 250 …"
    )


def test_some_are_not_counted(smtp, parameters):
    parameters(smtpd_client_connection_count_limit="1", smtpd_client_event_limit_exceptions="127.0.0.0/8")
    running = smtp()
    greeted(running)
    greeted(running)


def test_too_many_recipients(smtp, parameters):
    """The overshoot is no error for a while (RFC 5321 §4.5.3.1.10)."""
    parameters(smtpd_recipient_limit="1", smtpd_recipient_overshoot_limit="2", smtpd_hard_error_limit="1")
    greeted(smtp()).talk("""
        C: MAIL FROM:<>
        S: 250 …
        C: RCPT TO:<lisi@benet.com>
        S: 250 …
        C: RCPT TO:<xiaoqi@benet.com>
        S: 452 4.5.3 Error: too many recipients
        C: RCPT TO:<xiaoqi@benet.com>
        S: 452 4.5.3 Error: too many recipients
        C: DATA
        S: 354 …
        C: .
        S: 250 2.0.0 …
    """)


def test_much_ado_about_nothing(smtp, parameters):
    parameters(smtpd_junk_command_limit="3", smtpd_hard_error_limit="2")
    client = greeted(smtp())
    client.talk("C: NOOP\nS: 250 …\nC: RSET\nS: 250 …\nC: VRFY lisi@benet.com\nS: 252 …\nC: NOOP\nS: 250 …")
    client.talk("S: 421 4.7.0 mail.benet.com Error: too many errors\nS:")


@pytest.mark.parametrize(
    "line", ["CONNECT 1.2.3.4:25 HTTP/1.0", "GET / HTTP/1.1", "post / HTTP/1.1", "Subject: buy", "X-Spam:yes"]
)
def test_another_protocol(smtp, line):
    smtp().dial().talk(f"S: 220 …\nC: {line}\nS: 221 2.7.0 Error: I can break rules, too. Goodbye.\nS:")


def test_commands_that_do_nothing(smtp, parameters):
    parameters(smtpd_noop_commands="xnoop", smtpd_forbidden_commands="EXPN")
    smtp().dial().talk("S: 220 …\nC: XNOOP\nS: 250 2.0.0 Ok\nC: expn all\nS: 221 2.7.0 …\nS:")


# --- Who does not wait ----------------------------------------------------------------------------

OUT_OF_STEP = "554 5.5.0 Error: SMTP protocol synchronization"


def test_who_talks_before_the_greeting(smtp, parameters):
    parameters(smtpd_greet_wait="30s")
    client = smtp().dial()
    client.say("EHLO bot")
    client.talk(f"S: {OUT_OF_STEP}\nS:")


def test_who_waits_is_greeted(smtp, parameters):
    parameters(smtpd_greet_wait="1s")
    smtp().dial().talk("S: 220 …\nC: QUIT\nS: 221 …")


@pytest.mark.parametrize(
    "data",
    [
        b"MAIL FROM:<a@b.example>\r\nRCPT TO:<lisi@benet.com>\r\n",  # after HELO there is no PIPELINING
        b"EHLO again\r\nMAIL FROM:<a@b.example>\r\n",
        b"NOOP\r\nMAIL FROM:<a@b.example>\r\n",
    ],
)
def test_who_pipelines_where_nobody_may(smtp, data):
    client = greeted(smtp())
    client.send(data)
    client.talk(f"S: {OUT_OF_STEP}\nS:")


def test_content_that_comes_too_early(smtp):
    client = extended(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    client.send(b"DATA\r\nSubject: early\r\n\r\nx\r\n.\r\n")
    client.talk(f"S: {OUT_OF_STEP}\nS:")
    assert not Queued.objects.exists()


def test_who_does_not_wait_may_be_refused_instead(smtp, parameters):
    parameters(smtpd_forbid_unauth_pipelining="no", smtpd_recipient_restrictions="reject_unauth_pipelining")
    client = greeted(smtp())
    client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<lisi@benet.com>\r\n")
    client.talk("S: 250 2.1.0 Ok\nS: 503 5.5.0 <lisi@benet.com>: … Improper use of SMTP command pipelining")


# --- Who is slow ----------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", ["", "HELO x\nMAIL FROM:<>\nRCPT TO:<lisi@benet.com>\nDATA"])
def test_who_says_nothing_is_sent_away(smtp, parameters, lines):
    parameters(smtpd_timeout="1s")
    client = smtp().dial()
    client.hear()
    for line in lines.splitlines():
        client.talk(f"C: {line}\nS: …")
    client.talk("S: 421 4.4.2 mail.benet.com Error: timeout exceeded\nS:")


def test_who_drips_is_not_waited_for(smtp, parameters):
    """A few bytes at a time keep nobody busy for longer than smtpd_timeout (smtpd_min_data_rate)."""
    parameters(smtpd_timeout="1s")
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    while not select.select([client.socket], [], [], 0.05)[0]:
        client.send(b"x")
    client.talk("S: 421 4.4.2 mail.benet.com Error: timeout exceeded\nS:")
    assert not Queued.objects.exists()


# --- How much an account may send -----------------------------------------------------------------


@pytest.mark.database
def test_how_much_an_account_may_send(smtp, parameters):
    parameters(smtpd_sasl_message_hourly_limit="2")
    running = smtp("submission")
    client = signed_in(running)
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com").startswith("250 2.0.0")
    assert send(client, "lisi@benet.com", "a@other.example").startswith("250 2.0.0")
    too_many = "450 4.7.1 Error: too many messages from lisi@benet.com in one hour"
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com") == too_many
    assert send(signed_in(running), "lisi@benet.com", "xiaoqi@benet.com") == too_many
    assert send(signed_in(running, "xiaoqi"), "xiaoqi@benet.com", "lisi@benet.com").startswith("250 2.0.0")
    assert Queued.objects.count() == 3


@pytest.mark.database
def test_to_how_many(smtp, parameters):
    parameters(smtpd_sasl_recipient_daily_limit="2")
    running = smtp("submission")
    client = signed_in(running)
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com").startswith("250 2.0.0")
    assert send(client, "lisi@benet.com", "all@benet.com").startswith("250 2.0.0")
    Courier().run_until_idle()
    too_many = "450 4.7.1 Error: too many recipients from lisi@benet.com in one day"
    assert send(client, "lisi@benet.com", "xiaoqi@benet.com") == too_many
    assert len(messages("xiaoqi")) == 2


@pytest.mark.database
def test_at_the_same_moment(smtp, parameters):
    """Ten at once, five may: the count is exact in any order of commits."""
    parameters(smtpd_sasl_message_hourly_limit="5")
    running = smtp("submission")
    clients = [signed_in(running) for _ in range(10)]
    for client in clients:
        client.talk(
            "C: MAIL FROM:<lisi@benet.com>\nS: 250 …\nC: RCPT TO:<xiaoqi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …"
        )
    for client in clients:
        client.send(b"Subject: s\r\n\r\nx\r\n.\r\n")
    replies = [client.hear()[:3] for client in clients]
    assert sorted(replies) == ["250"] * 5 + ["450"] * 5
    assert Queued.objects.count() == 5
    assert Account.objects.get(address="xiaoqi@benet.com").used_messages == len(messages("xiaoqi"))


@pytest.mark.parametrize("service", ["smtp", "lmtp"])
def test_all_clients_together_have_a_limit_and_the_oldest_idle_one_makes_room(smtp, parameters, service):
    running = smtp(service)
    parameters(mynetworks="127.0.0.0/8", smtpd_connection_total_limit="3")
    verb = "LHLO" if service == "lmtp" else "EHLO"
    working = extended(running, verb)
    working.talk("C: MAIL FROM:<a@other.example>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    idle = [extended(running, verb) for _ in range(5)]
    for client in idle[:3]:
        client.talk("S: 421 4.7.0 mail.benet.com Error: Too many connections.\nS:")
    working.talk("C: DATA\nS: 354 …\nC: x\nC: .\nS: 250 2.0.0 Ok: queued as …")
    idle[3].talk("C: NOOP\nS: 250 …")
    for client in (working, *idle[3:]):
        client.talk("C: QUIT\nS: 221 …\nS:")
    running.do(running.server.close(5))  # It waits until all sessions have ended.
    assert rate_counters.increment_held("smtp connections in all", running.server.service.name) == 1
