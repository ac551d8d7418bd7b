"""Letters delivered by whoever takes them in, and what is left to the queue."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection

from mailcore import log
from mailcore.models import Account, Mailbox, Message, Queued, Recipient
from mailcore.post import direct, files, intake
from mailcore.store import adopt, directory, maildir, unsynced
from mailcore.terms import Client, Letter, LetterRecipient
from mailcore.wire import trace

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = Client("192.0.2.1", "unknown", "client.example", "ESMTP")
SIGNED_IN = replace(CLIENT, login="lisi@benet.com", protocol="ESMTPSA")
BODY = b"Received: from client.example\r\nSubject: report\r\nMessage-ID: <1@client.example>\r\n\r\nHello.\r\n"


@pytest.fixture
def lisi() -> Iterator[int]:
    directory.create_domain("benet.com")
    files.make_directories()
    yield directory.create_account("lisi@benet.com", "secret-password")
    unsynced.settle()


def letter(
    final="lisi@benet.com", recipients=("lisi@benet.com",), notify="", client=CLIENT, **more
) -> tuple[files.ContentFile, Letter]:
    """A letter at its end of data, as the SMTP server has it."""
    file = files.ContentFile()
    local = trace.local("a@client.example", recipients[0], final) if final else b""
    letter_id = file.open()
    file.write(local + BODY)
    taken = tuple(LetterRecipient(address, notify) for address in recipients)
    return file, Letter(
        letter_id, "a@client.example", taken, len(BODY), 1_795_000_000_000_000, client, len(local), final, **more
    )


def inbox() -> Mailbox:
    return Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX")


def folder() -> Path:
    return Path(maildir.directory("lisi@benet.com", ""))


def test_a_letter_for_one_mailbox_is_delivered_in_one_go(lisi):
    file, one = letter()
    delivered = direct.take_in([(file, one)])[one.id]
    first, second = delivered.log_lines
    assert first.startswith(f"{one.queue_id}: to=<lisi@benet.com>, relay=virtual, delay=")
    assert first.endswith("dsn=2.0.0, status=sent (delivered to maildir)")
    assert second == f"{one.queue_id}: removed"

    [message] = Message.objects.filter(mailbox=inbox())
    assert os.listdir(folder() / "new") == []
    direct.reveal([delivered])
    assert os.listdir(folder() / "new") == [message.base_name]
    assert os.listdir(folder() / "tmp") == []
    content = Path(maildir.locate(str(folder()), message.base_name, 0)).read_bytes()
    assert content == trace.local("a@client.example", "lisi@benet.com", "lisi@benet.com") + BODY
    assert list(files.present()) == []
    assert inbox().messages == 1
    assert Account.objects.get(pk=lisi).used_bytes == len(content)

    assert not Queued.objects.exists()
    direct.remember([delivered])
    queued = Queued.objects.get(pk=one.id)
    assert (queued.state, queued.message_id, queued.settled_us) == ("done", one.message_id, delivered.at_us)
    assert Recipient.objects.get(letter=queued).state == "delivered"


def test_a_letter_of_somebody_who_signed_in_is_in_the_queue_at_once(lisi):
    """It counts against what its sender may send."""
    file, one = letter(client=SIGNED_IN)
    delivered = direct.take_in([(file, one)])[one.id]
    assert Queued.objects.get(pk=one.id).state == "done"
    direct.remember([delivered])
    assert Recipient.objects.count() == 1


def test_a_story_that_cannot_be_written_is_in_the_log(lisi):
    file, one = letter()
    delivered = direct.take_in([(file, one)])[one.id]
    Queued.objects.create(id=one.id, state="hold", due_us=1, received_us=1, size=1)  # its queue id is another's
    direct.remember([delivered])
    said = f"warning: delivered letters are not in the queue's history: IntegrityError: {one.queue_id}\n"
    assert Path(log.path()).read_text().endswith(said)
    assert Message.objects.count() == 1


def test_many_letters_share_one_transaction(lisi):
    group = [letter() for _ in range(20)]
    assert direct.take_in(group).keys() == {one.id for _, one in group}
    assert sorted(Message.objects.values_list("uid", flat=True)) == list(range(1, 21))


@pytest.mark.parametrize(
    "given",
    [
        {"final": ""},
        {"recipients": ("lisi@benet.com", "xiaoqi@benet.com")},
        {"hold": True},
        {"due_us": 1_795_000_100_000_000},
        {"notify": "SUCCESS"},
    ],
    ids=["a mailbox not certain", "several recipients", "on hold", "for later", "success to be told"],
)
def test_what_is_the_queues(lisi, given):
    file, one = letter(**given)
    assert direct.take_in([(file, one)]) == {}
    assert file.in_memory
    assert Message.objects.count() == Queued.objects.count() == 0


def test_it_can_be_switched_off(lisi, parameters):
    parameters(direct_delivery="no")
    assert direct.take_in([letter()]) == {}


def test_no_room_any_more_is_the_queues(lisi):
    """There was room at RCPT. Who comes second waits for room as the queue has it."""
    Account.objects.filter(pk=lisi).update(quota_bytes=len(BODY) + 150)
    first, second = letter(), letter()
    delivered = direct.take_in([first, second])
    assert delivered.keys() == {first[1].id}
    direct.reveal(delivered.values())
    assert os.listdir(folder() / "tmp") == []
    file, one = second
    file.finish()
    intake.take_in([one])
    assert Queued.objects.get(pk=one.id).state == "incoming"


def test_a_disk_that_refuses_leaves_nothing(lisi):
    (folder() / "tmp").rmdir()
    file, one = letter()
    assert direct.take_in([(file, one)]) == {}
    assert file.in_memory
    assert Message.objects.count() == Queued.objects.count() == 0


def test_a_transaction_that_fails_leaves_nothing(lisi):
    file, one = letter(client=SIGNED_IN)
    Queued.objects.create(id=one.id, state="hold", due_us=1, received_us=1, size=1)  # its queue id is another's
    assert direct.take_in([(file, one)]) == {}
    assert Message.objects.count() == 0
    assert os.listdir(folder() / "tmp") == os.listdir(folder() / "new") == []


def test_a_process_that_dies_before_the_commit_leaves_nothing_to_see(lisi):
    connection.close()  # a database connection does not survive a fork
    child = os.fork()
    if not child:
        taken = letter()
        connection._commit = lambda: os._exit(9)
        direct.take_in([taken])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert Message.objects.count() == Queued.objects.count() == 0
    assert os.listdir(folder() / "new") == []
    [hidden] = os.listdir(folder() / "tmp")
    assert ".Q" in hidden


def test_a_file_that_did_not_take_its_place_is_found(lisi):
    """The process died, or the power failed, between the commit and the file's last move."""
    direct.take_in([letter()])
    [message] = Message.objects.all()
    assert maildir.read(str(folder()), message.base_name, 0).endswith(BODY)
    assert os.listdir(folder() / "new") == [message.base_name]


def test_the_index_check_does_not_miss_it(lisi):
    direct.take_in([letter()])
    [found] = [each for each in adopt.examine(*adopt.owners(["lisi@benet.com"])) if each.name == "INBOX"]
    assert found.lost == []
