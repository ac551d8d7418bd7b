"""The content files of letters on the way: QUEUE_ROOT/6F24D148440, one a letter.

A file is written by whoever takes the letter in, is durable before its row exists, and is removed
after the row says that everybody has been served. A file without a row is a letter we never said 250
for; `sweep` removes it when it is old.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from django.conf import settings

from mailcore import anvil
from mailcore.store import maildir

# Queue ids count 2 µs ticks since 2020: they rise with time and have twelve hexadecimal digits until
# 2037, about as long as Postfix's. Ticks are dealt to processes in turn, so that ties are rare; the
# file made with O_EXCL, and the row's primary key, settle those.
_EPOCH = 1577836800
_TICKS = 500_000
_SLOTS = 64
_UNCLAIMED_AFTER = 86400  # seconds


def id_at(at_us: int) -> int:
    """What a queue id given at this time (µs) is at least; those of the same moment differ in their last bits."""
    return int((at_us / 1_000_000 - _EPOCH) * _TICKS) & -_SLOTS


def path(letter_id: int) -> str:
    return f"{settings.QUEUE_ROOT}/{letter_id:X}"


def parse_id(text: str) -> int:
    """The letter id of a queue id as people type it. ValueError if it is none."""
    number = int(text, 16)
    if not 0 < number < 1 << 62:
        raise ValueError(text)
    return number


class ContentFile:
    """A content file being written: kept in memory while small, on disk from `spill` octets on.

    `write` is cheap and may be called on the event loop as long as `full` is False; `flush` and
    `finish` touch the disk and belong into a thread.
    """

    spill = 256 * 1024

    def __init__(self) -> None:
        self.size = 0  # octets so far
        self._parts: list[bytes] = []
        self._buffered = 0
        self._handle = -1
        self.id = 0

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

    def open(self) -> int:
        """Choose the queue id; the file itself appears with the first octets on disk."""
        self.id = _next_id()
        return self.id

    def write(self, octets: bytes) -> None:
        self._parts.append(octets)
        self._buffered += len(octets)
        self.size += len(octets)

    def flush(self) -> None:
        """Write what is buffered. OSError when the disk refuses."""
        if self._handle < 0:
            self._handle = os.open(path(self.id), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        parts, self._parts, self._buffered = self._parts, [], 0
        view = memoryview(parts[0] if len(parts) == 1 else b"".join(parts))
        while view:
            view = view[os.write(self._handle, view) :]

    def finish(self) -> None:
        """Write the rest and make the content, and with it the new file's name, durable."""
        self.close()
        maildir.make_durable([path(self.id)])

    def close(self) -> None:
        """Write the rest. OSError when the disk refuses."""
        self.flush()
        os.close(self._handle)
        self._handle = -1

    def discard(self) -> None:
        """Forget the letter: nothing of it stays on disk."""
        self._parts.clear()
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path(self.id))


def finish(several: Sequence[ContentFile]) -> dict[int, OSError]:
    """`finish` for several files, with one flush of the disk for all of them where the system can. Returns what
    was refused, by letter id."""
    refused: dict[int, OSError] = {}
    for file in several:
        try:
            file.close()
        except OSError as error:
            refused[file.id] = error
    written = [file.id for file in several if file.id not in refused]
    try:
        maildir.make_durable([path(each) for each in written])
    except OSError as error:
        refused |= dict.fromkeys(written, error)
    return refused


_last_id = 0


def _next_id() -> int:
    global _last_id
    tick = int((time.time() - _EPOCH) * _TICKS)
    wanted = tick - tick % _SLOTS + (anvil.process() or os.getpid()) % _SLOTS
    if wanted <= _last_id:
        wanted = _last_id + _SLOTS
    _last_id = wanted
    return wanted


def remove(letter_id: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path(letter_id))


def sync_directory() -> None:
    """Make the names of new files durable."""
    handle = os.open(settings.QUEUE_ROOT, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def header(letter_id: int, skip: int, limit: int) -> bytes:
    """The first `limit` octets of a letter's content, its local trace headers not counted."""
    with open(path(letter_id), "rb") as file:
        file.seek(skip)
        return file.read(limit)


def present() -> Iterator[int]:
    """Ids of all content files."""
    for name in os.listdir(settings.QUEUE_ROOT):
        with contextlib.suppress(ValueError):
            yield parse_id(name)


def unclaimed() -> Iterator[int]:
    """Ids of files old enough that their letter would have a row by now, had it been accepted."""
    before = time.time() - _UNCLAIMED_AFTER
    with os.scandir(settings.QUEUE_ROOT) as entries:
        for entry in entries:
            with contextlib.suppress(ValueError, FileNotFoundError):
                if entry.stat().st_mtime < before:
                    yield parse_id(entry.name)


_free: tuple[float, str, int] = (0.0, "", 0)  # when it was looked at, where, octets


def free() -> int:
    """Octets the queue's file system has for us; looked at once a second."""
    global _free
    now, root = time.monotonic(), str(settings.QUEUE_ROOT)
    if now - _free[0] > 1.0 or _free[1] != root:
        status = os.statvfs(root)
        _free = (now, root, status.f_bavail * status.f_frsize)
    return _free[2]


def make_directories() -> None:
    for directory in (settings.QUEUE_ROOT, settings.CORRUPT_ROOT):
        Path(directory).mkdir(parents=True, exist_ok=True, mode=0o700)
