"""Content files that are not what was taken in: never sent, set aside and shown."""

import os
from pathlib import Path

import pytest

from mailcore.logs import writer
from mailcore.models import Message, Queued, Recipient
from mailcore.mta.queue import content_files, states
from mailcore.mta.workers import housekeeping, return_to_sender
from mailcore.mta.workers.courier import Courier

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = b"Subject: s\r\n\r\n" + b"a line of the message\r\n" * 500
DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:4096]),
    "one byte short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "zeroed": lambda path: path.write_bytes(bytes(len(path.read_bytes()))),
    "a zeroed block": lambda path: path.write_bytes(path.read_bytes()[:4096] + bytes(len(CONTENT) - 4096)),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-3] + b"d\r\n"),
    "another's content": lambda path: path.write_bytes(CONTENT[::-1]),
    "gone": lambda path: path.unlink(),
}


def path_of(message) -> Path:
    return Path(content_files.content_path(message.id))


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("recipients", [("lisi",), ("lisi", "xiaoqi"), ("a@far.example",)])
def test_a_damaged_file_is_not_delivered(post, parameters, damage, recipients):
    parameters(relayhost="[127.0.0.1]:1")
    message = post(*recipients, content=CONTENT)
    DAMAGES[damage](path_of(message))
    Courier().run_until_idle()
    assert Queued.objects.get(id=message.id).state == "corrupt"
    assert not Message.objects.exists()
    assert set(Recipient.objects.values_list("state", flat=True)) == {"waiting"}
    assert path_of(message).exists() == (damage != "gone")  # kept for the administrator
    assert f"{message.queue_id}: warning: content file " in Path(writer.log_path()).read_text()


@pytest.mark.parametrize("damage", ["truncated", "gone", "empty"])
def test_messages_of_earlier_versions_have_no_checksum_but_a_size(post, damage):
    message, whole = post("lisi", content=CONTENT), post("lisi", content=CONTENT)
    Queued.objects.update(checksum=None)
    DAMAGES[damage](path_of(message))
    Courier().run_until_idle()
    assert Queued.objects.get(id=message.id).state == "corrupt"
    assert Queued.objects.get(id=whole.id).state == "done"
    assert Message.objects.count() == 1


def test_copies_of_a_message_keep_its_checksum(post):
    message = post("lisi", content=CONTENT)
    new_id = states.requeue(message.id)
    assert Queued.objects.get(id=new_id).checksum == Queued.objects.get(id=message.id).checksum is not None


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_now_waits(post):
    message = post("lisi", content=CONTENT)
    path_of(message).chmod(0)
    Courier().run_until_idle()
    assert Queued.objects.get(id=message.id).state == "deferred"


def test_a_directory_in_a_files_place_waits(post):
    """An I/O error while reading."""
    message = post("lisi", content=CONTENT)
    path_of(message).unlink()
    path_of(message).mkdir()
    Courier().run_until_idle()
    row = Queued.objects.get(id=message.id)
    assert row.state in ("deferred", "corrupt")
    assert not Message.objects.exists()


def test_what_is_returned_to_its_sender_is_compared_as_well(post):
    message = post("a@far.example", sender="lisi@benet.com", content=CONTENT)
    DAMAGES["zeroed"](path_of(message))
    assert return_to_sender.return_to_sender([message.id]) == 0
    assert Queued.objects.get().state == "corrupt"


def test_recovery_restores_nothing_from_a_damaged_file(post, inbox):
    """And what it cannot restore stays as it is, while the next message is put back."""
    messages = [post("lisi", content=CONTENT) for _ in range(2)]
    courier = Courier()
    claims = states.claim_due(courier.name, 10)
    assert len(claims) == 2
    from mailcore.mta.delivery import deliver
    from mailcore.mta.delivery.crash_recovery import PendingCleanup

    deliver.deliver(courier.name, claims, PendingCleanup())  # the courier is killed before it removes the content
    courier.close()
    for name in Path(content_files.settings.MAIL_ROOT).glob("benet.com/lisi/Maildir/new/*"):
        name.unlink()
    DAMAGES["zeroed"](path_of(messages[0]))
    housekeeping.recover()
    assert path_of(messages[0]).exists()
    assert not path_of(messages[1]).exists()
    assert "error: cannot restore delivered message: content file is damaged" in Path(writer.log_path()).read_text()
    [restored] = Path(content_files.settings.MAIL_ROOT).glob("benet.com/lisi/Maildir/new/*")
    assert restored.read_bytes().endswith(CONTENT)
    assert states.delete_old_history() == 0
