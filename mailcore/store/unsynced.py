"""Messages whose files the disk may not have yet: the transaction that enters them carries their content.

A commit flushes the disk once for all it holds; a file of its own costs a flush more for each message.
So a small message's file is written without waiting for the disk, its content goes into the commit
beside its rows, and once a second everything is made durable together (`settle`), after which the
carried content is dropped. What a power failure took in between `recover` writes again.

Used by `delivery.enter` for letters and APPEND; the server processes call `settle` and `recover`.
"""

import contextlib
import os
from collections.abc import Sequence
from threading import Lock

from django.db import transaction

from mailcore.models import Message, Unsynced
from mailcore.store import maildir
from mailcore.store.index import table
from mailcore.store.prepared import change, insert

_LARGEST = 32 * 1024  # octets; writing more twice costs more than the flush it spares
_AT_ONCE = 500

_lock = Lock()
_ids: list[int] = []
_places: set[str] = set()


def carries(size: int) -> bool:
    """Is a message of this size carried by its transaction? If not, its file is to be durable before."""
    return size <= _LARGEST and maildir.CAN_SYNC_ALL


def carry(messages: Sequence[tuple[int, str, bytes]]) -> None:
    """(message id, path of its file, content); call in the transaction that enters them."""
    if messages:
        insert(Unsynced, ("message_id", "octets"), [(key, content) for key, _, content in messages])
        transaction.on_commit(lambda: _remember(messages))


def _remember(messages: Sequence[tuple[int, str, bytes]]) -> None:
    with _lock:
        _ids.extend(key for key, _, _ in messages)
        _places.update(os.path.dirname(path) for _, path, _ in messages)


def waiting() -> bool:
    """Has this process something to settle?"""
    return bool(_ids)


def settle() -> None:
    """Make durable what this process has entered, and drop what was carried for it. OSError: the disk refuses, and
    everything stays as it is."""
    with _lock:
        ids, places = _ids.copy(), _places.copy()
    maildir.sync_all(places)
    _drop(ids)
    with _lock:
        del _ids[: len(ids)]
        if not _ids:
            _places.clear()


def sync_copied(directory: str) -> None:
    """Make durable what has just been linked into `directory`, names and content: a second link to a file that is
    carried for its first message only would be lost with it."""
    if maildir.CAN_SYNC_ALL and Unsynced.objects.exists():
        maildir.sync_all([directory])
    else:
        maildir.sync_directories([directory])


def recover() -> int:
    """Write again what a power failure took; at a server process's start. Returns how many messages that were.

    Others may be at work: what they carry is compared with its file and found right.
    """
    restored, last = 0, 0
    while True:
        rows = Unsynced.objects.filter(message_id__gt=last).order_by("message_id")
        carried = dict(rows.values_list("message_id", "octets")[:_AT_ONCE])
        if not carried:
            return restored
        found = Message.objects.filter(id__in=carried).values_list(
            "id", "base_name", "flags", "mailbox__folder", "mailbox__account__address"
        )
        places = set()
        for key, base_name, flags, folder, address in found:
            where = maildir.directory(address, folder)
            places.add(where)
            restored += _restore(where, base_name, flags, bytes(carried[key]))
        maildir.sync_all(places)
        _drop(list(carried))
        last = max(carried)


def _restore(where: str, base_name: str, flags: int, content: bytes) -> bool:
    with contextlib.suppress(FileNotFoundError):
        if maildir.read(where, base_name, flags) == content:
            return False
    maildir.remove(where, base_name, flags)
    maildir.write(where, base_name, [content])
    if flags:
        maildir.rename_flags(where, base_name, flags)
    return True


def _drop(ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        chosen = ",".join(map(str, ids[start : start + _AT_ONCE]))
        with transaction.atomic():  # in turn with other writers
            change(f"DELETE FROM {_TABLE} WHERE message_id IN ({chosen})")


_TABLE = table(Unsynced)
