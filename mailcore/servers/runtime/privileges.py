"""Giving up root: what root made in the data folder becomes the mail owner's, and nothing else changes hands.

The data folder belongs to the mail owner, who may put anything into it: links to other files, links to nothing, second
names of root's files. So every step goes through an open directory, never follows a link, looks at the very file whose
owner it changes, and passes over files that have another name elsewhere. Directories of the mail owner's are not walked
below what root's programs write to: mailboxes may hold a hundred million messages.
"""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

_DIRECTORIES = ("queue", "corrupt", "run", "attach", "tls", "log", "mail")
_SUFFIXES = ("", "-wal", "-shm", "-journal", "-writers")  # of SQLite's files
_DEMO = 2  # levels below mail/: root builds the demo's domains and accounts


def give_folder(user: pwd.struct_passwd, database: Path, *, demo: bool) -> None:
    """Make the mail owner the owner of what root made in the data folder; `database` is SQLite's file, if there is
    one."""
    files = {"secret_key", "recovery.lock"}
    if database.parent == settings.DATA_DIR:
        files.update(database.name + suffix for suffix in _SUFFIXES)
    folder = os.open(settings.DATA_DIR, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstat(folder).st_uid == 0:
            os.fchown(folder, user.pw_uid, user.pw_gid)
        for name in files:
            _give(folder, name, user, levels=0)
        for name in _DIRECTORIES:
            _give(folder, name, user, levels=_DEMO + 1 if demo and name == "mail" else 1)
    finally:
        os.close(folder)


def _give(parent: int, name: str, user: pwd.struct_passwd, *, levels: int) -> None:
    """Give away one file or directory of root's, and what is in it: so many levels in any case, further down only
    where directories are root's. What is a link, or gone, or no file stays as it is."""
    with contextlib.suppress(OSError), _opened(parent, name) as handle:
        found = os.fstat(handle)
        is_directory = stat.S_ISDIR(found.st_mode)
        if not is_directory and not (stat.S_ISREG(found.st_mode) and found.st_nlink == 1):
            return
        is_roots = found.st_uid == 0
        if is_roots:
            os.fchown(handle, user.pw_uid, user.pw_gid)
        if not is_directory or not (levels or is_roots):
            return
        with os.scandir(handle) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == 0 or (
                        levels > 1 and entry.is_dir(follow_symlinks=False)
                    ):
                        _give(handle, entry.name, user, levels=max(0, levels - 1))


@contextlib.contextmanager
def _opened(parent: int, name: str) -> Iterator[int]:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)
