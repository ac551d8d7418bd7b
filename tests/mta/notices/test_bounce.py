"""Bounces, delay notices and success notices: contents, times and languages."""

import email
import email.policy

import pytest

from mailcore.models import Account, Queued, Recipient
from mailcore.mta.queue import enqueue, states
from mailcore.mta.workers.courier import Courier
from mailcore.store import directory
from mailcore.values import MessageRecipient
from tests.mta.conftest import STRANGER
from tests.mta.smtp.conftest import far  # noqa: F401  (fixture)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

LATER = {"RCPT": b"450 4.2.0 come back\r\n"}


@pytest.fixture
def to_far(benet, far, parameters):  # noqa: F811
    """A message from lisi to another host that behaves so; then everything is tried once."""

    def send(notify: str = "", sender: str = "lisi@benet.com", age: int = 0, **script: bytes) -> None:
        parameters(relayhost=far(**script).hop)
        recipient = MessageRecipient("a@far.example", notify)
        content = "Subject: 你好\r\n\r\nbody\r\n".encode()
        enqueue.write_and_enqueue(content, sender, [recipient], STRANGER, states.now_us() - age * states.MICRO)
        Courier().run_until_idle()

    return send


def read(data: bytes) -> email.message.EmailMessage:
    return email.message_from_bytes(data, policy=email.policy.default)  # type: ignore[return-value]


def again() -> None:
    Queued.objects.filter(state="deferred").update(due_us=0)
    Courier().run_until_idle()


def test_a_delay_is_told_once(to_far, inbox, parameters):
    parameters(delay_warning_time="1h")
    to_far(age=4000, **LATER)
    again()
    [notice] = inbox("lisi")
    assert b"Action: delayed\r\n" in notice
    assert b"Status: 4.2.0\r\n" in notice
    assert b"\r\nbody\r\n" not in notice
    assert Recipient.objects.get(address="a@far.example").state == "waiting"


@pytest.mark.parametrize(
    ("setting", "age", "notify", "sender"),
    [
        ("0", 4000, "", "lisi@benet.com"),
        ("1h", 3000, "", "lisi@benet.com"),
        ("1h", 4000, "FAILURE", "lisi@benet.com"),
        ("1h", 4000, "NEVER", "lisi@benet.com"),
        ("1h", 4000, "", ""),
    ],
)
def test_delays_nobody_is_told_of(to_far, inbox, parameters, setting, age, notify, sender):
    parameters(delay_warning_time=setting)
    to_far(notify, sender, age, **LATER)
    assert inbox("lisi") == []
    assert Queued.objects.count() == 1


def test_a_host_without_dsn_has_the_message_relayed(to_far, inbox):
    to_far("SUCCESS")
    [notice] = inbox("lisi")
    assert b"Action: relayed\r\n" in notice
    assert b"Remote-MTA: dns; 127.0.0.1\r\n" in notice


def test_failures_at_several_places_are_told_in_one_notice(post, far, inbox, parameters):  # noqa: F811
    parameters(relayhost=far(RCPT=b"550 5.1.1 nobody\r\n").hop, default_destination_recipient_limit="1")
    post("a@far.example", "b@far.example", "nobody@benet.com", sender="lisi@benet.com")
    Courier().run_until_idle()
    [notice] = inbox("lisi")
    assert notice.count(b"Final-Recipient:") == 3


@pytest.mark.parametrize(("language", "chinese"), [("zh-hans", True), ("en", False), ("", True)])
def test_people_here_read_it_in_their_language_and_in_english(to_far, inbox, language, chinese):
    Account.objects.filter(address="lisi@benet.com").update(language=language)
    to_far(RCPT=b"550 5.1.1 nobody\r\n")
    notice = read(inbox("lisi")[0])
    text = notice.get_body().get_content()
    assert ("未送达" in notice["Subject"]) is chinese
    assert "I'm sorry to have to inform you" in text
    assert ("抱歉" in text) is chinese
    assert "there is no such user" in text
    assert notice.get_content_type() == "multipart/report"


def test_double_bounces_end_with_the_postmaster_or_nowhere(to_far, inbox, parameters):
    directory.create_alias("postmaster@benet.com", ["xiaoqi"])
    to_far(sender="", RCPT=b"550 5.1.1 nobody\r\n")
    assert inbox("xiaoqi") == []
    parameters(notify_classes="2bounce, bounce")
    to_far(sender="", RCPT=b"550 5.1.1 nobody\r\n")
    to_far(sender="lisi@benet.com", RCPT=b"550 5.1.1 nobody\r\n")
    double, copy = inbox("xiaoqi")
    assert double.startswith(b"Return-Path: <double-bounce@mail.benet.com>\r\n")
    assert b"\r\nbody\r\n" not in copy
    to_far(sender="double-bounce@mail.benet.com", RCPT=b"550 5.1.1 nobody\r\n")
    assert len(inbox("xiaoqi")) == 2


def test_addresses_only_utf8_can_carry(to_far, inbox, post):
    post("josé@benet.com", sender="lisi@benet.com", smtputf8=True)
    Courier().run_until_idle()
    [notice] = inbox("lisi")
    assert "report-type=global-delivery-status" in notice.decode()
    assert "Final-Recipient: utf-8; josé@benet.com\r\n" in notice.decode()
    assert b"Content-Type: message/global\r\n" in notice
