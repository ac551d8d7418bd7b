"""Where is my mail? One letter from its arrival to what its owner did with it."""

import pytest

from mailcore.models import Event
from mailcore.post import queue, story
from mailcore.post.courier import Courier
from mailcore.store import box, expunge, journal, messages, transfer
from mailcore.terms import Owner
from mailcore.wire import flags

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

EVERYTHING = [(1, 1 << 32)]


@pytest.fixture
def letter(post):
    made = post("all", content=b"Message-ID: <1@other>\r\nSubject: s\r\n\r\n", message_id="1@other")
    Courier().run_until_idle()
    return made


def opened(account_id: int, name: str):
    found = box.find(Owner(account_id, "lisi@benet.com"), name, "")
    assert isinstance(found, box.Box)
    return found


def kinds(found: list[story.Story]) -> list[str]:
    [only] = found
    return [moment.kind for moment in only.moments]


def test_from_arrival_to_deletion(letter, benet):
    lisi = benet["lisi"]
    [told] = story.find("1@other")
    assert kinds([told]) == ["received", "expanded", "delivered", "delivered"]
    assert {(p.address, p.mailbox, p.is_read) for p in told.places} == {
        ("lisi@benet.com", "INBOX", False),
        ("xiaoqi@benet.com", "INBOX", False),
    }
    messages.store_flags(opened(lisi, "INBOX"), EVERYTHING, "add", flags.SEEN, ())
    transfer.move(opened(lisi, "INBOX"), EVERYTHING, opened(lisi, "Trash"))
    [told] = story.find("<1@other>")
    assert told.moments[-1].text == "INBOX → Trash"
    assert story.Place("lisi@benet.com", "Trash", True) in told.places
    messages.store_flags(opened(lisi, "Trash"), EVERYTHING, "add", flags.DELETED, ())
    expunge.expunge(opened(lisi, "Trash"), EVERYTHING)
    [told] = story.find(letter.queue_id)
    assert [(m.kind, m.address, m.text) for m in told.moments[-1:]] == [("deleted", "lisi@benet.com", "Trash")]
    assert [place.address for place in told.places] == ["xiaoqi@benet.com"]


@pytest.mark.parametrize("text", ["all@benet.com", "lisi@benet.com", "a@other.example", "1@other", ""])
def test_ways_to_ask(letter, text):
    assert [found.queue_id for found in story.find(text)] == [letter.queue_id]
    now = queue.now_us()
    assert story.find(text, since_us=now) == []
    assert story.find(text, until_us=letter.received_us) == []
    assert len(story.find(text, since_us=letter.received_us, until_us=now)) == 1


def test_nothing_is_noted_when_nobody_wants_it(letter, benet, parameters):
    parameters(events_retention="0")
    transfer.move(opened(benet["lisi"], "INBOX"), EVERYTHING, opened(benet["lisi"], "Trash"))
    assert not Event.objects.exists()


def test_events_are_forgotten(letter, benet):
    transfer.move(opened(benet["lisi"], "INBOX"), EVERYTHING, opened(benet["lisi"], "Trash"))
    assert journal.forget() == 0
    Event.objects.update(at_us=1)
    assert journal.forget() == 1
    assert not Event.objects.exists()
