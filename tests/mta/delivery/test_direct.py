"""Messages delivered by the server that accepts them, and those left to the queue."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from django.db import connection

from mailcore.logs import writer
from mailcore.models import Account, Mailbox, Message, Queued, Recipient
from mailcore.mta.delivery import direct
from mailcore.mta.queue import content_files, enqueue
from mailcore.store import directory
from mailcore.store.access import reindex
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.values import Client, MessageRecipient, NewMessage
from mailcore.wire.message import trace_headers

pytestmark = pytest.mark.django_db(transaction=True)

CLIENT = Client("192.0.2.1", "unknown", "client.example", "ESMTP")
SIGNED_IN = replace(CLIENT, login="lisi@benet.com", protocol="ESMTPSA")
BODY = b"Received: from client.example\r\nSubject: report\r\nMessage-ID: <1@client.example>\r\n\r\nHello.\r\n"


@pytest.fixture
def lisi() -> Iterator[int]:
    directory.create_domain("benet.com")
    content_files.make_directories()
    yield directory.create_account("lisi@benet.com", "secret-password")
    write_behind.flush_to_disk()


def new_message(
    final="lisi@benet.com", recipients=("lisi@benet.com",), notify="", client=CLIENT, **more
) -> tuple[content_files.ContentFile, NewMessage]:
    """A message at its end of data, as the SMTP server has it."""
    file = content_files.ContentFile()
    local = trace_headers.format_delivery_headers("a@client.example", recipients[0], final) if final else b""
    queued_id = file.open()
    file.write(local + BODY)
    taken = tuple(MessageRecipient(address, notify) for address in recipients)
    return file, NewMessage(
        queued_id, "a@client.example", taken, len(BODY), 1_795_000_000_000_000, client, len(local), final, **more
    )


def inbox() -> Mailbox:
    return Mailbox.objects.get(account__address="lisi@benet.com", name="INBOX")


def folder() -> Path:
    return Path(maildir_files.folder_directory("lisi@benet.com", ""))


def test_a_message_for_one_mailbox_is_delivered_in_one_go(lisi):
    file, one = new_message()
    delivered = direct.deliver_directly([(file, one)])[one.id]
    first, second = delivered.log_lines
    assert first.startswith(f"{one.queue_id}: to=<lisi@benet.com>, relay=virtual, delay=")
    assert first.endswith("dsn=2.0.0, status=sent (delivered to maildir)")
    assert second == f"{one.queue_id}: removed"

    [message] = Message.objects.filter(mailbox=inbox())
    assert os.listdir(folder() / "new") == []
    direct.publish([delivered])
    assert os.listdir(folder() / "new") == [message.base_name]
    assert os.listdir(folder() / "tmp") == []
    content = Path(maildir_files.find_file(str(folder()), message.base_name, 0)).read_bytes()
    assert (
        content == trace_headers.format_delivery_headers("a@client.example", "lisi@benet.com", "lisi@benet.com") + BODY
    )
    assert list(content_files.stored_ids()) == []
    assert inbox().messages == 1
    assert Account.objects.get(pk=lisi).used_bytes == len(content)

    assert not Queued.objects.exists()
    direct.record_history([delivered])
    queued = Queued.objects.get(pk=one.id)
    assert (queued.state, queued.message_id, queued.settled_us) == ("done", one.message_id, delivered.at_us)
    assert Recipient.objects.get(queued=queued).state == "delivered"


def test_a_message_of_somebody_who_signed_in_is_in_the_queue_at_once(lisi):
    """It counts against what its sender may send."""
    file, one = new_message(client=SIGNED_IN)
    delivered = direct.deliver_directly([(file, one)])[one.id]
    assert Queued.objects.get(pk=one.id).state == "done"
    direct.record_history([delivered])
    assert Recipient.objects.count() == 1


def test_a_story_that_cannot_be_written_is_in_the_log(lisi):
    file, one = new_message()
    delivered = direct.deliver_directly([(file, one)])[one.id]
    Queued.objects.create(id=one.id, state="hold", due_us=1, received_us=1, size=1)  # its queue id is another's
    direct.record_history([delivered])
    said = f"warning: cannot record delivery history for {one.queue_id}: IntegrityError\n"
    assert Path(writer.log_path()).read_text().endswith(said)
    assert Message.objects.count() == 1


def test_many_messages_share_one_transaction(lisi):
    group = [new_message() for _ in range(20)]
    assert direct.deliver_directly(group).keys() == {one.id for _, one in group}
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
    file, one = new_message(**given)
    assert direct.deliver_directly([(file, one)]) == {}
    assert file.in_memory
    assert Message.objects.count() == Queued.objects.count() == 0


def test_it_can_be_switched_off(lisi, parameters):
    parameters(direct_delivery="no")
    assert direct.deliver_directly([new_message()]) == {}


def test_no_room_any_more_is_the_queues(lisi):
    """There was room at RCPT. Who comes second waits for room as the queue has it."""
    Account.objects.filter(pk=lisi).update(quota_bytes=len(BODY) + 150)
    first, second = new_message(), new_message()
    delivered = direct.deliver_directly([first, second])
    assert delivered.keys() == {first[1].id}
    direct.publish(delivered.values())
    assert os.listdir(folder() / "tmp") == []
    file, one = second
    file.finish()
    enqueue.enqueue([one])
    assert Queued.objects.get(pk=one.id).state == "incoming"


def test_a_disk_that_refuses_leaves_nothing(lisi):
    (folder() / "tmp").rmdir()
    file, one = new_message()
    assert direct.deliver_directly([(file, one)]) == {}
    assert file.in_memory
    assert Message.objects.count() == Queued.objects.count() == 0


def test_a_transaction_that_fails_leaves_nothing(lisi):
    file, one = new_message(client=SIGNED_IN)
    Queued.objects.create(id=one.id, state="hold", due_us=1, received_us=1, size=1)  # its queue id is another's
    assert direct.deliver_directly([(file, one)]) == {}
    assert Message.objects.count() == 0
    assert os.listdir(folder() / "tmp") == os.listdir(folder() / "new") == []


def test_a_process_that_dies_before_the_commit_leaves_nothing_to_see(lisi):
    connection.close()  # a database connection does not survive a fork
    child = os.fork()
    if not child:
        taken = new_message()
        connection._commit = lambda: os._exit(9)
        direct.deliver_directly([taken])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert Message.objects.count() == Queued.objects.count() == 0
    assert os.listdir(folder() / "new") == []
    [hidden] = os.listdir(folder() / "tmp")
    assert ".Q" in hidden


def test_a_file_that_did_not_take_its_place_is_found(lisi):
    """The process died, or the power failed, between the commit and the file's last move."""
    direct.deliver_directly([new_message()])
    [message] = Message.objects.all()
    assert maildir_files.read_message(str(folder()), message.base_name, 0).endswith(BODY)
    assert os.listdir(folder() / "new") == [message.base_name]


def test_the_index_check_does_not_miss_it(lisi):
    direct.deliver_directly([new_message()])
    [found] = [
        each for each in reindex.examine_account(*reindex.list_owners(["lisi@benet.com"])) if each.name == "INBOX"
    ]
    assert found.lost == []
