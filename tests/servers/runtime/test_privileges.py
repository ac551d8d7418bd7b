"""Changes of file owners when the system is started as root."""

import os
import pwd
import stat
import sys
from pathlib import Path

import pytest

from mailcore.servers.runtime import privileges
from tests.servers.runtime.test_supervisor import System

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root has privileges to drop")
NOBODY = pwd.getpwnam("nobody")


def owner(path: Path) -> int:
    return path.lstat().st_uid


def give(folder: Path, settings, *, demo: bool = False) -> None:
    settings.DATA_DIR = folder
    privileges.chown_data_folder(NOBODY, folder / "youju.sqlite3", demo=demo)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of root's beside the data folder."""
    path = tmp_path / "outside"
    path.write_text("root:x:0:0")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    for name in ("queue", "log", "tls", "mail/benet.com/lisi/Maildir/cur"):
        (made / name).mkdir(parents=True)
    for name in ("youju.sqlite3", "youju.sqlite3-wal", "secret_key", "queue/6F24D148440", "log/maillog", "notes"):
        (made / name).write_text("x")
    return made


def test_what_the_program_makes_is_the_mail_owners(folder, settings):
    give(folder, settings)
    for name in ("", "youju.sqlite3", "youju.sqlite3-wal", "secret_key", "queue", "queue/6F24D148440", "log/maillog"):
        assert owner(folder / name) == NOBODY.pw_uid, name
    assert owner(folder / "mail/benet.com/lisi/Maildir/cur") == NOBODY.pw_uid  # all on the way there was root's
    assert owner(folder / "notes") == 0  # root's own


@pytest.mark.parametrize(
    "where", ["secret_key", "log/maillog", "tls/key", "mail/benet.com", "queue", "log", "anything"]
)
@pytest.mark.parametrize("kind", ["file", "directory", "nothing"])
def test_links_are_not_followed(folder, outside, settings, tmp_path, where, kind):
    target = {"file": outside, "directory": tmp_path / "etc", "nothing": tmp_path / "nowhere"}[kind]
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/shadow").write_text("x")
    link = folder / where
    if link.is_dir():
        link.rename(tmp_path / "moved")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    give(folder, settings, demo=True)
    assert owner(outside) == owner(tmp_path / "etc") == owner(tmp_path / "etc/shadow") == 0
    assert owner(link) == 0
    assert owner(folder / "youju.sqlite3") == NOBODY.pw_uid


def test_a_second_name_of_a_file_of_roots_gives_nothing_away(folder, outside, settings):
    os.link(outside, folder / "log/stolen")
    give(folder, settings)
    assert owner(outside) == 0


def test_pipes_and_sockets_hold_up_nobody(folder, settings):
    os.mkfifo(folder / "log/pipe")
    give(folder, settings)
    assert stat.S_ISFIFO((folder / "log/pipe").lstat().st_mode)


def test_the_mail_store_is_not_walked(folder, settings, tmp_path):
    """Below directories that are the mail owner's already no file is looked at, however many there are."""
    give(folder, settings)
    box = folder / "mail/benet.com/lisi/Maildir/cur"
    seen: list[str] = []
    (box / "1.mail:2,S").write_text("x")

    def count(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("os.scandir", "os.listdir", "open"):
            seen.append(str(arguments[0]))

    sys.addaudithook(count)
    give(folder, settings)
    before = len(seen)
    for number in range(500):
        (box / f"{number}.mail:2,").write_bytes(b"")
    seen.clear()
    give(folder, settings)
    assert len(seen) == before


def test_a_server_started_as_root_leaves_a_link_alone(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o777 == 0o700:
            parent.chmod(0o711)
    shadow = tmp_path / "shadow"
    shadow.write_text("x")
    data = tmp_path / "data"
    data.mkdir(mode=0o750)
    (data / "shadow").symlink_to(shadow)
    (data / "log").mkdir()
    (data / "log/dangling").symlink_to(tmp_path / "nowhere")
    system = System(tmp_path, "--demo", MAIL_MAIL_OWNER="nobody", MAIL_SERVER_PROCESSES="1", MAIL_WEB_PROCESSES="1")
    system.await_ready()
    assert owner(shadow) == 0
    system.send("to an unprivileged server")
    system.await_log("status=sent")
    assert system.stop() == 0
