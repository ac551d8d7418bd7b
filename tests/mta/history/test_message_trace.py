"""The trace of a message from its arrival to its deletion."""

import pytest

from mailcore.models import Event
from mailcore.mta.history import message_trace
from mailcore.mta.queue import states
from mailcore.mta.workers.courier import Courier
from mailcore.store.db import event_log
from mailcore.store.mailbox import copy_move, expunge, messages, open_mailbox
from mailcore.values import Owner
from mailcore.wire.imap import system_flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

EVERYTHING = [(1, 1 << 32)]


@pytest.fixture
def message(post):
    made = post("all", content=b"Message-ID: <1@other>\r\nSubject: s\r\n\r\n", message_id="1@other")
    Courier().run_until_idle()
    return made


def opened(account_id: int, name: str):
    found = open_mailbox.find_mailbox(Owner(account_id, "lisi@benet.com"), name, "")
    assert isinstance(found, open_mailbox.MailboxHandle)
    return found


def kinds(found: list[message_trace.MessageTrace]) -> list[str]:
    [only] = found
    return [moment.kind for moment in only.moments]


def test_from_arrival_to_deletion(message, benet):
    lisi = benet["lisi"]
    [trace] = message_trace.find_traces("1@other")
    assert kinds([trace]) == ["received", "expanded", "delivered", "delivered"]
    assert {(p.address, p.mailbox, p.is_read) for p in trace.places} == {
        ("lisi@benet.com", "INBOX", False),
        ("xiaoqi@benet.com", "INBOX", False),
    }
    messages.store_flags(opened(lisi, "INBOX"), EVERYTHING, "add", system_flags.SEEN, ())
    copy_move.move_messages(opened(lisi, "INBOX"), EVERYTHING, opened(lisi, "Trash"))
    [trace] = message_trace.find_traces("<1@other>")
    assert trace.moments[-1].text == "INBOX → Trash"
    assert message_trace.MessageLocation("lisi@benet.com", "Trash", True) in trace.places
    messages.store_flags(opened(lisi, "Trash"), EVERYTHING, "add", system_flags.DELETED, ())
    expunge.expunge_deleted(opened(lisi, "Trash"), EVERYTHING)
    [trace] = message_trace.find_traces(message.queue_id)
    assert [(m.kind, m.address, m.text) for m in trace.moments[-1:]] == [("deleted", "lisi@benet.com", "Trash")]
    assert [place.address for place in trace.places] == ["xiaoqi@benet.com"]


@pytest.mark.parametrize("text", ["all@benet.com", "lisi@benet.com", "a@other.example", "1@other", ""])
def test_ways_to_ask(message, text):
    assert [found.queue_id for found in message_trace.find_traces(text)] == [message.queue_id]
    now = states.now_us()
    assert message_trace.find_traces(text, since_us=now) == []
    assert message_trace.find_traces(text, until_us=message.received_us) == []
    assert len(message_trace.find_traces(text, since_us=message.received_us, until_us=now)) == 1


def test_nothing_is_noted_when_nobody_wants_it(message, benet, parameters):
    parameters(events_retention="0")
    copy_move.move_messages(opened(benet["lisi"], "INBOX"), EVERYTHING, opened(benet["lisi"], "Trash"))
    assert not Event.objects.exists()


def test_events_are_forgotten(message, benet):
    copy_move.move_messages(opened(benet["lisi"], "INBOX"), EVERYTHING, opened(benet["lisi"], "Trash"))
    assert event_log.delete_old_events() == 0
    Event.objects.update(at_us=1)
    assert event_log.delete_old_events() == 1
    assert not Event.objects.exists()
