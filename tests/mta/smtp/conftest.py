"""Other hosts, and messages sent straight to them."""

import ssl
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import dns.message
import dns.query
import dns.rrset
import pytest

from mailcore.mta.queue import states
from mailcore.mta.transports.smtp.dispatcher import Dispatch
from mailcore.mta.transports.smtp.job import DeliveryJob
from mailcore.mta.transports.smtp.tls_policy import policy_for
from tests.mta.smtp.remote_host import POLITE, FarHost

_NAMES = {"greeting": "", "dot": "."}


@pytest.fixture
def far() -> Iterator[Callable[..., FarHost]]:
    r"""`far(RCPT=b"550 no\r\n")`: a polite host but for this. `context=` is its TLS."""
    hosts: list[FarHost] = []

    def start(kind: type[FarHost] = FarHost, context: ssl.SSLContext | None = None, **changes: bytes) -> FarHost:
        hosts.append(kind({**POLITE, **{_NAMES.get(k, k): v for k, v in changes.items()}}, context))
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()


@pytest.fixture
def dispatch(benet) -> Iterator[Dispatch]:
    made = Dispatch()
    yield made
    made.stop(0)
    made.close()


@pytest.fixture
def send(post, dispatch):
    """`send(hop, "a@far.example", …)`: one message straight to a next hop; (address, kind, dsn) of each recipient.

    `send.said` is what the last outcomes say, `send.actions` what a success report would call them.
    """

    def hand_over(hop: str, *recipients: str, content: bytes = b"Subject: x\r\n\r\n.dot\r\n", login=None, **more):
        post(*(recipients or ("a@far.example",)), content=content, **more)
        [claim] = states.claim_due("anna", 1)
        dispatch.submit([DeliveryJob(claim, hop, tuple(claim.pending), policy_for(hop), login)])
        dispatch.wait(60)
        [settlement] = dispatch.take_finished()
        outcomes = sorted(settlement.outcomes, key=lambda each: each[0].id)
        hand_over.said = " ".join(outcome.text for _, outcome in outcomes)
        hand_over.actions = [outcome.action for _, outcome in outcomes]
        return [(duty.address, outcome.kind, outcome.dsn) for duty, outcome in outcomes]

    return hand_over


@pytest.fixture
def names(parameters):
    """A name server of our own: `names("far.example", "MX", "10 mx1.far.example")`.

    Names it does not know do not exist; a name with "SERVFAIL" cannot be looked up now.
    """
    import socket

    zone: dict[tuple[str, str], list[str]] = {}
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                data, who = server.recvfrom(4096)
            except OSError:
                return
            asked = dns.message.from_wire(data)
            [question] = asked.question
            name = question.name.to_text(omit_final_dot=True)
            answer = dns.message.make_response(asked)
            records = zone.get((name, dns.rdatatype.to_text(question.rdtype)), [])
            if records == ["SERVFAIL"]:
                answer.set_rcode(dns.rcode.SERVFAIL)
            elif records:
                answer.answer.append(dns.rrset.from_text_list(question.name, 60, "IN", question.rdtype, records))
            elif not any(known == name for known, _ in zone):
                answer.set_rcode(dns.rcode.NXDOMAIN)
            server.sendto(answer.to_wire(), who)

    threading.Thread(target=serve, daemon=True).start()
    parameters(dns_servers=f"127.0.0.1:{server.getsockname()[1]}")

    def tell(name: str, kind: str, *records: str) -> None:
        zone[name, kind] = [f"{each}." if kind == "MX" else each for each in records]

    yield tell
    server.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """Certificates: `.file` names whom we trust, `.context("mx.far.example")` is a host's TLS, issued by it.

    `.chain("mx.far.example")` is the same as a file.
    """
    from tests.mta.smtp.certificates import Authority

    made = Authority(tmp_path_factory.mktemp("authority"))
    return SimpleNamespace(file=str(made.file), context=made.context, chain=made.chain)
