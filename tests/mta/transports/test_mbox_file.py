"""Mail added to a file: as Postfix's local(8) does it, under locks."""

import mailbox
import os
import subprocess
import sys
import time

import pytest

from mailcore.models import Recipient
from mailcore.mta.workers.courier import Courier
from tests.mta.routing.test_route import alias

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def archive(benet, parameters, tmp_path):
    parameters(allow_mail_to_files="alias", deliver_lock_attempts="1")
    path = tmp_path / "archive"
    alias("archive", f'"{path}"')
    return path


def result() -> tuple[str, str]:
    row = Recipient.objects.get(address__startswith='"/')
    return row.state, row.dsn


def test_messages_are_added_and_can_be_told_apart(archive, post):
    post("archive", content=b"Subject: one\r\n\r\nFrom here on\r\nall is text\r\n")
    post("archive", content=b"Subject: two\r\n\r\nno end of line")
    Courier().run_until_idle()
    first, second = mailbox.mbox(archive)
    assert (first["Subject"], first["Delivered-To"]) == ("one", "archive@benet.com")
    assert first.get_payload() == ">From here on\nall is text\n"
    assert second.get_payload() == "no end of line\n"
    assert first.get_from().startswith("a@other.example  ")
    assert archive.stat().st_mode & 0o777 == 0o600
    assert Recipient.objects.filter(reason=f"delivered to file: {archive}").count() == 2


def test_what_somebody_else_has_locked_waits(archive, post):
    (archive.parent / "archive.lock").write_text("")
    post("archive")
    Courier().run_until_idle()
    assert result() == ("waiting", "4.2.0")
    assert not archive.exists()


def test_a_lock_file_nobody_has_any_more(archive, post):
    lock = archive.parent / "archive.lock"
    lock.write_text("")
    os.utime(lock, (time.time() - 1000,) * 2)
    post("archive")
    Courier().run_until_idle()
    assert result() == ("delivered", "2.0.0")
    assert not lock.exists()


def test_a_lock_of_another_program(archive, post):
    hold = "import fcntl,sys; f=open(sys.argv[1],'a'); fcntl.lockf(f,fcntl.LOCK_EX); print('has it'); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-u", "-c", hold, str(archive)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "has it\n"
    post("archive")
    Courier().run_until_idle()
    assert result() == ("waiting", "4.2.0")
    holder.communicate("")


def test_what_is_no_file(archive, post):
    os.mkfifo(archive)
    reading = os.open(archive, os.O_RDONLY | os.O_NONBLOCK)
    post("archive")
    Courier().run_until_idle()
    assert result() == ("failed", "5.2.0")
    os.close(reading)


def test_nowhere(benet, parameters, post):
    parameters(allow_mail_to_files="alias")
    alias("archive", '"/dev/null"')
    post("archive")
    Courier().run_until_idle()
    assert result() == ("delivered", "2.0.0")
