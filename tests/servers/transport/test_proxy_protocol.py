"""A proxy in front: who the client really is, and whom we believe about it."""

import struct

import pytest

from mailcore.models import Queued
from mailcore.wire.proxy_header import SIGNATURE
from smtp_talk import extended, plain, send

pytestmark = pytest.mark.django_db(transaction=True)

LINE = b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n"
MAPPED = b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 4711 25\r\n"
BINARY = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes((192, 0, 2, 7)), bytes((192, 0, 2, 1)), 4711, 465)


@pytest.fixture(autouse=True)
def proxied(parameters) -> None:
    parameters(
        smtpd_upstream_proxy_protocol="haproxy",
        smtpd_upstream_proxy_networks="127.0.0.1",
        smtpd_upstream_proxy_timeout="1s",
        smtpd_peername_lookup="no",
    )


@pytest.mark.parametrize("header", [LINE, MAPPED, BINARY])
def test_the_client_behind_a_proxy(smtp, header):
    client = smtp().dial()
    client.send(header)
    client.talk("S: 220 …\nC: HELO x\nS: 250 …")
    assert send(client, "a@other.example", "all@benet.com").startswith("250")
    assert Queued.objects.get().client_address == "192.0.2.7"


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"])
def test_a_proxy_that_speaks_for_itself(smtp, header):
    client = smtp().dial()
    client.send(header)
    client.talk("S: 220 …\nC: HELO x\nS: 250 …")
    assert send(client, "a@other.example", "all@benet.com").startswith("250")
    assert Queued.objects.get().client_address == "127.0.0.1"


@pytest.mark.parametrize("header", [LINE, BINARY])
def test_tls_begins_behind_the_header(smtp, certificate, header):
    client = smtp("submissions", certificate[0]).dial()
    client.send(header)
    client.start_tls(certificate[1])
    client.talk("S: 220 …\nC: EHLO x")
    while client.hear().startswith("250-"):
        pass
    client.talk(f"C: AUTH PLAIN {plain('lisi', '123456')}\nS: 235 …")
    assert send(client, "lisi@benet.com", "a@other.example").startswith("250")
    row = Queued.objects.get()
    assert (row.client_address, row.protocol) == ("192.0.2.7", "ESMTPSA")


@pytest.mark.parametrize("data", [b"EHLO somebody else\r\n", b"PROXY TCP4 nonsense\r\n", b"PRO", b""])
def test_no_header_where_there_must_be_one(smtp, data):
    client = smtp().dial()
    client.send(data)
    client.talk("S:")


def test_only_proxies_are_believed(smtp, parameters):
    parameters(smtpd_upstream_proxy_networks="192.0.2.0/24")
    running = smtp()
    client = extended(running)
    client.send(LINE)
    client.talk("S: 500 5.5.2 Error: command not recognized")
    assert send(client, "a@other.example", "all@benet.com").startswith("250")
    assert Queued.objects.get().client_address == "127.0.0.1"
