"""Restrictions that ask others: name servers, lists in the DNS, policy services. Real ones, on loopback."""

import dataclasses
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailcore.conf import caches
from mailcore.mta.dns import resolver
from mailcore.mta.dns.resolver import PeerName
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.store.settings import lookup_tables
from mailcore.values import Client
from nameserver import NameServer

pytestmark = pytest.mark.django_db

STRANGER = Client("192.0.2.7", "mail.other.example", "mail.other.example", "ESMTP")
ALL_RIGHT = "250 2.1.5 Ok"

RECORDS = {
    ("7.2.0.192.in-addr.arpa", "PTR"): ["mail.other.example."],
    ("8.2.0.192.in-addr.arpa", "PTR"): ["liar.other.example."],
    ("9.2.0.192.in-addr.arpa", "PTR"): ["mail.broken.example."],
    ("mail.other.example", "A"): ["192.0.2.7"],
    ("liar.other.example", "A"): ["192.0.2.99"],
    ("other.example", "MX"): ["10 mail.other.example."],
    ("web.example", "A"): ["192.0.2.80"],
    ("null.example", "MX"): ["0 ."],
    ("7.2.0.192.bl.example", "A"): ["127.0.0.2"],
    ("7.2.0.192.bl.example", "TXT"): ['"listed: see $rbl_domain"'],
    ("7.2.0.192.wl.example", "A"): ["127.0.10.3"],
    ("other.example.rhs.example", "A"): ["127.0.1.2"],
    ("backup.example", "MX"): ["10 primary.backup.example.", "20 mail.benet.com."],
    ("primary.backup.example", "A"): ["192.0.2.50"],
    ("mail.benet.com", "A"): ["192.0.2.1"],
}


@pytest.fixture
def names(benet, parameters) -> Iterator[NameServer]:
    server = NameServer(RECORDS, broken=("broken.example", "mail.broken.example", "7.2.0.192.down.example"))
    caches.clear_all()
    parameters(
        mynetworks="",
        smtpd_relay_restrictions="reject_unauth_destination",
        smtpd_sender_restrictions="",
        dns_servers=server.address,
        dns_timeout="3s",
    )
    yield server
    server.stop()
    caches.clear_all()


def said(client=STRANGER, sender="a@other.example", recipient="lisi@benet.com") -> str:
    return str(accept.check_recipient(RestrictionInput("RCPT", client, sender, recipient)).reply)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", PeerName("mail.other.example", "mail.other.example")),
        ("192.0.2.8", PeerName("unknown", "liar.other.example")),
        ("192.0.2.9", PeerName("unknown", "mail.broken.example", name_trouble=True)),
        ("192.0.2.10", PeerName()),
    ],
)
def test_the_name_of_a_client_leads_back_to_it(names, address, name):
    assert resolver.lookup_client_name(address) == name


def test_answers_are_remembered(names):
    for _ in range(3):
        resolver.lookup_client_name("192.0.2.7")
        resolver.lookup_client_name("192.0.2.10")
    assert sorted(names.asked) == sorted(set(names.asked))


@pytest.mark.parametrize(
    ("restriction", "sender", "reply"),
    [
        ("reject_unknown_sender_domain", "a@other.example", ALL_RIGHT),
        ("reject_unknown_sender_domain", "a@web.example", ALL_RIGHT),
        ("reject_unknown_sender_domain", "a@benet.com", ALL_RIGHT),
        ("reject_unknown_sender_domain", "", ALL_RIGHT),
        ("reject_unknown_sender_domain", "a@none.example", "450 4.1.8 <a@none.example>: … Domain not found"),
        ("reject_unknown_address", "a@none.example", "450 4.1.8 …"),
        ("reject_unknown_sender_domain", "a@null.example", "550 5.7.27 <a@null.example>: … (nullMX)"),
        ("reject_unknown_sender_domain", "a@broken.example", "450 4.1.8 <a@broken.example>: … Domain not found"),
        ("reject_unknown_sender_domain reject", "a@broken.example", "554 5.7.1 …"),
        ("reject_unknown_helo_hostname", "", ALL_RIGHT),
        ("reject_rbl_client bl.example", "", ("554 5.7.1 Service unavailable; Client host [192.0.2.7] blocked using"
         " bl.example; listed: see $rbl_domain")),
        ("reject_rbl_client bl.example=127.0.0.[2..11]", "", "554 5.7.1 …"),
        ("reject_rbl_client bl.example=127.0.0.[4;10..11]", "", ALL_RIGHT),
        ("reject_rbl_client bl.example=127.0", "", "451 4.3.5 Server configuration error"),
        ("reject_rbl_client other.bl.example", "", ALL_RIGHT),
        ("reject_rbl_client down.example", "", ALL_RIGHT),
        ("permit_dnswl_client wl.example reject", "", ALL_RIGHT),
        ("permit_dnswl_client bl2.example reject", "", "554 5.7.1 …"),
        ("permit_dnswl_client down.example reject", "", "450 4.7.1 …"),
        ("reject_rhsbl_sender rhs.example", "a@other.example", ("554 5.7.1 Service unavailable; Sender address"
         " [a@other.example] blocked using rhs.example")),
        ("reject_rhsbl_sender rhs.example", "", ALL_RIGHT),
        ("reject_rhsbl_recipient rhs.example", "a@other.example", ALL_RIGHT),
        ("reject_rhsbl_client rhs.example", "", ALL_RIGHT),
        ("reject_rhsbl_helo rhs.example", "", ALL_RIGHT),
    ],
)  # fmt: skip
def test_what_the_dns_says(names, parameters, restriction, sender, reply, fits):
    parameters(smtpd_recipient_restrictions=restriction)
    assert fits(said(sender=sender), reply)


def test_an_unknown_helo(names, parameters):
    parameters(smtpd_recipient_restrictions="reject_unknown_helo_hostname")
    nowhere = dataclasses.replace(STRANGER, helo="nowhere.example")
    assert said(nowhere) == "450 4.7.1 <nowhere.example>: Helo command rejected: Host not found"


def test_a_reply_of_ones_own(names, parameters):
    lookup_tables.replace_entries("rbl_replies", {"bl.example": "521 5.7.9 $client_address is on $rbl_domain"})
    parameters(smtpd_recipient_restrictions="reject_rbl_client bl.example", rbl_reply_maps="hash:rbl_replies")
    assert said() == "521 5.7.9 192.0.2.7 is on bl.example"


def test_a_backup_for_those_who_say_so(names, parameters):
    parameters(smtpd_relay_restrictions="permit_mx_backup, reject_unauth_destination")
    assert said(recipient="a@backup.example") == ALL_RIGHT
    assert said(recipient="a@other.example") == "554 5.7.1 <a@other.example>: Relay access denied"
    assert said(recipient="a@broken.example").startswith("450 4.4.4")
    parameters(permit_mx_backup_networks="198.51.100.0/24")
    assert said(recipient="a@backup.example") == "554 5.7.1 <a@backup.example>: Relay access denied"


# --- Policy services ------------------------------------------------------------------------------


class _Policy(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: Path, answer: Callable[[dict[str, str]], str]) -> None:
        self.answer, self.requests, self.connections = answer, [], 0
        super().__init__(str(path), _Talk)


class _Talk(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.server.connections += 1
        request: dict[str, str] = {}
        for line in self.rfile:
            name, equals, value = line.decode().rstrip("\n").partition("=")
            if equals:
                request[name] = value
                continue
            self.server.requests.append(request)
            self.wfile.write(self.server.answer(request).encode())
            request = {}


@pytest.fixture
def policy(benet, parameters, tmp_path) -> Iterator[Callable[[Callable[[dict[str, str]], str]], _Policy]]:
    parameters(mynetworks="", smtpd_relay_restrictions="reject_unauth_destination", smtpd_policy_service_timeout="3s")
    servers: list[_Policy] = []

    def serve(answer: Callable[[dict[str, str]], str]) -> _Policy:
        path = tmp_path / f"policy{len(servers)}"
        servers.append(_Policy(path, answer))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()
        parameters(smtpd_recipient_restrictions=f"check_policy_service unix:{path}")
        return servers[-1]

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_policy_service_is_asked_and_obeyed(policy):
    server = policy(lambda request: "action=DEFER_IF_PERMIT greylisted\n\n")
    assert said() == "450 4.7.1 <lisi@benet.com>: Recipient address rejected: greylisted"
    [request] = server.requests
    assert request["request"] == "smtpd_access_policy"
    assert request["protocol_state"] == "RCPT"
    assert (request["client_address"], request["client_name"]) == ("192.0.2.7", "mail.other.example")
    assert (request["sender"], request["recipient"]) == ("a@other.example", "lisi@benet.com")
    assert request["helo_name"] == "mail.other.example"


def test_its_connection_is_used_again(policy):
    server = policy(lambda request: "action=DUNNO\n\n")
    for _ in range(5):
        assert said() == ALL_RIGHT
    assert len(server.requests) == 5
    assert server.connections == 1


def test_what_a_client_says_makes_no_line_of_its_own(policy):
    server = policy(lambda request: "action=DUNNO\n\n")
    said(dataclasses.replace(STRANGER, helo="x\nsasl_username=lisi"))
    assert server.requests[0]["helo_name"] == "x?sasl_username=lisi"
    assert server.requests[0]["sasl_username"] == ""


@pytest.mark.parametrize("answer", ["", "nonsense\n\n", "action=DUNNO\n"])
def test_one_that_talks_nonsense(policy, parameters, answer):
    parameters(smtpd_policy_service_timeout="1s")
    policy(lambda request: answer)
    assert said() == "451 4.3.5 <lisi@benet.com>: Recipient address rejected: Server configuration problem"
    parameters(smtpd_policy_service_default_action="DUNNO")
    assert said() == ALL_RIGHT


def test_one_that_is_not_there(benet, parameters, tmp_path):
    parameters(
        mynetworks="",
        smtpd_relay_restrictions="reject_unauth_destination",
        smtpd_recipient_restrictions=f"check_policy_service unix:{tmp_path}/nobody",
    )
    assert said().startswith("451 4.3.5 <lisi@benet.com>")
    parameters(smtpd_recipient_restrictions="check_policy_service carrier:pigeon")
    assert said() == "451 4.3.5 Server configuration error"
