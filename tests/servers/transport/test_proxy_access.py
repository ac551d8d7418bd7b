"""IMAP and POP3 behind a proxy: who the client really is, and whom we believe about it."""

import logging
import struct
from base64 import b64encode

import pytest

from mailcore.servers.pop3.session import Pop3Server
from mailcore.wire.proxy_header import SIGNATURE

pytestmark = pytest.mark.django_db(transaction=True)

LINE = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 143\r\n"
BINARY = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes((192, 0, 2, 7)), bytes((192, 0, 2, 1)), 4711, 143)
ITSELF = SIGNATURE + b"\x20\x00\x00\x00"


@pytest.fixture(autouse=True)
def proxied(parameters, caplog) -> None:
    caplog.set_level(logging.INFO, "mailcore")
    parameters(haproxy_trusted_networks="127.0.0.1", haproxy_timeout="1s", disable_plaintext_auth="yes")


@pytest.fixture
def pop3(serve, benet):
    def start(context=None, implicit=False):
        return serve(lambda executor: Pop3Server(executor, context, implicit_tls=implicit))

    return start


def clients(caplog) -> set[str]:
    """Return the logins in the log."""
    return {text.rpartition("client=")[2] for text in caplog.messages if text.startswith("login:")}


def plain() -> str:
    return b64encode(b"\0lisi\x00123456").decode()


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_imaps(imap, certificate, caplog, header):
    client = imap(context=certificate[0], implicit=True).dial()
    client.send(header)
    client.start_tls(certificate[1])
    client.sign_in()
    assert clients(caplog) == {"192.0.2.7"}


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_pop3s(pop3, certificate, caplog, header):
    client = pop3(certificate[0], implicit=True).dial()
    client.send(header)
    client.start_tls(certificate[1])
    client.talk(f"S: +OK …\nC: AUTH PLAIN {plain()}\nS: +OK Logged in.")
    assert clients(caplog) == {"192.0.2.7"}


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_imap_client_is_not_from_here(imap, certificate, header):
    """The proxy is on this machine, its client is not: no password in the clear."""
    client = imap(context=certificate[0]).dial()
    client.send(header)
    assert "LOGINDISABLED" in client.hear()
    client.do("LOGIN lisi 123456", "NO [PRIVACYREQUIRED]")
    client.do("STARTTLS")
    client.start_tls(certificate[1])
    client.do("LOGIN lisi 123456")


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_pop3_client_is_not_from_here(pop3, certificate, header):
    client = pop3(certificate[0]).dial()
    client.send(header)
    client.talk("S: +OK …\nC: USER lisi\nS: -ERR …\nC: STLS\nS: +OK …")
    client.start_tls(certificate[1])
    client.talk("C: USER lisi\nS: +OK\nC: PASS 123456\nS: +OK …")


def test_a_proxy_that_speaks_for_itself(imap, pop3, caplog):
    client = imap().dial()
    client.send(ITSELF)
    client.sign_in()
    client = pop3().dial()
    client.send(ITSELF)
    client.talk(f"S: +OK …\nC: AUTH PLAIN {plain()}\nS: +OK …")
    assert clients(caplog) == {"127.0.0.1"}


@pytest.mark.parametrize("data", [b"a1 CAPABILITY and more\r\n", b"PROXY TCP4 nonsense\r\n", b"CAPA", b""])
def test_no_header_where_there_must_be_one(imap, pop3, data):
    for client in (imap().dial(), pop3().dial()):
        client.send(data)
        client.talk("S:")


def test_only_proxies_are_believed(imap, pop3, parameters, caplog):
    parameters(haproxy_trusted_networks="192.0.2.0/24")
    client = imap().dial()
    client.send(LINE)
    client.talk("S: * OK …\nS: PROXY BAD …\nC: a LOGIN lisi 123456\nS: a OK …")
    client = pop3().dial()
    client.send(LINE)
    client.talk(f"S: +OK …\nS: -ERR …\nC: AUTH PLAIN {plain()}\nS: +OK …")
    assert clients(caplog) == {"127.0.0.1"}
