"""Forged results of checks (RFC 8601 §5): no message that comes in bears such a field with a name of ours."""

import pytest

from mailcore.models import Message
from mailcore.mta.submission import pickup
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from smtp_talk import extended, messages, signed_in

pytestmark = pytest.mark.django_db(transaction=True)

FORGED = [
    "Authentication-Results: mail.benet.com; dmarc=pass",
    "authentication-results : BENET.com. 1; dmarc=pass",
    "Authentication-Results: (x) second.example (y) ; dmarc=pass",
    'Authentication-Results:\r\n "mail.benet.com";\r\n\tdmarc=pass',
]
HONEST = "Authentication-Results: mx.example.org; spf=pass"
HEADER = "\r\n".join(["From: ceo@icbc.com.cn", FORGED[0], HONEST, *FORGED[1:], "Subject: s"])
BODY = "\r\nAuthentication-Results: mail.benet.com; in the body\r\n"


def assert_clean(content: bytes) -> None:
    header, _, body = content.partition(b"\r\n\r\n")
    assert b"dmarc=pass" not in header
    assert HONEST.encode() in header
    assert header.endswith(b"Subject: s") or b"Subject: s\r\n" in header
    assert b"in the body" in body


@pytest.fixture(autouse=True)
def second(benet) -> None:
    directory.create_domain("second.example", directory.DomainDraft(kind="alias", target="benet.com"))


@pytest.mark.parametrize("chunking", [False, True])
@pytest.mark.parametrize("service", ["smtp", "lmtp", "submission"])
def test_on_the_wire(smtp, service, chunking):
    running = smtp(service)
    if service == "submission":
        client = signed_in(running)
    else:
        client = extended(running, "LHLO" if service == "lmtp" else "EHLO")
    sender = "lisi@benet.com" if service == "submission" else "ceo@icbc.com.cn"
    client.talk(f"C: MAIL FROM:<{sender}>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    content = f"{HEADER}\r\n{BODY}".encode()
    if chunking:
        for at in range(0, len(content), 7):
            piece = content[at : at + 7]
            last = " LAST" if at + 7 >= len(content) else ""
            client.send(f"BDAT {len(piece)}{last}\r\n".encode() + piece)
            client.talk("S: 250 …")
    else:
        client.talk("C: DATA\nS: 354 …")
        client.send(content + b".\r\n")
        client.talk("S: 250 …")
    Courier().run_until_idle()
    [stored] = messages("lisi")
    assert_clean(stored)
    assert Message.objects.get(mailbox__account__address="lisi@benet.com").size == len(stored)


def test_one_without_an_empty_line(smtp):
    client = extended(smtp("smtp"))
    client.talk("C: MAIL FROM:<a@b.example>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    client.send(f"Subject: s\r\n{FORGED[0]}\r\n.\r\n".encode())
    client.talk("S: 250 …")
    Courier().run_until_idle()
    [stored] = messages("lisi")
    assert stored.endswith(b"\r\nSubject: s\r\n")


def test_from_a_local_program(benet, serve):
    pickup.submit(pickup.Submission(f"{HEADER}\r\n{BODY}".encode(), "lisi@benet.com", ("lisi@benet.com",)))
    Courier().run_until_idle()
    [stored] = messages("lisi")
    assert_clean(stored)
