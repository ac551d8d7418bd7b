"""The content files of messages on the way: QUEUE_ROOT/6F24D148440, one a message.

A file is written by whoever takes the message in, is durable before its row exists, and is removed
after the row says that everybody has been served. A file without a row is a message we never said 250
for; `sweep` removes it when it is old.
"""

import contextlib
import os
import time
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError

from mailcore.logs import writer
from mailcore.mta.queue import queue_ids
from mailcore.mta.queue.queue_ids import first_id_at
from mailcore.store.maildir import maildir_files
from mailcore.values import TemporaryFault

__all__ = [
    "ContentFile",
    "content_path",
    "copy",
    "damage",
    "finish_files",
    "first_id_at",
    "free_space",
    "make_directories",
    "orphaned_ids",
    "parse_id",
    "read_header",
    "remove_content",
    "stored_ids",
    "sync_directory",
]

_UNCLAIMED_AFTER = 86400  # seconds
_ATTEMPTS = 20  # queue ids tried where files have them
_CHUNK = 1 << 18  # bytes read at once for a checksum


def content_path(queued_id: int) -> str:
    return f"{settings.QUEUE_ROOT}/{queued_id:X}"


def parse_id(text: str) -> int:
    """The message id of a queue id as people type it. ValueError if it is none."""
    number = int(text, 16)
    if not 0 < number < 1 << 62:
        raise ValueError(text)
    return number


class ContentFile:
    """A content file being written: kept in memory while small, on disk from `spill` bytes on.

    `write` is cheap and may be called on the event loop as long as `full` is False; `flush` and
    `finish` touch the disk and belong into a thread. The file is created when it does not exist; where its queue id
    has a file (two databases on one data folder, a restored backup), `id` changes. `discard` removes only what this
    object created.
    """

    spill = 256 * 1024

    def __init__(self) -> None:
        self.size = 0  # bytes so far
        self._parts: list[bytes] = []
        self._buffered = 0
        self._handle = -1
        self._created = False
        self.id = 0
        self.checksum = 0  # CRC-32 of what has been written to the file

    @property
    def full(self) -> bool:
        return self._buffered >= self.spill

    @property
    def in_memory(self) -> bool:
        """Nothing of it is on disk yet."""
        return self._handle < 0

    def octets(self) -> bytes:
        """What is in memory: everything, when `in_memory`."""
        return b"".join(self._parts)

    def open(self, *, reserved: bool = False) -> int:
        """Choose the queue id; the file itself appears with the first bytes on disk. `reserved`: never ask the
        database, but raise TemporaryFault where this process has no queue id reserved."""
        self.id = queue_ids.next_reserved() if reserved else queue_ids.next_id()
        return self.id

    def write(self, octets: bytes) -> None:
        self._parts.append(octets)
        self._buffered += len(octets)
        self.size += len(octets)

    def flush(self) -> None:
        """Write what is buffered. OSError when the disk refuses."""
        if self._handle < 0:
            self._handle = self._create()
        parts, self._parts, self._buffered = self._parts, [], 0
        view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        self.checksum = zlib.crc32(view, self.checksum)
        while view:
            view = view[os.write(self._handle, view) :]

    def _create(self) -> int:
        if self._created:
            return os.open(content_path(self.id), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
        for _ in range(_ATTEMPTS):
            try:
                handle = os.open(content_path(self.id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                self._choose_another()
            else:
                self._created = True
                return handle
        raise FileExistsError(content_path(self.id))

    def _choose_another(self) -> None:
        taken, self.id = self.id, queue_ids.next_id()
        writer.write("qmgr", f"{taken:X}: warning: this queue id is taken, the message goes on as {self.id:X}")

    def rename(self) -> None:
        """Go on under another queue id: a row has this one. The file is finished."""
        old = self.id
        for _ in range(_ATTEMPTS):
            self._choose_another()
            with contextlib.suppress(FileExistsError):
                os.link(content_path(old), content_path(self.id))
                break
        else:
            self.id = old
            raise FileExistsError(content_path(old))
        os.unlink(content_path(old))
        sync_directory()

    def finish(self) -> None:
        """Write the rest and make the content, and with it the new file's name, durable."""
        self.close()
        maildir_files.make_durable([content_path(self.id)])

    def close(self) -> None:
        """Write the rest. OSError when the disk refuses."""
        self.flush()
        os.close(self._handle)
        self._handle = -1

    def discard(self) -> None:
        """Forget the message: nothing of it stays on disk."""
        self._parts.clear()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._created:
            self._created = False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(content_path(self.id))


def finish_files(several: Sequence[ContentFile]) -> dict[ContentFile, Exception]:
    """`finish` for several files, with one flush of the disk for all of them where the system can. Returns what
    was refused."""
    refused: dict[ContentFile, Exception] = {}
    for file in several:
        try:
            file.close()
        except (OSError, DatabaseError, TemporaryFault) as error:  # a file whose id is taken asks for another one
            refused[file] = error
    written = [file for file in several if file not in refused]
    try:
        maildir_files.make_durable([content_path(file.id) for file in written])
    except OSError as error:
        refused |= dict.fromkeys(written, error)
    return refused


def copy(queued_id: int) -> int:
    """Give a content file a second queue id, durably; returns that. FileNotFoundError: there is none."""
    for _ in range(_ATTEMPTS):
        new_id = queue_ids.next_id()
        os.utime(content_path(queued_id))  # the new name is not to look like one that was left behind long ago
        with contextlib.suppress(FileExistsError):
            os.link(content_path(queued_id), content_path(new_id))
            sync_directory()
            return new_id
    raise FileExistsError(content_path(queued_id))


def damage(queued_id: int, size: int, checksum: int | None) -> str:
    """Say what is wrong with a content file of so many bytes; "" when nothing is. Without a checksum (messages of
    earlier versions) only the size is compared. OSError: it cannot be read now.

    CRC-32 finds what disks and file systems do: missing, zeroed and foreign blocks. Reading and checking takes 7 µs
    for 4 KiB and 0.5 ms for 1 MiB that the kernel has in memory."""
    try:
        with open(content_path(queued_id), "rb", buffering=0) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                return f"content file has {found} bytes instead of {size}"
            computed = 0
            while checksum is not None and (chunk := file.read(_CHUNK)):
                computed = zlib.crc32(chunk, computed)
    except FileNotFoundError:
        return "content file is missing"
    return "" if checksum is None or computed == checksum else "content file is damaged (checksum differs)"


def remove_content(queued_id: int) -> None:
    """Remove the content file of a message that the caller has ended."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(content_path(queued_id))


def sync_directory() -> None:
    """Make the names of new files durable."""
    handle = os.open(settings.QUEUE_ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_header(queued_id: int, skip: int, limit: int) -> bytes:
    """The first `limit` bytes of a message's content, its local trace headers not counted."""
    with open(content_path(queued_id), "rb") as file:
        file.seek(skip)
        return file.read(limit)


def stored_ids() -> Iterator[int]:
    """Ids of all content files."""
    for name in os.listdir(settings.QUEUE_ROOT):
        with contextlib.suppress(ValueError):
            yield parse_id(name)


def orphaned_ids() -> Iterator[int]:
    """Ids of files old enough that their message would have a row by now, had it been accepted."""
    before = time.time() - _UNCLAIMED_AFTER
    with os.scandir(settings.QUEUE_ROOT) as entries:
        for entry in entries:
            with contextlib.suppress(ValueError, FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield parse_id(entry.name)


_free: tuple[float, str, int] = (0.0, "", 0)  # when it was looked at, where, bytes


def free_space() -> int:
    """Bytes the queue's file system has for us; looked at once a second."""
    global _free
    now, root = time.monotonic(), str(settings.QUEUE_ROOT)
    if now - _free[0] > 1.0 or _free[1] != root:
        status = os.statvfs(root)
        _free = (now, root, status.f_bavail * status.f_frsize)
    return _free[2]


def make_directories() -> None:
    for directory in (settings.QUEUE_ROOT, settings.CORRUPT_ROOT):
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
