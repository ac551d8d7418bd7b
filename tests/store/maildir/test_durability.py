"""How files become durable on which file system."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailcore.store.maildir import durability

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("kind", "name", "local"),
    [
        (0xEF53, "ext4", True),
        (0x58465342, "xfs", True),
        (0x9123683E, "btrfs", True),
        (0xF2F52010, "f2fs", True),
        (0x2FC12FC1, "zfs", True),
        (0x794C7630, "overlayfs", True),
        (0x01021994, "tmpfs", True),
        (0x65735546, "fuse", False),  # JuiceFS, GlusterFS, ceph-fuse, MooseFS, sshfs
        (0x6969, "nfs", False),
        (0xFF534D42, "cifs", False),
        (0xFE534D42, "smb2", False),
        (0x00C36400, "ceph", False),
        (0x01021997, "9p", False),
        (0x0BD00BD0, "lustre", False),
        (0x12345678, "type 0x12345678", False),  # nobody knows
        (0, "type 0x0", False),  # the system does not say
    ],
)
def test_where_syncfs_is_relied_on(kind, name, local):
    assert (durability.name_of(kind), durability.is_local(kind)) == (name, local)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="statfs as Linux has it")
def test_the_type_is_what_the_system_says():
    said = subprocess.run(["stat", "-f", "-c", "%t", "/proc"], capture_output=True, text=True, check=True).stdout
    assert durability.file_system("/proc") == int(said, 16) == 0x9FA0
    with pytest.raises(FileNotFoundError):
        durability.file_system("/nowhere")
    assert not durability.can_sync_all("/nowhere")


@pytest.fixture
def fuse(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system in user space, which answers syncfs without doing anything."""
    if not shutil.which("bindfs"):
        pytest.skip("bindfs is not here")
    below, mounted = tmp_path / "below", tmp_path / "fuse"
    below.mkdir()
    mounted.mkdir()
    if subprocess.run(["bindfs", below, mounted], capture_output=True).returncode:
        pytest.skip("no FUSE here")
    yield mounted
    subprocess.run(["umount", "-l", mounted], check=False, capture_output=True)


PROGRAM = """
import sys, django
django.setup()
from django.core.management import call_command
from django.db import transaction
from mailcore.models import Unsynced
from mailcore.mta.queue import content_files as files
from mailcore.store import directory
from mailcore.store.mailbox import insert
from mailcore.values import Arrival
call_command("migrate", verbosity=0)
directory.create_domain("benet.com")
account = directory.create_account("lisi@benet.com", "secret-password")
files.make_directories()
print("begin", file=sys.stderr, flush=True)
arrivals = [Arrival(account, f"{n}.Q{n}.mail", insert.NO_FILE, 0, b"", True, 1) for n in range(3)]
staged = insert.write_tmp_files([(each, b"Subject: x\\r\\n\\r\\n") for each in arrivals])
with transaction.atomic():
    insert.insert_messages(staged)
print("carried", Unsynced.objects.count())
group = []
for _ in range(3):
    file = files.ContentFile()
    file.open()
    file.write(b"Subject: x\\r\\n\\r\\n")
    group.append(file)
assert files.finish_files(group) == {}
"""


def trace(folder: Path, tmp_path: Path) -> tuple[str, Counter[str]]:
    """Return a program's output, and the files and directories it synced: new/…, queue/…, or syncfs."""
    if not shutil.which("strace"):
        pytest.skip("strace is not here")
    log = tmp_path / "strace"
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "mailcore.settings", "DATA_DIR": str(folder / "data")}
    # The database stays where it is quick: what is looked at is messages.
    environment["DATABASE_URL"] = f"sqlite:///{tmp_path}/database.sqlite3"
    command = ["strace", "-f", "-y", "-o", str(log), "-e", "trace=fsync,fdatasync,syncfs,write"]
    done = subprocess.run(
        [*command, sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    _, _, after = log.read_text().partition("begin")
    found: Counter[str] = Counter()
    for call, path in re.findall(r"(fsync|fdatasync|syncfs)\(\d+<([^>]*)>", after):
        if str(folder) in path:
            found["syncfs" if call == "syncfs" else path.removeprefix(f"{folder}/data/")] += 1
    return done.stdout, found


def test_on_fuse_each_file_is_synced_before_anything_is_promised(fuse, tmp_path):
    assert not durability.can_sync_all(fuse)
    said, synced = trace(fuse, tmp_path)
    assert said == "carried 0\n"
    assert not synced["syncfs"]
    hidden = [path for path in synced if re.fullmatch(r"mail/benet\.com/lisi/Maildir/tmp/\d\.Q\d\.mail", path)]
    queued = [path for path in synced if re.fullmatch(r"queue/[0-9A-F]+", path)]
    assert (len(hidden), len(queued)) == (3, 3)
    assert {"mail/benet.com/lisi/Maildir/tmp", "queue"} <= set(synced)  # their names


def test_elsewhere_one_flush_serves_all(tmp_path):
    if not durability.can_sync_all(tmp_path):
        pytest.skip("on a file system without syncfs")
    said, synced = trace(tmp_path, tmp_path)
    assert said == "carried 3\n"
    assert synced["syncfs"] == 1
    assert not [path for path in synced if path.startswith(("mail/", "queue"))]


def test_check_says_what_it_found(fuse, settings):
    from mailcore import checks

    settings.MAIL_ROOT, settings.QUEUE_ROOT = fuse / "mail", fuse / "queue"
    [mail, queue] = checks.check_durability()
    assert f"{fuse / 'mail'} is on a file system (fuse) where syncfs is not reliable" in mail.msg
    assert mail.id == queue.id == "mailcore.I008"


def test_the_whole_directory_is_synced_where_one_flush_does_nothing(fuse, tmp_path):
    (fuse / "a").write_text("x")
    (fuse / "link").symlink_to("nowhere")
    (fuse / "folder").mkdir()
    from mailcore.store.maildir import maildir_files

    maildir_files.sync_file_systems([str(fuse), str(tmp_path)])
    maildir_files.make_durable([str(fuse / "a")])
    with pytest.raises(FileNotFoundError):
        maildir_files.make_durable([str(fuse / "gone")])
