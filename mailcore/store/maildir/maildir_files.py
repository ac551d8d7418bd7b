"""Maildir++ folders on disk: where a message's file is, how it gets there, how it is found again.

Called by everything in `store` that touches content. A file is written once, made durable, and then
appears under its final name in one step (cr.yp.to/proto/maildir.html); other programs may read and
rename it at any time. `folder` is Mailbox.folder: "" for the INBOX, ".Sent" for others.
"""

import contextlib
import os
import re
import secrets
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar
from urllib.parse import quote

from django.conf import settings

from mailcore.store.maildir import durability
from mailcore.wire.imap import system_flags as wire_flags

T = TypeVar("T")

_PLAIN = re.compile(r"[\w+=~-][\w.+=~-]*", re.ASCII)


def account_directory(address: str) -> str:
    """The directory of an account: MAIL_ROOT/domain/local-part. What could not be a file name is
    percent-encoded, so no address leads out of MAIL_ROOT."""
    local, _, domain = address.rpartition("@")
    return os.path.join(settings.MAIL_ROOT, _escape_component(domain), _escape_component(local))


def _escape_component(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote(name, safe="+=").replace(".", "%2E")


def folder_directory(address: str, folder: str) -> str:
    """The directory that holds `tmp`, `new` and `cur` of one folder."""
    maildir = os.path.join(account_directory(address), "Maildir")
    return os.path.join(maildir, folder) if folder else maildir


def create_folder(address: str, folder: str) -> bool:
    """Make the folder's directories, durably; nothing happens where they stand already. True if there was none."""
    where = folder_directory(address, folder)
    is_new = not os.path.isdir(where)
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(where, name), mode=0o700, exist_ok=True)
    if folder:
        # Maildir++: this empty file tells a delivery agent that the directory is a folder.
        os.close(os.open(os.path.join(where, "maildirfolder"), os.O_CREAT | os.O_WRONLY, 0o600))
    sync_directories([where, os.path.dirname(where)])
    return is_new


def unmake(address: str, folder: str) -> None:
    """Remove directories that `make` has just made; one that is not empty any more stays."""
    where = folder_directory(address, folder)
    with contextlib.suppress(OSError):
        for name in ("tmp", "new", "cur"):
            os.rmdir(os.path.join(where, name))
        if folder:
            os.unlink(os.path.join(where, "maildirfolder"))
        os.rmdir(where)


def put_away(where: str) -> str:
    """Move a folder's directories out of the way in one step, under a name no mailbox has; returns their new path,
    "" where there are none. A new mailbox of that name never sees old mail."""
    away = os.path.join(os.path.dirname(where), f".removed-{uuid.uuid4().hex}")
    try:
        os.rename(where, away)
    except FileNotFoundError:
        return ""
    return away


def link_into_new(source: str, where: str, base_name: str) -> str:
    """Give a finished, durable file a second name in `new`. The same name again is no fault: the
    message is there already. Returns the path."""
    path = os.path.join(where, "new", base_name)
    with contextlib.suppress(FileExistsError):
        os.link(source, path)
    return path


def write_tmp(where: str, base_name: str, content: bytes) -> str:
    """Write a file into `tmp`. Returns its path. `make_durable` makes it so, `reveal` gives it its place."""
    path = os.path.join(where, "tmp", base_name)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
    except OSError:
        os.unlink(path)
        raise
    finally:
        os.close(handle)
    return path


def make_durable(paths: Sequence[str]) -> None:
    """New files survive a power failure from here on, names and content. One flush for several, where the file system
    can (`durability`). OSError: the disk refuses."""
    by_directory: dict[str, list[str]] = {}
    for path in paths:
        by_directory.setdefault(os.path.dirname(path), []).append(path)
    local = {directory for directory in by_directory if durability.can_sync_all(directory)}
    if len(paths) > 1:
        sync_file_systems(local)
    for directory, names in by_directory.items():
        if directory in local and len(paths) > 1:
            continue
        for name in names:
            durability.sync_file(name)
        if directory not in local:
            durability.sync_file(directory)


@contextlib.contextmanager
def durable_when_done(paths: Sequence[str]) -> Iterator[None]:
    """`make_durable` while the block runs; what it raises is raised at the block's end."""
    if not paths:
        yield
        return
    flush = _flushing.submit(make_durable, paths)
    try:
        yield
    finally:
        error = flush.exception()
    if error is not None:
        raise error


_flushing = ThreadPoolExecutor(2, thread_name_prefix="flush")


def publish_file(path: str) -> None:
    """From `tmp` to `new`. Whoever looked for the file may have found and revealed it first. OSError: it stays in
    `tmp`."""
    hidden, base_name = os.path.split(path)
    try:
        os.rename(path, os.path.join(os.path.dirname(hidden), "new", base_name))
    except FileNotFoundError:
        if os.path.exists(path):
            raise


def write_file(where: str, base_name: str, parts: Iterable[bytes | memoryview]) -> str:
    """Write a new file and make its content durable; `sync_directories` makes its name durable. Two processes may
    write the same message at once: each has a file of its own in `tmp`, and either is whole when it gets its name."""
    temporary = os.path.join(where, "tmp", f"{base_name}.{secrets.token_hex(4)}")
    path = os.path.join(where, "new", base_name)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        for part in parts:
            view = memoryview(part)
            while view:
                view = view[os.write(handle, view) :]
        os.fsync(handle)
        os.rename(temporary, path)
    except OSError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    finally:
        os.close(handle)
    return path


def sync_directories(directories: Iterable[str]) -> None:
    """Make names in these directories durable."""
    for name in directories:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file_systems(directories: Iterable[str]) -> None:
    """Make everything in these directories durable: one flush for each file system, however many files, where it can
    do that. OSError: the disk has lost something."""
    devices: dict[int, str] = {}
    for name in directories:
        if not os.path.isdir(name):
            continue
        if durability.can_sync_all(name):
            devices[os.stat(name).st_dev] = name
        else:
            durability.sync_content(name)
    for name in devices.values():
        durability.sync_file_system(name)


def expected_path(where: str, base_name: str, flags: int) -> str:
    """Where the file is if nobody else renamed it and its flags are written."""
    if flags:
        return f"{where}/cur/{base_name}{wire_flags.to_info(flags)}"
    return f"{where}/new/{base_name}"


def with_current_path(where: str, base_name: str, flags: int, act: Callable[[str], T]) -> T:
    """`act(path)` with a message's file, whatever its name has become. Somebody may be writing flags into the name at
    this moment: whoever comes too late for one name looks for the next. FileNotFoundError if the file is gone."""
    with contextlib.suppress(FileNotFoundError):
        return act(expected_path(where, base_name, flags))
    for _ in range(_LOOKS):
        with contextlib.suppress(FileNotFoundError):
            return act(_find_once(where, base_name, flags))
    raise FileNotFoundError(expected_path(where, base_name, flags))


_LOOKS = 5  # a name that changes more often while somebody looks is nobody's doing


def find_file(where: str, base_name: str, flags: int) -> str:
    """The path of a message's file, whatever its name has become. FileNotFoundError if it is gone."""
    return with_current_path(where, base_name, flags, _existing_path)


def _existing_path(path: str) -> str:
    os.stat(path)
    return path


def _find_once(where: str, base_name: str, flags: int) -> str:
    """One look at every place. A name that changes meanwhile may be missed."""
    path = expected_path(where, base_name, flags)
    if os.path.exists(path):
        return path
    hidden = os.path.join(where, "tmp", base_name)
    if os.path.exists(hidden):  # its message was entered, and then the power failed
        try:
            publish_file(hidden)
        except OSError:
            return hidden  # it can be read there as well
    for name in (f"{where}/new/{base_name}", f"{where}/cur/{base_name}:2,"):
        if os.path.exists(name):
            return name
    prefix = base_name + ":2,"
    with os.scandir(f"{where}/cur") as entries:
        for entry in entries:
            if entry.name == base_name or entry.name.startswith(prefix):
                return entry.path
    raise FileNotFoundError(path)


def has_file(where: str, base_name: str) -> bool:
    """Has this message a file, under whatever name?"""
    try:
        find_file(where, base_name, 0)
    except FileNotFoundError:
        return False
    return True


def read_message(where: str, base_name: str, flags: int) -> bytes:
    """The whole message. FileNotFoundError if its file is gone."""
    return with_current_path(where, base_name, flags, _read_file)


def _read_file(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(handle).st_size
        content = os.read(handle, size)
        while len(content) < size and (more := os.read(handle, size - len(content))):
            content += more
        return content
    finally:
        os.close(handle)


def rename_flags(where: str, base_name: str, flags: int) -> None:
    """Write the flags into the file's name. A file that is gone is left to whoever reads it."""
    wanted = f"{where}/cur/{base_name}{wire_flags.to_info(flags)}"
    with contextlib.suppress(FileNotFoundError):
        with_current_path(where, base_name, flags, lambda path: os.rename(path, wanted))


def remove_file(where: str, base_name: str, flags: int) -> None:
    """Remove a message's file; it may be gone already. A file left behind would come back as a new message."""
    with contextlib.suppress(FileNotFoundError):
        with_current_path(where, base_name, flags, os.unlink)


def rename_expected(where: str, changes: Iterable[tuple[str, int, int]]) -> list[str]:
    """Rename files that are where they should be: (base name, flags before, flags now). Returns the base names of
    those that are not."""
    missed = []
    for base_name, before, now in changes:
        try:
            os.rename(expected_path(where, base_name, before), f"{where}/cur/{base_name}{wire_flags.to_info(now)}")
        except FileNotFoundError:
            missed.append(base_name)
    return missed


def rename_files(where: str, wanted: Mapping[str, int]) -> None:
    """Write the flags of many messages (base name → flags) into their files' names."""
    if len(wanted) < 20:
        for base_name, flags in wanted.items():
            rename_flags(where, base_name, flags)
        return
    for name in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(f"{where}/{name}"):
                base_name = entry.partition(":2,")[0]
                if base_name not in wanted:
                    continue
                path = f"{where}/{name}/{entry}"
                goal = f"{where}/cur/{base_name}{wire_flags.to_info(wanted[base_name])}"
                if path != goal:
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(path, goal)


def remove_files(where: str, gone: Collection[str]) -> None:
    """Remove the files of many messages, given by their base names."""
    for name in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(f"{where}/{name}"):
                if entry.partition(":2,")[0] in gone:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{where}/{name}/{entry}")
