"""Greeting to goodbye: signing in, states, literals, wrong commands, TLS, many at once."""

import base64
import socket

import pytest

from imap_client import PASSWORD, Mailer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def lisi(imap) -> Mailer:
    return imap().dial().sign_in()


def test_a_conversation_without_mail(imap) -> None:
    imap().dial().talk("""
        S: * OK [CAPABILITY IMAP4rev1 … AUTH=PLAIN AUTH=LOGIN] Youju ready.
        C: a1 CAPABILITY
        S: * CAPABILITY IMAP4rev1 …
        S: a1 OK Capability completed.
        C: a2 SELECT INBOX
        S: a2 BAD SELECT is not allowed in not authenticated state
        C: a3 LOGIN lisi wrong
        S: a3 NO [AUTHENTICATIONFAILED] Authentication failed.
        C: a4 LOGIN nobody wrong
        S: a4 NO [AUTHENTICATIONFAILED] Authentication failed.
        C: a5 LOGIN "lisi@benet.com" "123456"
        S: a5 OK [CAPABILITY IMAP4rev1 …] Logged in
        C: a6 LOGIN lisi 123456
        S: a6 BAD LOGIN is not allowed in authenticated state
        C: a7 NOOP
        S: a7 OK Noop completed.
        C: a8 FETCH 1 FLAGS
        S: a8 BAD FETCH is not allowed in authenticated state
        C: a9 LOGOUT
        S: * BYE Logging out
        S: a9 OK Logout completed.
    """)


def test_literals_wait_or_do_not(imap) -> None:
    imap().dial().talk("""
        S: * OK …
        C: a LOGIN {4}
        S: + OK
        C: lisi {6+}
        C: 123456
        S: a OK …
        C: b SELECT {5+}
        C: INBOX
        S: …
        S: …
        S: * 0 EXISTS
        S: * 0 RECENT
        S: * OK [UIDVALIDITY …
        S: * OK [UIDNEXT 1] …
        S: * OK [HIGHESTMODSEQ 1] …
        S: * OK [MAILBOXID (F…)] …
        S: * OK [URLMECH INTERNAL] …
        S: b OK [READ-WRITE] Select completed.
    """)


@pytest.mark.parametrize(
    "steps",
    [
        ["a AUTHENTICATE PLAIN", "+ ", base64.b64encode(b"\0lisi\0" + b"123456").decode(), "a OK …"],
        ["a AUTHENTICATE PLAIN " + base64.b64encode(b"lisi\0lisi\0" + b"123456").decode(), "a OK …"],
        ["a AUTHENTICATE LOGIN", "+ VXNlcm5hbWU6", "bGlzaQ==", "+ UGFzc3dvcmQ6", "MTIzNDU2", "a OK …"],
        ["a AUTHENTICATE PLAIN", "+ ", "*", "a BAD Authentication cancelled"],
        ["a AUTHENTICATE PLAIN !!!", "a BAD Invalid authentication data"],
        [
            "a AUTHENTICATE PLAIN " + base64.b64encode(b"xiaoqi\0lisi\0" + b"123456").decode(),
            "a NO [AUTHORIZATIONFAILED] …",
        ],
        ["a AUTHENTICATE CRAM-MD5", "a NO Unsupported authentication mechanism."],
    ],
)
def test_ways_to_authenticate(imap, steps: list[str]) -> None:
    script = ["S: * OK …"]
    for step in steps:
        heard = step[:2] in ("+ ", "a ") and not step.startswith("a AUTH")
        script.append(f"S: {step.strip()}" if heard else f"C: {step}")
    imap().dial().talk("\n".join(script))


def test_passwords_in_the_clear_can_be_forbidden(imap, parameters, certificate) -> None:
    parameters(disable_plaintext_auth="yes")
    server_context, client_context = certificate
    client = imap(context=server_context).dial()
    client.talk("S: * OK [CAPABILITY … STARTTLS AUTH=SCRAM-SHA-256 AUTH=PLAIN AUTH=LOGIN] …")
    client.talk("C: a STARTTLS\nS: a OK Begin TLS negotiation now.")
    client.start_tls(client_context)
    client.talk("C: b CAPABILITY\nS: * CAPABILITY … AUTH=PLAIN AUTH=LOGIN\nS: b OK …")
    client.talk(f"C: c LOGIN lisi {PASSWORD}\nS: c OK …\nC: d STARTTLS\nS: d BAD …")


def test_from_elsewhere_nothing_is_asked_in_the_clear(imap, parameters, certificate) -> None:
    parameters(disable_plaintext_auth="yes")
    running = imap(context=certificate[0])
    client = Mailer(running.port)
    running.open.append(client)
    client.close()
    client.socket = socket.create_connection(("127.0.0.1", running.port), 10, source_address=("127.0.0.2", 0))
    client.file = client.socket.makefile("rb")
    client.talk("S: * OK [CAPABILITY … STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256] …")
    client.talk(
        "C: a LOGIN lisi 123456\n"
        "S: a NO [PRIVACYREQUIRED] Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
    )


def test_what_is_said_before_tls_is_forgotten(imap, certificate) -> None:
    client = imap(context=certificate[0]).dial()
    client.hear()
    client.send(b"a STARTTLS\r\nb CAPABILITY\r\n")
    client.talk("S: a OK …")
    client.start_tls(certificate[1])
    client.talk("C: c NOOP\nS: c OK …")


def test_implicit_tls(imap, certificate) -> None:
    client = imap(context=certificate[0], implicit=True).dial()
    client.start_tls(certificate[1])
    client.talk(f"S: * OK [CAPABILITY … AUTH=PLAIN AUTH=LOGIN] …\nC: a LOGIN lisi {PASSWORD}\nS: a OK …")


def test_a_command_may_come_in_pieces_and_many_at_once(lisi: Mailer) -> None:
    for byte in b"x NOOP\r\n":
        lisi.send(bytes([byte]))
    lisi.talk("S: x OK Noop completed.")
    lisi.send(b"".join(b"p%d NOOP\r\n" % n for n in range(200)))
    for n in range(200):
        assert lisi.hear() == f"p{n} OK Noop completed."


@pytest.mark.parametrize(
    "command",
    [
        "",
        "a",
        "a ",
        "a NOTHING",
        "a NOOP NOOP",
        "( NOOP",
        "a SELECT",
        'a SELECT "open',
        "a CREATE {3",
        "a LIST",
        "a UID",
        "a UID NOOP",
    ],
)
def test_wrong_commands_get_an_answer(lisi: Mailer, command: str) -> None:
    lisi.say(command)
    assert lisi.hear().split()[1] in ("BAD", "NO")
    lisi.do("NOOP")


def test_a_literal_too_large_is_refused_before_it_is_sent(lisi: Mailer) -> None:
    lisi.talk("C: a CREATE {99999999}\nS: a NO [TOOBIG] Literal is too long\nC: b NOOP\nS: b OK …")
    lisi.send(b"c CREATE {2000000+}\r\n" + b"x" * 2_000_000 + b"\r\nd NOOP\r\n")
    lisi.talk("S: c NO [TOOBIG] …\nS: d OK …")


def test_a_line_without_end_ends_the_connection(lisi: Mailer) -> None:
    lisi.send(b"x" * 70_000)
    assert lisi.hear() == "* BYE Line is too long"
    assert lisi.hear() == ""


def test_too_many_wrong_commands_end_the_connection(lisi: Mailer, parameters) -> None:
    parameters(mail_max_bad_commands="3")
    lisi.talk("C: a X\nS: a BAD …\nC: b X\nS: b BAD …\nC: c X\nS: c BAD …\nS: * BYE Too many invalid commands")


def test_one_owner_has_so_many_connections(imap, parameters) -> None:
    parameters(mail_max_userip_connections="2")
    running = imap()
    first = running.dial().sign_in()
    running.dial().sign_in()
    third = running.dial()
    third.hear()
    third.do(f"LOGIN lisi {PASSWORD}", "NO [LIMIT]")
    third.do(f"LOGIN xiaoqi {PASSWORD}")
    first.do("LOGOUT")
    assert first.hear() == ""
    running.dial().sign_in()


def test_identification_and_enabling(lisi: Mailer) -> None:
    assert lisi.do('ID ("name" "tester" "version" NIL)') == [b'* ID ("name" "Youju")']
    assert lisi.do("ID NIL") == [b'* ID ("name" "Youju")']
    assert lisi.do("ENABLE CONDSTORE X-UNKNOWN") == [b"* ENABLED CONDSTORE"]
    assert lisi.do("NAMESPACE") == [b'* NAMESPACE (("" "/")) (("Other Users/" "/")) NIL']


def test_the_server_says_goodbye(imap) -> None:
    running = imap()
    idle = running.dial().sign_in()
    running.do(running.server.close(5))
    assert idle.hear() == "* BYE Server shutting down."
    assert idle.hear() == ""


def test_a_password_of_odd_characters_is_just_wrong(imap) -> None:
    client = imap().dial()
    client.hear()
    client.do(b'LOGIN "\xff\xfe" "\xe4"', "NO")
    client.do(b"LOGIN {3+}\r\n\x01\x02\x03 x", "NO")
    client.do(b"LOGIN {3+}\r\n\x00\x01\x02 x", "BAD NUL in a literal")  # RFC 9051 §9: CHAR8 is %x01-ff
