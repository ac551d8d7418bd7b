"""Dropping root: files that root created in the data folder are given to the mail owner, and no others.

The data folder belongs to the mail owner, who can put anything into it: symbolic links, dangling links, hard links to
root's files. So every step works relative to an open directory, never follows a link, checks the very file it changes,
and skips files with several links. Directories of the mail owner are not traversed deeper than root's programs write:
mailboxes may hold a hundred million messages.
"""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

_DIRECTORIES = ("queue", "corrupt", "run", "attach", "tls", "log", "mail")
_SUFFIXES = ("", "-wal", "-shm", "-journal", "-writers")  # Suffixes of SQLite's files.
_DEMO_LEVELS = 2  # Levels below mail/ that root creates: the demo's domains and accounts.


def chown_data_folder(user: pwd.struct_passwd, database: Path, *, demo: bool) -> None:
    """Give the files that root created in the data folder to the mail owner. `database` is SQLite's file."""
    files = {"secret_key", "recovery.lock"}
    if database.parent == settings.DATA_DIR:
        files.update(database.name + suffix for suffix in _SUFFIXES)
    folder = os.open(settings.DATA_DIR, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.fstat(folder).st_uid == 0:
            os.fchown(folder, user.pw_uid, user.pw_gid)
        for name in files:
            _change_owner(folder, name, user, levels=0)
        for name in _DIRECTORIES:
            _change_owner(folder, name, user, levels=_DEMO_LEVELS + 1 if demo and name == "mail" else 1)
    finally:
        os.close(folder)


def _change_owner(parent: int, name: str, user: pwd.struct_passwd, *, levels: int) -> None:
    """Give one file or directory of root's, and its contents, to `user`.

    `levels` directories are always traversed, deeper ones only if root owns them. Links, missing files and special
    files are skipped.
    """
    with contextlib.suppress(OSError), _open_relative(parent, name) as handle:
        status = os.fstat(handle)
        is_directory = stat.S_ISDIR(status.st_mode)
        if not is_directory and not (stat.S_ISREG(status.st_mode) and status.st_nlink == 1):
            return
        is_roots = status.st_uid == 0
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
                        _change_owner(handle, entry.name, user, levels=max(0, levels - 1))


@contextlib.contextmanager
def _open_relative(parent: int, name: str) -> Iterator[int]:
    handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
    try:
        yield handle
    finally:
        os.close(handle)
