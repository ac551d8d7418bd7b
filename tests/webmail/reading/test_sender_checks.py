"""Warnings about a message's sender, and read receipts."""

from collections.abc import Iterator

import pytest
from django.utils import translation

from webmail.reading import sender_checks
from webmail.reading.message_content import parse_head
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)
BY_OURS = "Authentication-Results: mail.benet.com; "
CAME = "Received: from x (y [192.0.2.7])\n\tby mail.benet.com (Youju) with ESMTP id 1; now\n"


@pytest.fixture(autouse=True)
def ours(parameters) -> Iterator[None]:
    """Our own server, and a reader of English."""
    parameters(myhostname="mail.benet.com", mydomain="benet.com")
    with translation.override("en"):
        yield


def found(fields: str, known: tuple[str, ...] = ()) -> list[str]:
    head = parse_head(fields.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    return [f"{each.level}: {each.words}" for each in sender_checks.check_sender(head, "lisi@benet.com", known)]


SENDERS = {
    "nothing known": ("From: a@example.com", []),
    "confirmed": (
        f"{BY_OURS}spf=pass smtp.mailfrom=example.com;\n dkim=pass (2048-bit) header.d=example.com; dmarc=pass\n{CAME}From: a@example.com",
        ["good: The sender example.com is confirmed."],
    ),
    "signed by somebody else": (f"{BY_OURS}dkim=pass header.d=evil.example\n{CAME}From: a@bank.example", []),
    "signed by its own domain": (
        f"{BY_OURS}dkim=pass header.i=@mail.bank.example\n{CAME}From: a@bank.example",
        ["good: The sender bank.example is confirmed."],
    ),
    "sent by another account": (
        "Sender: lisi@benet.com\nFrom: Headmaster <admin@benet.com>",
        ["warning: This message was sent by lisi@benet.com, not by admin@benet.com."],
    ),
    "sent by the author": ("Sender: A@example.com\nFrom: a@example.com", []),
    "sent by a list": ("Sender: owner@lists.example\nList-Id: <x.lists.example>\nFrom: a@example.com", []),
    "disowned": (
        f"{BY_OURS}spf=fail; dkim=none; dmarc=fail header.from=bank.example\n{CAME}From: a@bank.example",
        ["danger: The message only claims to come from bank.example: its domain disowns it."],
    ),
    "not confirmed": (
        f"{BY_OURS}spf=softfail; dkim=fail\n{CAME}From: a@bank.example",
        ["warning: The sender bank.example could not be confirmed (SPF, DKIM)."],
    ),
    "said by a stranger's server": ("Authentication-Results: mx.evil.example; dmarc=pass\nFrom: a@bank.example", []),
    "said by one that is called like ours": ("Authentication-Results: mail.benet.com.evil.example; dmarc=pass\nFrom: a@bank.example", []),
    "said below what came with the message": (
        f"{BY_OURS}spf=fail; dmarc=fail\n{CAME}{BY_OURS}dmarc=pass\nFrom: a@bank.example",
        ["danger: The message only claims to come from bank.example: its domain disowns it."],
    ),
    "said below our Received": (f"{CAME}{BY_OURS}dmarc=pass\nFrom: a@bank.example", []),
    "said without a Received": (f"{BY_OURS}dmarc=pass\nFrom: a@bank.example", []),
    "said above another server's Received": (
        f"{BY_OURS}dmarc=pass\nReceived: from x by mx.evil.example; now\n{CAME}From: a@bank.example", []
    ),
    "said above one that names us in a comment": (
        f"{BY_OURS}dmarc=pass\nReceived: from x (by mail.benet.com) by mx.evil.example; now\nFrom: a@bank.example", []
    ),
    "said by our domain's name below": (f"{CAME}Authentication-Results: benet.com; dmarc=pass\nFrom: a@b.example", []),
    "said in nested comments": (f"{BY_OURS}none (a (b) ; dmarc=pass)\n{CAME}From: a@bank.example", []),
    "said in a comment": (f"{BY_OURS}none (dmarc=pass)\n{CAME}From: a@bank.example", []),
    "a digit for a letter": ("From: PayPal <x@paypa1.com>", ["danger: The sender’s domain paypa1.com looks like paypal.com, but is another."]),
    "rn for m": ("From: x@rnicrosoft.com", ["danger: The sender’s domain rnicrosoft.com looks like microsoft.com, but is another."]),
    "a sign too many": ("From: x@microsofft.com", ["danger: The sender’s domain microsofft.com looks like microsoft.com, but is another."]),
    "signs exchanged": ("From: x@netlfix.com", ["danger: The sender’s domain netlfix.com looks like netflix.com, but is another."]),
    "one's own domain, nearly": (
        "From: Chef <boss@benet.corn>",
        ["danger: The sender’s domain benet.corn looks like benet.com, but is another."],
    ),
    "too short a name to say": ("From: Chef <boss@8enet.com>", []),
    "the domain itself": ("From: x@mail.paypal.com", []),
    "a name with another address": (
        "From: \"service@icbc.com.cn\" <x@evil.example>",
        ["danger: The sender’s name shows the address service@icbc.com.cn, but the message comes from x@evil.example."],
    ),
    "a name with a colleague's address": (
        "From: \"admin@example.com\" <x@example.com>",
        ["warning: The sender’s name shows the address admin@example.com, but the message comes from x@example.com."],
    ),
    "a name with its own address": ("From: \"X@Example.com\" <x@example.com>", []),
    "answers elsewhere": (
        "From: a@example.com\nReply-To: b@evil.example",
        ["warning: Answers go to another address: b@evil.example."],
    ),
    "answers within the house": ("From: a@example.com\nReply-To: b@help.example.com", []),
    "answers to a list": ("From: a@example.com\nReply-To: l@lists.example\nList-Id: <l.lists.example>", []),
    "nobody": ("Subject: x", []),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "said"), SENDERS.values(), ids=SENDERS.keys())
def test_senders(fields: str, said: list[str]) -> None:
    assert found(fields) == said


def test_mixed_alphabets_and_twins_in_other_scripts() -> None:
    cyrillic = "раураl.com".encode("idna").decode()  # а, у and р are Cyrillic
    said = found(f"From: x@{cyrillic}")
    assert any("looks like paypal.com" in each for each in said)
    assert any("mixes alphabets" in each for each in said)


def test_a_contacts_domain_is_known() -> None:
    assert found("From: x@schmitt-partner.de", ("schmidt-partner.de",)) == [
        "danger: The sender’s domain schmitt-partner.de looks like schmidt-partner.de, but is another."
    ]


LINKS = {
    '<a href="https://evil.example/x">https://www.paypal.com/login</a>': [("www.paypal.com", "evil.example")],
    '<a href="https://evil.example/x"><b>paypal.com</b></a>': [("paypal.com", "evil.example")],
    '<a href="https://click.paypal.com/x">paypal.com</a>': [],
    '<a href="https://evil.example/x">here</a>': [],
    '<a href="/compose/?mailto=x">a@b.cn</a>': [],
    '<a href="https://[bad">a.example</a>': [],
}


@pytest.mark.parametrize(("html", "lies"), LINKS.items())
def test_links_that_lie(html: str, lies: list[tuple[str, str]]) -> None:
    assert sender_checks.find_misleading_links(html) == lies


def test_the_page_says_it(office: PostOffice, lisi: Browser) -> None:
    message = make_message("Konto", "x\n", "PayPal <service@paypa1.com>", Reply_To="x@evil.example")
    message.add_alternative('<a href="https://evil.example">www.paypal.com</a>', subtype="html")
    office.put(message)
    lisi.see("/mail/1")
    assert "looks like paypal.com" in lisi.page
    assert "Answers go to another address: x@evil.example." in lisi.page
    assert "<b>www.paypal.com</b> → <b>evil.example</b>" in lisi.page


# --- Receipts ---------------------------------------------------------------------------------------


def test_a_receipt_is_sent_once(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("要回执", **{"Disposition-Notification-To": "小七 <xiaoqi@benet.com>"}))
    lisi.see("/mail/1")
    assert "xiaoqi@benet.com asks for a read receipt." in lisi.page
    lisi.press("/mail/1/receipt", do="send")
    assert "A read receipt was sent." in lisi.page
    assert "asks for a read receipt" not in lisi.page
    lisi.press("/mail/1/receipt", do="send")
    office.deliver()
    [receipt] = office.messages("xiaoqi")
    assert b"report-type=disposition-notification" in receipt
    assert b"Final-Recipient: rfc822;lisi@benet.com" in receipt
    assert b"Disposition: manual-action/MDN-sent-manually; displayed" in receipt
    assert b"Return-Path: <>" in receipt
    assert "$MDNSent" in office.flags(1)


def test_no_receipt(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("要回执", **{"Disposition-Notification-To": "spy@evil.example"}))
    lisi.see("/mail/1")
    assert "That is not the address it came from." in lisi.page
    lisi.press("/mail/1/receipt", do="no")
    assert "asks for a read receipt" not in lisi.page
    office.deliver()
    assert office.messages("xiaoqi") == []
    office.put(make_message("eine Liste", **{"Disposition-Notification-To": "xiaoqi@benet.com", "List-Id": "<l.x>"}))
    lisi.see("/mail/2")
    assert "asks for a read receipt" not in lisi.page
    office.put(make_message("zweimal", **{"Disposition-Notification-To": "xiaoqi@benet.com"}))
    lisi.see("/options/display/")
    lisi.press("/options/display/", receipts="never", layout="list")
    lisi.see("/mail/3")
    assert "asks for a read receipt" not in lisi.page
