"""Maildir++ folders on disk: write, publish, find, rename and remove message files.

Called by everything in `store` that touches content. A file is written once, made durable, and then appears under its
final name in one step (cr.yp.to/proto/maildir.html); other programs may read and rename it at any time. `folder` is
Mailbox.folder: "" for the INBOX, ".Sent" for others.
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
    """Return the directory of an account: MAIL_ROOT/domain/local-part.

    Parts that cannot be file names are percent-encoded, so that no address leads out of MAIL_ROOT.
    """
    local, _, domain = address.rpartition("@")
    return os.path.join(settings.MAIL_ROOT, _escape_component(domain), _escape_component(local))


def _escape_component(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote(name, safe="+=").replace(".", "%2E")


def folder_directory(address: str, folder: str) -> str:
    """Return the directory that holds `tmp`, `new` and `cur` of one folder."""
    maildir = os.path.join(account_directory(address), "Maildir")
    return os.path.join(maildir, folder) if folder else maildir


def create_folder(address: str, folder: str) -> bool:
    """Create the folder's directories durably if they do not exist, and return True if there were none."""
    folder_path = folder_directory(address, folder)
    is_new = not os.path.isdir(folder_path)
    for name in ("tmp", "new", "cur"):
        os.makedirs(os.path.join(folder_path, name), mode=0o700, exist_ok=True)
    if folder:
        # Maildir++: this empty file marks the directory as a folder for delivery agents.
        os.close(os.open(os.path.join(folder_path, "maildirfolder"), os.O_CREAT | os.O_WRONLY, 0o600))
    sync_directories([folder_path, os.path.dirname(folder_path)])
    return is_new


def unmake(address: str, folder: str) -> None:
    """Remove directories that `create_folder` has just made, unless they are no longer empty."""
    folder_path = folder_directory(address, folder)
    with contextlib.suppress(OSError):
        for name in ("tmp", "new", "cur"):
            os.rmdir(os.path.join(folder_path, name))
        if folder:
            os.unlink(os.path.join(folder_path, "maildirfolder"))
        os.rmdir(folder_path)


def put_away(folder_path: str) -> str:
    """Move a folder's directories in one step to a name that no mailbox has; return the new path, "" if there are none.

    So a new mailbox of the old name never contains old mail.
    """
    removed = os.path.join(os.path.dirname(folder_path), f".removed-{uuid.uuid4().hex}")
    try:
        os.rename(folder_path, removed)
    except FileNotFoundError:
        return ""
    return removed


def link_into_new(source: str, folder_path: str, base_name: str) -> str:
    """Link a finished, durable file into `new` and return the new path.

    An existing link is no error: the message has been delivered already.
    """
    path = os.path.join(folder_path, "new", base_name)
    with contextlib.suppress(FileExistsError):
        os.link(source, path)
    return path


def write_tmp(folder_path: str, base_name: str, content: bytes) -> str:
    """Write a file into `tmp` and return its path; `make_durable` and `publish_file` come next."""
    path = os.path.join(folder_path, "tmp", base_name)
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
    """Make new files durable, names and content, with one flush for several where the file system can (`durability`).

    Raise OSError if the disk reports an error.
    """
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
    """Run `make_durable` in a thread while the block runs; raise its error at the end of the block."""
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
    """Rename a file from `tmp` to `new`.

    Another process may have found and published the file first. Raise OSError if it stays in `tmp`.
    """
    tmp_path, base_name = os.path.split(path)
    try:
        os.rename(path, os.path.join(os.path.dirname(tmp_path), "new", base_name))
    except FileNotFoundError:
        if os.path.exists(path):
            raise


def write_file(folder_path: str, base_name: str, parts: Iterable[bytes | memoryview]) -> str:
    """Write a new file with durable content and return its path; `sync_directories` makes its name durable.

    Two processes may write the same message at once: each has a file of its own in `tmp`, and either is complete when
    it is renamed.
    """
    temporary = os.path.join(folder_path, "tmp", f"{base_name}.{secrets.token_hex(4)}")
    path = os.path.join(folder_path, "new", base_name)
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
    """Make the names in these directories durable."""
    for name in directories:
        handle = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file_systems(directories: Iterable[str]) -> None:
    """Make everything in these directories durable: one flush for each file system where it can do that.

    Raise OSError if data was lost.
    """
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


def expected_path(folder_path: str, base_name: str, flags: int) -> str:
    """Return the path of a file if its flags have been written and no other program renamed it."""
    if flags:
        return f"{folder_path}/cur/{base_name}{wire_flags.to_info(flags)}"
    return f"{folder_path}/new/{base_name}"


def with_current_path(folder_path: str, base_name: str, flags: int, act: Callable[[str], T]) -> T:
    """Return `act(path)` for a message's file, whatever its current name.

    Another program may be writing flags into the name meanwhile: if the file moved, the search is repeated. Raise
    FileNotFoundError if there is no file.
    """
    with contextlib.suppress(FileNotFoundError):
        return act(expected_path(folder_path, base_name, flags))
    for _ in range(_FIND_ATTEMPTS):
        with contextlib.suppress(FileNotFoundError):
            return act(_find_once(folder_path, base_name, flags))
    raise FileNotFoundError(expected_path(folder_path, base_name, flags))


_FIND_ATTEMPTS = 5  # attempts; no program renames a file more often than that during a search


def find_file(folder_path: str, base_name: str, flags: int) -> str:
    """Return the path of a message's file, whatever its current name; raise FileNotFoundError if there is none."""
    return with_current_path(folder_path, base_name, flags, _existing_path)


def _existing_path(path: str) -> str:
    os.stat(path)
    return path


def _find_once(folder_path: str, base_name: str, flags: int) -> str:
    """Search every directory once for a message's file; a name that changes meanwhile may be missed."""
    path = expected_path(folder_path, base_name, flags)
    if os.path.exists(path):
        return path
    tmp_path = os.path.join(folder_path, "tmp", base_name)
    if os.path.exists(tmp_path):  # its rows were inserted, then the power failed
        try:
            publish_file(tmp_path)
        except OSError:
            return tmp_path  # it is readable there too
    for name in (f"{folder_path}/new/{base_name}", f"{folder_path}/cur/{base_name}:2,"):
        if os.path.exists(name):
            return name
    prefix = base_name + ":2,"
    with os.scandir(f"{folder_path}/cur") as entries:
        for entry in entries:
            if entry.name == base_name or entry.name.startswith(prefix):
                return entry.path
    raise FileNotFoundError(path)


def has_file(folder_path: str, base_name: str) -> bool:
    """Return True if this message has a file under any name."""
    try:
        find_file(folder_path, base_name, 0)
    except FileNotFoundError:
        return False
    return True


def read_message(folder_path: str, base_name: str, flags: int) -> bytes:
    """Return the whole message; raise FileNotFoundError if it has no file."""
    return with_current_path(folder_path, base_name, flags, _read_file)


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


def rename_flags(folder_path: str, base_name: str, flags: int) -> None:
    """Write the flags into the file's name; a missing file is left to the next reader to report."""
    new_flags = f"{folder_path}/cur/{base_name}{wire_flags.to_info(flags)}"
    with contextlib.suppress(FileNotFoundError):
        with_current_path(folder_path, base_name, flags, lambda path: os.rename(path, new_flags))


def remove_file(folder_path: str, base_name: str, flags: int) -> None:
    """Remove a message's file if it exists; a file left behind would be indexed as a new message."""
    with contextlib.suppress(FileNotFoundError):
        with_current_path(folder_path, base_name, flags, os.unlink)


def rename_expected(folder_path: str, changes: Iterable[tuple[str, int, int]]) -> list[str]:
    """Rename files that have their expected names: (base name, flags before, flags now).

    Return the base names of those that do not.
    """
    missing = []
    for base_name, before, now in changes:
        try:
            os.rename(
                expected_path(folder_path, base_name, before), f"{folder_path}/cur/{base_name}{wire_flags.to_info(now)}"
            )
        except FileNotFoundError:
            missing.append(base_name)
    return missing


def rename_files(folder_path: str, new_flags: Mapping[str, int]) -> None:
    """Write the flags of many messages (base name → flags) into their files' names."""
    if len(new_flags) < 20:
        for base_name, flags in new_flags.items():
            rename_flags(folder_path, base_name, flags)
        return
    for name in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(f"{folder_path}/{name}"):
                base_name = entry.partition(":2,")[0]
                if base_name not in new_flags:
                    continue
                path = f"{folder_path}/{name}/{entry}"
                target = f"{folder_path}/cur/{base_name}{wire_flags.to_info(new_flags[base_name])}"
                if path != target:
                    with contextlib.suppress(FileNotFoundError):
                        os.rename(path, target)


def remove_files(folder_path: str, base_names: Collection[str]) -> None:
    """Remove the files of many messages, given by their base names."""
    for name in ("new", "cur"):
        with contextlib.suppress(FileNotFoundError):
            for entry in os.listdir(f"{folder_path}/{name}"):
                if entry.partition(":2,")[0] in base_names:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(f"{folder_path}/{name}/{entry}")
