"""Files whose names change while somebody works with them."""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, pairwise
from pathlib import Path
from queue import SimpleQueue

import pytest

from mailcore.store.maildir import maildir_files
from mailcore.wire.imap import system_flags as wire_flags

NAME = "1795000000.M1P1.mail"
CONTENT = b"Subject: report\r\n\r\nHello.\r\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("tmp", "new", "cur"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def rename_meanwhile(folder: Path) -> Iterator[Callable[[], None]]:
    """Another program gives the file its next flags, once at some moment between one call and the next."""
    names = [folder / "new" / NAME, *[folder / "cur" / f"{NAME}{wire_flags.to_info(bits)}" for bits in (1, 2, 3)]]
    names[0].write_bytes(CONTENT)
    asked: SimpleQueue[bool] = SimpleQueue()
    idle = threading.Event()

    def work() -> None:
        for present, name in pairwise(cycle(names)):
            idle.set()
            if not asked.get():
                return
            os.rename(present, name)

    def rename_meanwhile() -> None:
        idle.wait()
        idle.clear()
        asked.put(True)

    thread = threading.Thread(target=work)
    thread.start()
    yield rename_meanwhile
    asked.put(False)
    thread.join()


def test_a_file_that_is_being_renamed_is_read(folder, rename_meanwhile):
    for _ in range(3000):
        rename_meanwhile()
        assert maildir_files.read_message(str(folder), NAME, 0) == CONTENT


def test_a_file_that_is_being_renamed_is_linked(folder, rename_meanwhile, tmp_path):
    for number in range(3000):
        copy = tmp_path / f"copy{number}"
        rename_meanwhile()
        maildir_files.with_current_path(str(folder), NAME, 0, partial(os.link, dst=copy))
        assert copy.read_bytes() == CONTENT


def test_a_file_that_is_not_there_is_said_to_be_gone(folder):
    with pytest.raises(FileNotFoundError, match=NAME):
        maildir_files.read_message(str(folder), NAME, wire_flags.SEEN)
    with pytest.raises(FileNotFoundError, match=NAME):
        maildir_files.find_file(str(folder), NAME, 0)
    maildir_files.remove_file(str(folder), NAME, 0)


def test_flags_are_written_wherever_the_file_is(folder):
    (folder / "new" / NAME).write_bytes(CONTENT)
    maildir_files.rename_flags(str(folder), NAME, wire_flags.SEEN)
    maildir_files.rename_flags(str(folder), NAME, wire_flags.SEEN)
    assert [path.name for path in (folder / "cur").iterdir()] == [NAME + wire_flags.to_info(wire_flags.SEEN)]
