"""SMTP conversations with strangers, trusted networks and authenticated users."""

import os

import pytest

from mailcore.models import Account, Message, Queued, Recipient
from mailcore.mta.queue import content_files
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from smtp_talk import extended, greeted, messages, plain

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_books_dialogue(smtp):
    smtp().dial().talk("""
        S: 220 mail.benet.com ESMTP Youju
        C: HELO localhost
        S: 250 mail.benet.com
        C: MAIL FROM: xiaoqi@benet.com
        S: 250 2.1.0 Ok
        C: RCPT TO: lisi@benet.com
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 End data with <CR><LF>.<CR><LF>
        C: Subject: A Test Mail
        C: HELLO!
        C: This is a test mail!
        C: .
        S: 250 2.0.0 Ok: queued as …
        C: QUIT
        S: 221 2.0.0 Bye
        S:
    """)
    Courier().run_until_idle()
    [message] = messages("lisi")
    lines = message.decode().split("\r\n")
    assert lines[:3] == [
        "Return-Path: <xiaoqi@benet.com>",
        "X-Original-To: lisi@benet.com",
        "Delivered-To: lisi@benet.com",
    ]
    assert lines[3] == "Received: from localhost (localhost [127.0.0.1])"
    assert lines[4].startswith("\tby mail.benet.com (Youju) with SMTP id ")
    assert lines[5].startswith("\tfor <lisi@benet.com>; ")
    assert lines[6:] == ["Subject: A Test Mail", "HELLO!", "This is a test mail!", ""]


def test_ehlo_names_the_extensions_in_postfixs_order(smtp, certificate):
    smtp(context=certificate[0]).dial().talk("""
        S: 220 mail.benet.com ESMTP Youju
        C: EHLO localhost
        S: 250-mail.benet.com
        S: 250-PIPELINING
        S: 250-SIZE 10240000
        S: 250-VRFY
        S: 250-ETRN
        S: 250-STARTTLS
        S: 250-AUTH SCRAM-SHA-256 PLAIN LOGIN
        S: 250-ENHANCEDSTATUSCODES
        S: 250-8BITMIME
        S: 250-DSN
        S: 250-SMTPUTF8
        S: 250 CHUNKING
    """)


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("XYZZY", "500 5.5.2 Error: command not recognized"),
        ("", "500 5.5.2 Error: bad syntax"),
        ("NO\0OP", "500 5.5.2 Error: bad syntax"),
        ("x" * 3000, "500 5.5.2 Error: bad syntax"),
        ("HELO", "501 Syntax: HELO hostname"),
        ("EHLO", "501 Syntax: EHLO hostname"),
        ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL TO:<a@b.example>", "501 5.5.4 Syntax: MAIL FROM:<address>"),
        ("MAIL FROM:<a b@c.example>", "501 5.1.7 Bad sender address syntax"),
        ("MAIL FROM:<a@@c.example>", "501 5.1.7 Bad sender address syntax"),
        ("MAIL FROM:<a@b.example> SIZE=10240001", "552 5.3.4 Message size exceeds fixed limit"),
        ("MAIL FROM:<a@b.example> SIZE=many", "501 5.5.4 Bad message size syntax"),
        ("MAIL FROM:<a@b.example> BODY=9BIT", "555 5.5.4 Unsupported option: BODY=9BIT"),
        ("MAIL FROM:<a@b.example> XYZZY=1", "555 5.5.4 Unsupported option: XYZZY=1"),
        ("MAIL FROM:<a@b.example> RET=ALL", "501 5.5.4 Bad RET parameter syntax"),
        ("RCPT TO:<lisi@benet.com>", "503 5.5.1 Error: need MAIL command"),
        ("DATA", "503 5.5.1 Error: need RCPT command"),
        ("NOOP", "250 2.0.0 Ok"),
        ("RSET", "250 2.0.0 Ok"),
        ("VRFY lisi@benet.com", "252 2.0.0 lisi@benet.com"),
        ("VRFY nobody@benet.com", "550 5.1.1 <nobody@benet.com>: Recipient address rejected: User unknown …"),
        ("STARTTLS", "502 5.5.1 Error: command not implemented"),
        ("AUTH PLAIN", "503 5.5.1 Error: send HELO/EHLO first"),
        ("HELP", "214 2.0.0 …"),
        ("QUIT", "221 2.0.0 Bye"),
    ],
)
def test_a_command_by_itself(smtp, command, reply):
    client = greeted(smtp())
    client.talk(f"C: {command}\nS: {reply}")


@pytest.mark.parametrize(
    ("recipient", "reply"),
    [
        ("<lisi@benet.com>", "250 2.1.5 Ok"),
        ("<LISI@Benet.COM>", "250 2.1.5 Ok"),
        ("<lisi+lists@benet.com>", "250 2.1.5 Ok"),
        ("<all@benet.com>", "250 2.1.5 Ok"),
        ("<lisi>", "250 2.1.5 Ok"),
        ("<@relay.example:lisi@benet.com>", "250 2.1.5 Ok"),
        ("<nobody@benet.com>", "550 5.1.1 <nobody@benet.com>: Recipient address rejected: User unknown …"),
        ("<a@other.example>", "554 5.7.1 <a@other.example>: Relay access denied"),
        ("<@benet.com:a@other.example>", "554 5.7.1 <a@other.example>: Relay access denied"),
        ("<a%other.example@benet.com>", "554 5.7.1 <a%other.example@benet.com>: Relay access denied"),
        ('<"a@other.example"@benet.com>', "554 5.7.1 …: Relay access denied"),
        ("<other.example!a@benet.com>", "554 5.7.1 <other.example!a@benet.com>: Relay access denied"),
        ("<a@other.example@benet.com>", "501 5.1.3 Bad recipient address syntax"),
        ("<>", "501 5.1.3 Bad recipient address syntax"),
        ("<lisi@benet.com> NOTIFY=NEVER", "250 2.1.5 Ok"),
        ("<lisi@benet.com> NOTIFY=NEVER,DELAY", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
        ("<lisi@benet.com> XYZZY=1", "555 5.5.4 Unsupported option: XYZZY=1"),
    ],
)
def test_who_a_stranger_may_write_to(smtp, recipient, reply):
    client = greeted(smtp())
    client.talk(f"C: MAIL FROM:<stranger@other.example>\nS: 250 2.1.0 Ok\nC: RCPT TO:{recipient}\nS: {reply}")


def test_a_neighbour_may_relay(smtp, parameters):
    running = smtp()
    parameters(mynetworks="!127.0.0.2, 127.0.0.0/8")
    greeted(running).talk("""
        C: MAIL FROM:<a@other.example>
        S: 250 2.1.0 Ok
        C: RCPT TO:<b@far.example>
        S: 250 2.1.5 Ok
    """)


def test_a_group_reaches_everybody_and_says_so(smtp):
    greeted(smtp()).talk("""
        C: MAIL FROM:<>
        S: 250 2.1.0 Ok
        C: RCPT TO:<all@benet.com>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 …
        C: Subject: to all
        C:
        C: ..two dots, one of them SMTP's
        C: .
        S: 250 2.0.0 Ok: queued as …
    """)
    Courier().run_until_idle()
    for name in ("xiaoqi", "lisi"):
        [message] = messages(name)
        assert message.startswith(
            b"Return-Path: <>\r\nX-Original-To: all@benet.com\r\nDelivered-To: %s@benet.com\r\n" % name.encode()
        )
        assert message.endswith(b"\r\n\r\n.two dots, one of them SMTP's\r\n")
    assert sorted(Recipient.objects.values_list("address", "state")) == [
        ("all@benet.com", "expanded"),
        ("lisi@benet.com", "delivered"),
        ("xiaoqi@benet.com", "delivered"),
    ]
    assert os.listdir(content_files.settings.QUEUE_ROOT) == []


def test_pipelined_commands_are_answered_in_order(smtp):
    client = extended(smtp())
    client.send(b"MAIL FROM:<a@other.example>\r\nRCPT TO:<nobody@benet.com>\r\nRCPT TO:<lisi@benet.com>\r\nDATA\r\n")
    client.talk("S: 250 2.1.0 Ok\nS: 550 5.1.1 …\nS: 250 2.1.5 Ok\nS: 354 …")
    client.send(b"one\r\n.\r\nMAIL FROM:<a@other.example>\r\nRCPT TO:<lisi@benet.com>\r\nDATA\r\n")
    client.talk("S: 250 2.0.0 …\nS: 250 2.1.0 Ok\nS: 250 2.1.5 Ok\nS: 354 …")
    client.send(b"two\r\n.\r\nQUIT\r\n")
    client.talk("S: 250 2.0.0 …\nS: 221 2.0.0 Bye")
    assert Message.objects.count() == 2


def test_a_client_that_hangs_up_early_is_still_served(smtp, parameters):
    """`printf … | nc -N`: the sending side is closed before the first reply."""
    parameters(smtpd_forbid_unauth_pipelining="no")
    client = smtp().dial()
    client.send(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<lisi@benet.com>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
    client.socket.shutdown(1)
    client.talk("S: 220 …\nS: 250 …\nS: 250 …\nS: 250 …\nS: 354 …\nS: 250 2.0.0 Ok: queued as …\nS: 221 …")


def test_a_message_cut_short_is_no_message(smtp):
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(b"half a line")
    client.close()
    other = greeted(smtp())
    other.talk("C: QUIT\nS: 221 …")
    assert not Queued.objects.exists()


@pytest.mark.parametrize(
    "content",
    [b"a bare\nline feed\r\n.\r\n", b"a bare\rcarriage return\r\n.\r\n", b"smuggled\n.\nMAIL FROM:<x@y>\r\n.\r\n"],
)
def test_bare_line_ends_are_refused(smtp, content):
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(content)
    client.talk("S: 550 5.5.2 Error: bare <LF> or bare <CR> received\nC: NOOP\nS: 250 2.0.0 Ok")
    assert not Queued.objects.exists()
    assert os.listdir(content_files.settings.QUEUE_ROOT) == []


def test_content_over_the_limit_is_read_to_its_end_and_refused(smtp, parameters):
    parameters(message_size_limit="100000")
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send((b"x" * 998 + b"\r\n") * 600 + b".\r\n")
    client.talk("S: 552 5.3.4 Error: message file too big\nC: NOOP\nS: 250 2.0.0 Ok")
    assert os.listdir(content_files.settings.QUEUE_ROOT) == []


def test_a_large_message_arrives_octet_for_octet(smtp):
    content = b"Subject: large\r\n\r\n" + b"".join(b"%d %s\r\n" % (n, b"." * (n % 50)) for n in range(40_000))
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(content + b".\r\n")
    client.talk("S: 250 2.0.0 Ok: queued as …")
    Courier().run_until_idle()
    assert messages("lisi")[0].endswith(content)


def test_chunks(smtp):
    """RFC 3030: no dots to stuff, nothing between the chunks."""
    client = smtp().dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    client.send(b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 6 LAST\r\n.\r\nb\r\n")
    client.talk("S: 250 2.0.0 Ok: 14 bytes\nS: 250 2.0.0 Ok: queued as …")
    client.talk("C: BDAT 3 LAST\nC: x\nS: 503 5.5.1 Error: need RCPT command")


def test_too_many_hops(smtp):
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(b"Received: from a by b; x\r\n" * 51 + b"\r\nx\r\n.\r\n")
    client.talk("S: 554 5.4.0 Error: too many hops")


def test_a_message_that_was_here_before_is_a_loop(smtp):
    client = greeted(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(b"Delivered-To: lisi@benet.com\r\n\r\nx\r\n.\r\n")
    client.talk("S: 554 5.4.6 mail forwarding loop for lisi@benet.com")


def test_too_many_errors_end_the_session(smtp, parameters):
    parameters(smtpd_hard_error_limit="3")
    parameters(smtpd_soft_error_limit="3")
    client = greeted(smtp())
    client.talk("C: X\nS: 500 …\nC: X\nS: 500 …\nC: X\nS: 500 …\nS: 421 4.7.0 … Error: too many errors\nS:")


def test_too_many_connections_from_one_address(smtp, parameters):
    parameters(smtpd_client_connection_count_limit="1")
    running = smtp()
    greeted(running)
    running.dial().talk("S: 421 4.7.0 mail.benet.com Error: too many connections from 127.0.0.1\nS:")


@pytest.mark.parametrize("name", ["lisi", "lisi@benet.com", "LISI@BENET.COM"])
def test_signing_in_with_and_without_the_domain(smtp, name):
    client = smtp("submission").dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk(f"C: AUTH PLAIN {plain(name, '123456')}\nS: 235 2.7.0 Authentication successful")
    client.talk("C: MAIL FROM:<lisi@benet.com>\nS: 250 2.1.0 Ok\nC: RCPT TO:<a@other.example>\nS: 250 2.1.5 Ok")


def test_auth_login_asks_twice(smtp):
    client = smtp("submission").dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk("""
        C: AUTH LOGIN
        S: 334 VXNlcm5hbWU6
        C: bGlzaQ==
        S: 334 UGFzc3dvcmQ6
        C: MTIzNDU2
        S: 235 2.7.0 Authentication successful
        C: AUTH LOGIN
        S: 503 5.5.1 Error: already authenticated
    """)


@pytest.mark.parametrize(
    ("line", "reply"),
    [
        (f"AUTH PLAIN {plain('lisi', 'wrong')}", "535 5.7.8 Error: authentication failed"),
        (f"AUTH PLAIN {plain('nobody', '123456')}", "535 5.7.8 Error: authentication failed"),
        ("AUTH PLAIN ????", "501 5.5.2 Error: malformed authentication response"),
        ("AUTH XYZZY", "504 5.5.4 Error: unsupported authentication mechanism"),
        ("AUTH", "501 5.5.4 Syntax: AUTH mechanism"),
        ("MAIL FROM:<lisi@benet.com>", "530 5.7.0 Authentication required"),
    ],
)
def test_submission_wants_a_name_it_knows(smtp, line, reply):
    client = smtp("submission").dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk(f"C: {line}\nS: {reply}")


def test_starttls_forgets_what_was_said_in_the_clear(smtp, certificate):
    client = smtp("submission", certificate[0]).dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.send(b"STARTTLS\r\nMAIL FROM:<injected@other.example>\r\n")
    client.talk("S: 220 2.0.0 Ready to start TLS")
    client.start_tls(certificate[1])
    client.talk(f"C: AUTH PLAIN {plain('lisi', '123456')}\nS: 503 5.5.1 Error: send HELO/EHLO first\nC: EHLO x")
    heard = [client.hear()]
    while heard[-1].startswith("250-"):
        heard.append(client.hear())
    assert "250-STARTTLS" not in heard
    client.talk(f"C: AUTH PLAIN {plain('lisi', '123456')}\nS: 235 2.7.0 Authentication successful")
    client.talk("C: MAIL FROM:<lisi@benet.com>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    client.talk("C: DATA\nS: 354 …\nC: .\nS: 250 …")
    Courier().run_until_idle()
    assert b"\r\n\t(using TLSv1" in messages("lisi")[0]
    assert b"with ESMTPSA id" in messages("lisi")[0]


def test_lmtp_answers_for_each_recipient(smtp):
    smtp("lmtp").dial().talk("""
        S: 220 …
        C: HELO x
        S: 502 5.5.1 Error: command not implemented
        C: LHLO x
        S: 250-mail.benet.com
        S: 250-PIPELINING
        S: 250-SIZE 10240000
        S: 250-VRFY
        S: 250-ETRN
        S: 250-ENHANCEDSTATUSCODES
        S: 250-8BITMIME
        S: 250-DSN
        S: 250-SMTPUTF8
        S: 250 CHUNKING
        C: MAIL FROM:<a@other.example>
        S: 250 2.1.0 Ok
        C: RCPT TO:<lisi@benet.com>
        S: 250 2.1.5 Ok
        C: RCPT TO:<nobody@benet.com>
        S: 550 5.1.1 …
        C: RCPT TO:<xiaoqi@benet.com>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 …
        C: x
        C: .
        S: 250 2.0.0 Ok: queued as …
        S: 250 2.0.0 Ok: queued as …
        C: QUIT
        S: 221 2.0.0 Bye
    """)


def test_a_full_mailbox_is_said_at_rcpt(smtp, benet):
    Account.objects.filter(address="lisi@benet.com").update(quota_bytes=1000, used_bytes=990)
    client = smtp().dial()
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk("""
        C: MAIL FROM:<a@other.example> SIZE=500
        S: 250 2.1.0 Ok
        C: RCPT TO:<lisi@benet.com>
        S: 452 4.2.2 <lisi@benet.com>: Recipient address rejected: Mailbox is full
        C: RSET
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@other.example> SIZE=5000
        S: 250 2.1.0 Ok
        C: RCPT TO:<lisi@benet.com>
        S: 552 5.2.2 <lisi@benet.com>: Recipient address rejected: Mailbox is full
    """)


def test_an_account_made_now_receives_now(smtp):
    running = smtp()
    greeted(running).talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<wangwu@benet.com>\nS: 550 …")
    directory.create_account("wangwu@benet.com", "correct horse battery")
    greeted(running).talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<wangwu@benet.com>\nS: 250 …")
