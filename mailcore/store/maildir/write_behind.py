"""Write-behind: small messages are committed inside the database until the disk has their files.

A commit flushes the disk once for all it holds; a file of its own costs one more flush for each message. So the file of
a small message is written without waiting for the disk, its content is inserted beside its rows, and once a second all
files are made durable together (`flush_to_disk`), after which the copies are deleted. `recover_messages` writes files
again that a power failure lost in between.

Used by `mailbox.insert` for deliveries and APPEND; the server processes call `flush_to_disk` and `recover_messages`.
"""

import contextlib
import os
from collections.abc import Mapping, Sequence
from threading import Lock

from django.db import transaction

from mailcore.logs import writer
from mailcore.models import Message, Unsynced
from mailcore.store.db.compiled_queries import execute, insert_rows
from mailcore.store.db.message_table import table_name
from mailcore.store.maildir import durability, maildir_files
from mailcore.store.processes import locks

_MAX_INLINE_SIZE = 32 * 1024  # bytes; writing more than this twice costs more than the flush it saves
_BATCH = 500

_lock = Lock()
_ids: list[int] = []
_directories: set[str] = set()


def fits_inline(size: int, directory: str) -> bool:
    """Return True if a message of this size in this directory is stored in its transaction.

    If not, its file must be durable before the transaction commits.
    """
    return size <= _MAX_INLINE_SIZE and durability.can_sync_all(directory)


def attach_content(messages: Sequence[tuple[int, str, bytes]]) -> None:
    """Store content in the transaction that inserts its messages: (message id, path of its file, content)."""
    if messages:
        insert_rows(Unsynced, ("message_id", "octets"), [(key, content) for key, _, content in messages])
        transaction.on_commit(lambda: _track_messages(messages))


def _track_messages(messages: Sequence[tuple[int, str, bytes]]) -> None:
    with _lock:
        _ids.extend(key for key, _, _ in messages)
        _directories.update(os.path.dirname(path) for _, path, _ in messages)


def has_pending() -> bool:
    """Return True if this process has files to flush."""
    return bool(_ids)


def flush_to_disk() -> None:
    """Make the files written by this process durable and delete their copies in the database.

    Raise OSError if the disk reports an error; everything then stays as it was.
    """
    with _lock:
        ids, directories = _ids.copy(), _directories.copy()
    maildir_files.sync_file_systems(directories)
    _drop_content(ids)
    with _lock:
        del _ids[: len(ids)]
        if not _ids:
            _directories.clear()


def sync_directory(directory: str) -> None:
    """Make new links in `directory` durable, names and content.

    A second link to a file whose content is in the database for its first message only would be lost together with the
    file.
    """
    if durability.can_sync_all(directory) and Unsynced.objects.exists():
        maildir_files.sync_file_systems([directory])
    else:
        maildir_files.sync_directories([directory])


def recover_messages() -> int:
    """Restore files lost in a power failure, at the start of a server process; return their number.

    One process recovers at a time; later ones find nothing left to do. Others may be working meanwhile: a copy that
    equals its file needs nothing. A message that cannot be restored is logged and its copy is kept.
    """
    with locks.exclusive("recovery"):
        restored, last = 0, 0
        while True:
            rows = Unsynced.objects.filter(message_id__gt=last).order_by("message_id")
            contents = dict(rows.values_list("message_id", "octets")[:_BATCH])
            if not contents:
                return restored
            restored += _recover(contents)
            last = max(contents)


_StoredMessage = tuple[int, str, int, str, str]  # id, base name, flags, the mailbox's folder, its account's address


def _fetch_stored(ids: Sequence[int]) -> list[_StoredMessage]:
    columns = ("id", "base_name", "flags", "mailbox__folder", "mailbox__account__address")
    return list(Message.objects.filter(id__in=ids).values_list(*columns))


def _recover(contents: Mapping[int, bytes | memoryview]) -> int:
    restored = 0
    paths: list[str] = []
    failed: set[int] = set()
    for stored in _fetch_stored(list(contents)):
        key, base_name, _, folder, address = stored
        try:
            was_restored, path = _restore_file(stored, bytes(contents[key]))
        except OSError as error:
            failed.add(key)
            writer.write(
                "master",
                f"error: a message of {address} in {folder or 'INBOX'} cannot be restored: {base_name}: {error}",
            )
            continue
        restored += was_restored
        if path:
            paths.append(path)
    try:
        maildir_files.make_durable(paths)
    except OSError as error:
        writer.write("master", f"error: fsync of restored messages failed; will retry at the next start: {error}")
    else:
        _drop_content([key for key in contents if key not in failed])
    return restored


def _restore_file(stored: _StoredMessage, content: bytes) -> tuple[bool, str]:
    """Return (True if the file was written again, its path).

    The path is "" if the message has been moved or expunged meanwhile.
    """
    key, base_name, flags, folder, address = stored
    directory = maildir_files.folder_directory(address, folder)
    with contextlib.suppress(FileNotFoundError):
        if maildir_files.read_message(directory, base_name, flags) == content:
            return False, maildir_files.find_file(directory, base_name, flags)
    if _fetch_stored([key]) != [stored]:
        return False, ""
    maildir_files.remove_file(directory, base_name, flags)
    try:
        maildir_files.write_file(directory, base_name, [content])
    except FileNotFoundError:
        maildir_files.create_folder(address, folder)  # the power failure took the folder as well
        maildir_files.write_file(directory, base_name, [content])
    if flags:
        maildir_files.rename_flags(directory, base_name, flags)
    return True, maildir_files.find_file(directory, base_name, flags)


def _drop_content(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _BATCH):
        id_list = ",".join(map(str, ids[start : start + _BATCH]))
        with transaction.atomic():  # takes the write lock first, in turn with other writers
            execute(f"DELETE FROM {_TABLE} WHERE message_id IN ({id_list})")


_TABLE = table_name(Unsynced)
