"""Reading the mail log: its lines by words and level, from the end or as they are written.

Used by `maillog` and the administrator's screens; `mailcore.logs.writer` writes.
"""

import os
import re
import select
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

# What Postfix writes after the program's name, or after a queue id; worse ones later.
LEVELS = ("reject", "warning", "error", "fatal", "panic")
_LEVEL = re.compile(r"\]: (?:[0-9A-Za-z]+: )?(?:[a-z-]*?)(reject|warning|error|critical|fatal|panic)(?:_warning)?: ")
_LOOK_AGAIN = 0.5  # seconds between two looks at a log that is followed


class LogFilter:
    """Lines that hold all these words (capitals make no difference), are of this level or worse, and were written
    from `since` on and before `until`."""

    def __init__(
        self,
        words: Iterable[str],
        level: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> None:
        self._words = [word.lower() for word in words]
        self._levels = set(LEVELS[LEVELS.index(level) :]) if level else None
        self._since, self._until = since, until
        self._now = datetime.now().astimezone()

    def has(self, line: str) -> bool:
        folded = line.lower()
        if not all(word in folded for word in self._words):
            return False
        if (self._since or self._until) and not self._is_in_time(line):
            return False
        return self._levels is None or level_of(line) in self._levels

    def _is_in_time(self, line: str) -> bool:
        at = parse_timestamp(line, self._now)
        return at is not None and (self._since or at) <= at and (self._until is None or at < self._until)


def parse_timestamp(line: str, now: datetime) -> datetime | None:
    """When a line was written, in local time. Its stamp has no year: it is the last such day that has been."""
    try:
        at = datetime.strptime(f"{now.year} {line[:15]}", "%Y %b %d %H:%M:%S").astimezone()
    except ValueError:
        return None
    return at.replace(year=at.year - 1) if at > now + timedelta(days=1) else at


def parse_time(text: str, now: datetime) -> datetime:
    """A point in time as people type it: 14:05, 14:05:09 (today), 2026-11-22, 2026-11-22 14:05, or so long ago: 90s,
    30m, 2h, 7d. ValueError."""
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text.strip()):
        return now - timedelta(seconds=int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]])
    if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text.strip()):
        text = f"{now.date()} {text.strip().rjust(5, '0')}"
    return datetime.fromisoformat(text.strip()).astimezone()


def level_of(line: str) -> str:
    """The level a log line says it has, "" for ordinary ones."""
    match = _LEVEL.search(line)
    if match is None:
        return ""
    return "fatal" if match[1] == "critical" else match[1]


def read_lines(file: Iterable[str]) -> Iterator[str]:
    for line in file:
        yield line.rstrip("\n")


def last_lines(path: str, wanted: LogFilter, count: int, octets: int) -> list[str]:
    """The last `count` wanted lines among the file's last `bytes`, newest first. FileNotFoundError: there is no log
    yet."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - octets))
        text = file.read().decode("utf-8", "replace")
    whole = text.splitlines()[1 if size > octets else 0 :]  # the first may be half a line
    return list(deque((line for line in whole if wanted.has(line)), maxlen=count))[::-1]


def follow_lines(path: str, position: int) -> Iterator[str]:
    """Lines written from `position` on, for ever; a log that was rotated is read on in the new file."""
    handle, rest = -1, b""
    while True:
        if handle < 0:
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                select.select([], [], [], _LOOK_AGAIN)
                continue
            os.lseek(handle, position, os.SEEK_SET)
        if block := os.read(handle, 1 << 16):
            *lines, rest = (rest + block).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
            continue
        if _is_replaced(path, handle):
            os.close(handle)
            handle, position, rest = -1, 0, b""
        else:
            select.select([], [], [], _LOOK_AGAIN)


def _is_replaced(path: str, handle: int) -> bool:
    """Has the path become another file, or is the file shorter than what was read?"""
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    old = os.fstat(handle)
    return (now.st_ino, now.st_dev) != (old.st_ino, old.st_dev) or now.st_size < os.lseek(handle, 0, os.SEEK_CUR)
