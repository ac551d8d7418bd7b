"""Mail programs ask how to set themselves up."""

import plistlib
from xml.etree import ElementTree

import pytest

from mailcore.store import directory
from mailcore.store.directory import DomainDraft

pytestmark = pytest.mark.django_db

ASKS = """<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>
<EMailAddress>lisi@benet.com</EMailAddress>
<AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>"""
OUTLOOK = "{http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a}"
THUNDERBIRD = ("/mail/config-v1.1.xml", "/.well-known/autoconfig/mail/config-v1.1.xml")


@pytest.fixture(autouse=True)
def benet(settings, parameters) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    settings.PORTS = {"smtp": 25, "submission": 587, "submissions": 465, "lmtp": None, "pop3": 110, "pop3s": None,
                      "imap": 143, "imaps": 993, "web": 80}  # fmt: skip
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    directory.create_domain("benet.com")
    directory.create_domain("old.example", DomainDraft(kind="alias", target="benet.com"))
    directory.create_domain("relayed.example", DomainDraft(kind="relay"))


@pytest.mark.parametrize("path", THUNDERBIRD)
def test_thunderbird(client, path):
    top = ElementTree.fromstring(client.get(path, {"emailaddress": "lisi@benet.com"}).content)
    assert top.find("emailProvider").get("id") == top.findtext("emailProvider/domain") == "benet.com"
    servers = [
        (server.get("type"), server.findtext("hostname"), server.findtext("port"), server.findtext("socketType"))
        for server in top.iter()
        if server.tag.endswith("Server")
    ]
    assert servers == [
        ("imap", "mail.benet.com", "993", "SSL"),
        ("imap", "mail.benet.com", "143", "STARTTLS"),
        ("pop3", "mail.benet.com", "110", "STARTTLS"),
        ("smtp", "mail.benet.com", "465", "SSL"),
        ("smtp", "mail.benet.com", "587", "STARTTLS"),
    ]
    assert {server.text for server in top.iter("username")} == {"%EMAILADDRESS%"}


def test_what_is_switched_off_is_not_told(client, parameters):
    parameters(ssl_disable="yes", protocols="imap", autoconfig_hostname="imap.benet.com")
    top = ElementTree.fromstring(client.get(THUNDERBIRD[0], {"emailaddress": "lisi@benet.com"}).content)
    assert [server.findtext("port") for server in top.iter() if server.tag.endswith("Server")] == ["143", "587"]
    assert {server.text for server in top.iter("socketType")} == {"plain"}
    assert {server.text for server in top.iter("hostname")} == {"imap.benet.com"}


def test_the_domain_is_the_addresss_or_the_hosts(client):
    for data, host, domain in (
        ({"emailaddress": "a@OLD.example"}, "mail.benet.com", "old.example"),
        ({}, "autoconfig.old.example", "old.example"),
    ):
        answer = client.get(THUNDERBIRD[0], data, headers={"host": host})
        assert ElementTree.fromstring(answer.content).findtext("emailProvider/domain") == domain


@pytest.mark.parametrize("address", ["a@elsewhere.org", "a@relayed.example", "a@" + "x" * 70 + "é", "@"])
def test_domains_that_are_not_here(client, address):
    assert (
        client.get(THUNDERBIRD[0], {"emailaddress": address}, headers={"host": "autoconfig.no.example"}).status_code
        == 404
    )
    assert client.get("/mail/profile.mobileconfig", {"email": address}).status_code == 404
    assert (
        client.post(
            "/autodiscover/autodiscover.xml", ASKS.replace("lisi@benet.com", "a@no.example"), "text/xml"
        ).status_code
        == 404
    )


@pytest.mark.parametrize("path", ["/autodiscover/autodiscover.xml", "/Autodiscover/Autodiscover.xml"])
def test_outlook(client, path):
    answer = client.post(path, ASKS, content_type="text/xml")
    protocols = [
        tuple(protocol.findtext(f"{OUTLOOK}{name}") for name in ("Type", "Server", "Port", "LoginName", "Encryption"))
        for protocol in ElementTree.fromstring(answer.content).iter(f"{OUTLOOK}Protocol")
    ]
    assert protocols == [
        ("IMAP", "mail.benet.com", "993", "lisi@benet.com", "SSL"),
        ("POP3", "mail.benet.com", "110", "lisi@benet.com", "TLS"),
        ("SMTP", "mail.benet.com", "465", "lisi@benet.com", "SSL"),
    ]


def test_apple(client):
    answer = client.get("/mail/profile.mobileconfig", {"email": "Lisi@benet.com"})
    assert answer["Content-Type"].startswith("application/x-apple-aspen-config")
    profile = plistlib.loads(answer.content)
    [account] = profile["PayloadContent"]
    assert account["EmailAddress"] == account["IncomingMailServerUsername"] == "lisi@benet.com"
    assert (account["IncomingMailServerHostName"], account["IncomingMailServerPortNumber"]) == ("mail.benet.com", 993)
    assert (account["OutgoingMailServerPortNumber"], account["OutgoingMailServerUseSSL"]) == (465, True)
    again = plistlib.loads(client.get("/mail/profile.mobileconfig", {"email": "lisi@benet.com"}).content)
    assert again == profile


def test_what_is_asked_wrongly(client):
    assert client.get("/mail/profile.mobileconfig").status_code == 404
    assert client.post(THUNDERBIRD[0]).status_code == 405
    assert client.put("/autodiscover/autodiscover.xml").status_code == 405
