"""Messages whose content the commit carries, until the disk has their files."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import transaction

from mailcore.logs import writer
from mailcore.models import Message, Unsynced
from mailcore.store import directory
from mailcore.store.mailbox import insert
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.values import Arrival

pytestmark = pytest.mark.django_db(transaction=True)

CONTENT = b"Subject: report\r\n\r\nHello.\r\n"


@pytest.fixture
def lisi() -> Iterator[int]:
    directory.create_domain("benet.com")
    yield directory.create_account("lisi@benet.com", "secret-password")
    write_behind.flush_to_disk()


def deliver(account: int, name: str = "1.Q1.mail", content: bytes = CONTENT) -> Message:
    arrival = Arrival(account, name, insert.NO_FILE, 0, b"", True, 1_795_000_000)
    staged = insert.write_tmp_files([(arrival, content)])
    with transaction.atomic():
        insert.insert_messages(staged)
    return Message.objects.get(base_name=name)


def content_of(message: Message) -> bytes:
    where = maildir_files.folder_directory("lisi@benet.com", message.mailbox.folder)
    return maildir_files.read_message(where, message.base_name, message.flags)


def path_of(message: Message) -> Path:
    where = maildir_files.folder_directory("lisi@benet.com", message.mailbox.folder)
    return Path(maildir_files.find_file(where, message.base_name, message.flags))


def test_the_commit_carries_the_content_until_the_disk_has_the_file(lisi):
    message = deliver(lisi)
    assert bytes(Unsynced.objects.get(message_id=message.pk).octets) == CONTENT
    assert write_behind.has_pending()
    write_behind.flush_to_disk()
    assert not write_behind.has_pending()
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
    assert write_behind.recover_messages() == 1
    assert content_of(message) == CONTENT
    assert not Unsynced.objects.exists()
    assert len(os.listdir(path.parent)) == 1


def test_flags_set_meanwhile_stay(lisi):
    message = deliver(lisi)
    path_of(message).unlink()
    Message.objects.filter(pk=message.pk).update(flags=1)
    write_behind.recover_messages()
    message.refresh_from_db()
    assert content_of(message) == CONTENT
    assert path_of(message).parent.name == "cur"


def test_what_is_whole_is_left_alone(lisi):
    message = deliver(lisi)
    before = path_of(message).stat().st_ino
    assert write_behind.recover_messages() == 0
    assert path_of(message).stat().st_ino == before
    assert not Unsynced.objects.exists()


def test_a_message_expunged_meanwhile_stays_so(lisi):
    message = deliver(lisi)
    path_of(message).unlink()
    message.summary.delete()
    message.text.delete()
    Message.objects.filter(pk=message.pk).delete()
    assert write_behind.recover_messages() == 0
    assert not Unsynced.objects.exists()


def test_a_message_that_cannot_be_restored_is_reported_and_kept(lisi):
    """And keeps no other from being restored."""
    directory.create_account("xiaoqi@benet.com", "secret-password")
    first = deliver(lisi)
    second = deliver(lisi, "2.Q2.mail")
    path_of(first).unlink()
    path_of(second).unlink()
    Message.objects.filter(pk=first.pk).update(base_name="x" * 250 + ".mail")  # longer than a file's name may be
    assert write_behind.recover_messages() == 1
    assert content_of(second) == CONTENT
    assert list(Unsynced.objects.values_list("message_id", flat=True)) == [first.pk]
    said = Path(writer.log_path()).read_text()
    assert "error: a message of lisi@benet.com in INBOX cannot be restored: xxx" in said
    assert "Hello" not in said
    Unsynced.objects.all().delete()


def test_a_folder_that_was_lost_is_made_again(lisi):
    message = deliver(lisi)
    shutil.rmtree(path_of(message).parent.parent)
    assert write_behind.recover_messages() == 1
    assert content_of(message) == CONTENT


_PROGRAM = """
import os, sys, django
django.setup()
from mailcore.store.maildir import write_behind
print("there", flush=True)
sys.stdin.readline()
print(write_behind.recover_messages())
"""


def test_several_processes_recover_at_once(tmp_path):
    """Each message is restored once, and nobody fails."""
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "mailcore.settings", "DATA_DIR": str(tmp_path / "data")}
    environment.pop("DATABASE_URL", None)
    made = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from django.db import transaction
from mailcore.store import directory
from mailcore.store.mailbox import insert
from mailcore.values import Arrival
directory.create_domain("benet.com")
account = directory.create_account("lisi@benet.com", "secret-password")
arrivals = [Arrival(account, f"{n}.Q{n}.mail", insert.NO_FILE, 0, b"", True, 1) for n in range(300)]
staged = insert.write_tmp_files([(each, b"Subject: x\\r\\n\\r\\n") for each in arrivals])
with transaction.atomic():
    insert.insert_messages(staged)
for each in staged:
    import os; os.unlink(each.path)
"""
    subprocess.run([sys.executable, "-c", made], cwd=root, env=environment, check=True, timeout=100)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], cwd=root, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "there\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    restored = [int(process.communicate(timeout=60)[0]) for process in processes]
    assert sum(restored) == 300
    home = tmp_path / "data/mail/benet.com/lisi/Maildir"
    assert len(os.listdir(home / "new")) == 300
    assert os.listdir(home / "tmp") == []
