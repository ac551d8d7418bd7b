"""The content files of queued messages: QUEUE_ROOT/6F24D148440, one per message.

A file is written by the process that receives the message, is durable before its row exists, and is removed after the
row says that all recipients are served. A file without a row belongs to a message that was never answered with 250;
`remove_orphaned_files` removes it when it is old.
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

_ORPHAN_AGE = 86400  # Seconds.
_ATTEMPTS = 20  # Queue ids tried if files with these names exist.
_CHUNK = 1 << 18  # Bytes read at once for a checksum.


def content_path(queued_id: int) -> str:
    return f"{settings.QUEUE_ROOT}/{queued_id:X}"


def parse_id(text: str) -> int:
    """Parse a queue id as typed by a person, and return the message id. Raise ValueError if it is none."""
    number = int(text, 16)
    if not 0 < number < 1 << 62:
        raise ValueError(text)
    return number


class ContentFile:
    """A content file being written: buffered in memory while small, on disk from `spill` bytes on.

    `write` is cheap and may be called on the event loop while `full` is False; `flush` and `finish` use the disk and
    belong in a thread. The file is created exclusively: if its queue id has a file already (two databases on one data
    directory, a restored backup), `id` changes. `discard` removes only a file created by this object.
    """

    spill = 256 * 1024

    def __init__(self) -> None:
        self.size = 0  # Bytes so far.
        self._parts: list[bytes] = []
        self._buffered = 0
        self._handle = -1
        self._created = False
        self.id = 0
        self.checksum = 0  # CRC-32 of the bytes written to the file.

    @property
    def full(self) -> bool:
        return self._buffered >= self.spill

    @property
    def in_memory(self) -> bool:
        """True if no byte is on disk yet."""
        return self._handle < 0

    def buffered(self) -> bytes:
        """Return the buffered bytes: the whole content if `in_memory`."""
        return b"".join(self._parts)

    def open(self, *, reserved: bool = False) -> int:
        """Choose the queue id and return it; the file itself is created with the first bytes on disk.

        `reserved`: do not query the database, but raise TemporaryFault if this process has no reserved queue id.
        """
        self.id = queue_ids.next_reserved() if reserved else queue_ids.next_id()
        return self.id

    def write(self, data: bytes) -> None:
        self._parts.append(data)
        self._buffered += len(data)
        self.size += len(data)

    def flush(self) -> None:
        """Write the buffer to the file. Raise OSError if the disk fails."""
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
                self._change_id()
            else:
                self._created = True
                return handle
        raise FileExistsError(content_path(self.id))

    def _change_id(self) -> None:
        old_id, self.id = self.id, queue_ids.next_id()
        writer.write("qmgr", f"{old_id:X}: warning: queue id already in use, message renamed to {self.id:X}")

    def rename(self) -> None:
        """Give a finished file another queue id, because a row has this one."""
        old = self.id
        for _ in range(_ATTEMPTS):
            self._change_id()
            with contextlib.suppress(FileExistsError):
                os.link(content_path(old), content_path(self.id))
                break
        else:
            self.id = old
            raise FileExistsError(content_path(old))
        os.unlink(content_path(old))
        sync_directory()

    def finish(self) -> None:
        """Write the rest and make the content and the file's name durable."""
        self.close()
        maildir_files.make_durable([content_path(self.id)])

    def close(self) -> None:
        """Write the rest and close the file. Raise OSError if the disk fails."""
        self.flush()
        os.close(self._handle)
        self._handle = -1

    def discard(self) -> None:
        """Discard the message and delete its file."""
        self._parts.clear()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        if self._created:
            self._created = False
            with contextlib.suppress(FileNotFoundError):
                os.unlink(content_path(self.id))


def finish_files(files: Sequence[ContentFile]) -> dict[ContentFile, Exception]:
    """Finish several files with one flush of the disk, where the system can; return the errors of those that failed."""
    errors: dict[ContentFile, Exception] = {}
    for file in files:
        try:
            file.close()
        # If its queue id has a file, a new id is requested from the database.
        except (OSError, DatabaseError, TemporaryFault) as error:
            errors[file] = error
    written = [file for file in files if file not in errors]
    try:
        maildir_files.make_durable([content_path(file.id) for file in written])
    except OSError as error:
        errors |= dict.fromkeys(written, error)
    return errors


def copy(queued_id: int) -> int:
    """Link a content file to a second queue id, durably, and return that. Raise FileNotFoundError if there is none."""
    for _ in range(_ATTEMPTS):
        new_id = queue_ids.next_id()
        os.utime(content_path(queued_id))  # The new name must not look like an orphaned file of long ago.
        with contextlib.suppress(FileExistsError):
            os.link(content_path(queued_id), content_path(new_id))
            sync_directory()
            return new_id
    raise FileExistsError(content_path(queued_id))


def damage(queued_id: int, size: int, checksum: int | None) -> str:
    """Return what is wrong with a content file of `size` bytes, "" if nothing is.

    Raise OSError if it cannot be read now.

    Without a checksum (messages of earlier versions) only the size is compared. CRC-32 finds the faults of disks and
    file systems: missing, zeroed and foreign blocks. Reading and checking takes 7 µs for 4 KiB and 0.5 ms for 1 MiB in
    the page cache.
    """
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
    """Remove the content file of a message that the caller has completed."""
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
    """Return the first `limit` bytes of a message's content after `skip` bytes of local trace headers."""
    with open(content_path(queued_id), "rb") as file:
        file.seek(skip)
        return file.read(limit)


def stored_ids() -> Iterator[int]:
    """Yield the ids of all content files."""
    for name in os.listdir(settings.QUEUE_ROOT):
        with contextlib.suppress(ValueError):
            yield parse_id(name)


def orphaned_ids() -> Iterator[int]:
    """Yield the ids of files so old that their messages would have rows if they had been accepted."""
    before = time.time() - _ORPHAN_AGE
    with os.scandir(settings.QUEUE_ROOT) as entries:
        for entry in entries:
            with contextlib.suppress(ValueError, FileNotFoundError):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    yield parse_id(entry.name)


_free: tuple[float, str, int] = (0.0, "", 0)  # Time of the last measurement, its directory, bytes.


def free_space() -> int:
    """Return the bytes available on the queue's file system, measured once a second."""
    global _free
    now, root = time.monotonic(), str(settings.QUEUE_ROOT)
    if now - _free[0] > 1.0 or _free[1] != root:
        status = os.statvfs(root)
        _free = (now, root, status.f_bavail * status.f_frsize)
    return _free[2]


def make_directories() -> None:
    for directory in (settings.QUEUE_ROOT, settings.CORRUPT_ROOT):
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
