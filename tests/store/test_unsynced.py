"""Messages whose content the commit carries, until the disk has their files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from mailcore.models import Message, Unsynced
from mailcore.store import delivery, directory, maildir, unsynced
from mailcore.terms import Arrival

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = b"Subject: report\r\n\r\nHello.\r\n"


@pytest.fixture
def lisi() -> Iterator[int]:
    directory.create_domain("benet.com")
    yield directory.create_account("lisi@benet.com", "secret-password")
    unsynced.settle()


def deliver(account: int, name: str = "1.Q1.mail", content: bytes = CONTENT) -> Message:
    arrival = Arrival(account, name, delivery.NO_FILE, 0, b"", True, 1_795_000_000)
    staged = delivery.stage_hidden([(arrival, content)])
    with transaction.atomic():
        delivery.enter(staged)
    return Message.objects.get(base_name=name)


def content_of(message: Message) -> bytes:
    where = maildir.directory("lisi@benet.com", message.mailbox.folder)
    return maildir.read(where, message.base_name, message.flags)


def path_of(message: Message) -> Path:
    where = maildir.directory("lisi@benet.com", message.mailbox.folder)
    return Path(maildir.locate(where, message.base_name, message.flags))


def test_the_commit_carries_the_content_until_the_disk_has_the_file(lisi):
    message = deliver(lisi)
    assert bytes(Unsynced.objects.get(message_id=message.pk).octets) == CONTENT
    assert unsynced.waiting()
    unsynced.settle()
    assert not unsynced.waiting()
    assert not Unsynced.objects.exists()
    assert content_of(message) == CONTENT


def test_a_large_message_is_durable_in_its_file_at_once(lisi):
    content = CONTENT + b"x" * 40_000 + b"\r\n"
    message = deliver(lisi, content=content)
    assert not Unsynced.objects.exists()
    assert content_of(message) == content


@pytest.mark.parametrize("loss", ["gone", "empty", "torn"])
def test_what_a_power_failure_took_is_written_again(lisi, loss):
    message = deliver(lisi)
    path = path_of(message)
    match loss:
        case "gone":
            path.unlink()
        case "empty":
            path.write_bytes(b"")
        case "torn":
            path.write_bytes(CONTENT[:10] + bytes(len(CONTENT) - 10))
    assert unsynced.recover() == 1
    assert content_of(message) == CONTENT
    assert not Unsynced.objects.exists()
    assert len(os.listdir(path.parent)) == 1


def test_flags_set_meanwhile_stay(lisi):
    message = deliver(lisi)
    path_of(message).unlink()
    Message.objects.filter(pk=message.pk).update(flags=1)
    unsynced.recover()
    message.refresh_from_db()
    assert content_of(message) == CONTENT
    assert path_of(message).parent.name == "cur"


def test_what_is_whole_is_left_alone(lisi):
    message = deliver(lisi)
    before = path_of(message).stat().st_ino
    assert unsynced.recover() == 0
    assert path_of(message).stat().st_ino == before
    assert not Unsynced.objects.exists()


def test_a_message_expunged_meanwhile_stays_so(lisi):
    message = deliver(lisi)
    path_of(message).unlink()
    message.summary.delete()
    message.text.delete()
    Message.objects.filter(pk=message.pk).delete()
    assert unsynced.recover() == 0
    assert not Unsynced.objects.exists()
