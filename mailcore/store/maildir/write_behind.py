"""Messages whose files the disk may not have yet: the transaction that enters them carries their content.

A commit flushes the disk once for all it holds; a file of its own costs a flush more for each message.
So a small message's file is written without waiting for the disk, its content goes into the commit
beside its rows, and once a second everything is made durable together (`settle`), after which the
carried content is dropped. What a power failure took in between `recover` writes again.

Used by `delivery.enter` for messages and APPEND; the server processes call `settle` and `recover`.
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

_LARGEST = 32 * 1024  # bytes; writing more twice costs more than the flush it spares
_AT_ONCE = 500

_lock = Lock()
_ids: list[int] = []
_places: set[str] = set()


def fits_inline(size: int, directory: str) -> bool:
    """Is a message of this size, whose file is in this directory, carried by its transaction? If not, its file is to be
    durable before."""
    return size <= _LARGEST and durability.can_sync_all(directory)


def attach_content(messages: Sequence[tuple[int, str, bytes]]) -> None:
    """(message id, path of its file, content); call in the transaction that enters them."""
    if messages:
        insert_rows(Unsynced, ("message_id", "octets"), [(key, content) for key, _, content in messages])
        transaction.on_commit(lambda: _track_messages(messages))


def _track_messages(messages: Sequence[tuple[int, str, bytes]]) -> None:
    with _lock:
        _ids.extend(key for key, _, _ in messages)
        _places.update(os.path.dirname(path) for _, path, _ in messages)


def has_pending() -> bool:
    """Has this process something to settle?"""
    return bool(_ids)


def flush_to_disk() -> None:
    """Make durable what this process has entered, and drop what was carried for it. OSError: the disk refuses, and
    everything stays as it is."""
    with _lock:
        ids, places = _ids.copy(), _places.copy()
    maildir_files.sync_file_systems(places)
    _drop_content(ids)
    with _lock:
        del _ids[: len(ids)]
        if not _ids:
            _places.clear()


def sync_directory(directory: str) -> None:
    """Make durable what has just been linked into `directory`, names and content: a second link to a file that is
    carried for its first message only would be lost with it."""
    if durability.can_sync_all(directory) and Unsynced.objects.exists():
        maildir_files.sync_file_systems([directory])
    else:
        maildir_files.sync_directories([directory])


def recover_messages() -> int:
    """Write again what a power failure took; at a server process's start. Returns how many messages that were.

    One process does it at a time; those that come later find nothing left to do. Others may be at work: what they
    carry is compared with its file and found right. A message that cannot be restored is logged and stays carried.
    """
    with locks.exclusive("recovery"):
        restored, last = 0, 0
        while True:
            rows = Unsynced.objects.filter(message_id__gt=last).order_by("message_id")
            carried = dict(rows.values_list("message_id", "octets")[:_AT_ONCE])
            if not carried:
                return restored
            restored += _recover(carried)
            last = max(carried)


_Found = tuple[int, str, int, str, str]  # id, base name, flags, the mailbox's folder, its account's address


def _find(ids: Sequence[int]) -> list[_Found]:
    columns = ("id", "base_name", "flags", "mailbox__folder", "mailbox__account__address")
    return list(Message.objects.filter(id__in=ids).values_list(*columns))


def _recover(carried: Mapping[int, bytes | memoryview]) -> int:
    restored = 0
    paths: list[str] = []
    kept: set[int] = set()
    for found in _find(list(carried)):
        key, base_name, _, folder, address = found
        try:
            written, path = _restore_file(found, bytes(carried[key]))
        except OSError as error:
            kept.add(key)
            writer.write(
                "master",
                f"error: a message of {address} in {folder or 'INBOX'} cannot be restored: {base_name}: {error}",
            )
            continue
        restored += written
        if path:
            paths.append(path)
    try:
        maildir_files.make_durable(paths)
    except OSError as error:
        writer.write("master", f"error: restored messages are not durable in their files yet: {error}")
    else:
        _drop_content([key for key in carried if key not in kept])
    return restored


def _restore_file(found: _Found, content: bytes) -> tuple[bool, str]:
    """(Has the file been written again? Where it is.) "": the message has been moved or expunged meanwhile."""
    key, base_name, flags, folder, address = found
    where = maildir_files.folder_directory(address, folder)
    with contextlib.suppress(FileNotFoundError):
        if maildir_files.read_message(where, base_name, flags) == content:
            return False, maildir_files.find_file(where, base_name, flags)
    if _find([key]) != [found]:
        return False, ""
    maildir_files.remove_file(where, base_name, flags)
    try:
        maildir_files.write_file(where, base_name, [content])
    except FileNotFoundError:
        maildir_files.create_folder(address, folder)  # the power failure took the folder as well
        maildir_files.write_file(where, base_name, [content])
    if flags:
        maildir_files.rename_flags(where, base_name, flags)
    return True, maildir_files.find_file(where, base_name, flags)


def _drop_content(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        chosen = ",".join(map(str, ids[start : start + _AT_ONCE]))
        with transaction.atomic():  # in turn with other writers
            execute(f"DELETE FROM {_TABLE} WHERE message_id IN ({chosen})")


_TABLE = table_name(Unsynced)
