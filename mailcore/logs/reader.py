"""Reader of the mail log: filter its lines by words, level and time, from the end or as they are written.

Used by `maillog` and the administrator's screens; `mailcore.logs.writer` writes.
"""

import os
import re
import select
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

# The levels Postfix writes after the program's name or a queue id, the worst last.
LEVELS = ("reject", "warning", "error", "fatal", "panic")
_LEVEL = re.compile(r"\]: (?:[0-9A-Za-z]+: )?(?:[a-z-]*?)(reject|warning|error|critical|fatal|panic)(?:_warning)?: ")
_POLL_INTERVAL = 0.5  # seconds between two reads of a log that is followed


class LogFilter:
    """A filter for lines with all these words in any case, of this level or worse, in a range of time."""

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

    def matches(self, line: str) -> bool:
        folded = line.lower()
        if not all(word in folded for word in self._words):
            return False
        if (self._since or self._until) and not self._is_in_time(line):
            return False
        return self._levels is None or level_of(line) in self._levels

    def _is_in_time(self, line: str) -> bool:
        moment = parse_timestamp(line, self._now)
        return (
            moment is not None and (self._since or moment) <= moment and (self._until is None or moment < self._until)
        )


def parse_timestamp(line: str, now: datetime) -> datetime | None:
    """Return the local time of a line, or None if it has no timestamp.

    Timestamps have no year: the last such day is meant.
    """
    try:
        moment = datetime.strptime(f"{now.year} {line[:15]}", "%Y %b %d %H:%M:%S").astimezone()
    except ValueError:
        return None
    return moment.replace(year=moment.year - 1) if moment > now + timedelta(days=1) else moment


def parse_time(text: str, now: datetime) -> datetime:
    """Parse a time: 14:05, 14:05:09 (today), 2026-11-22, 2026-11-22 14:05, or an age: 90s, 30m, 2h, 7d.

    Raise ValueError for any other text.
    """
    if ago := re.fullmatch(r"(\d{1,6})([smhd])", text.strip()):
        return now - timedelta(seconds=int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]])
    if re.fullmatch(r"\d\d?:\d\d(:\d\d)?", text.strip()):
        text = f"{now.date()} {text.strip().rjust(5, '0')}"
    return datetime.fromisoformat(text.strip()).astimezone()


def level_of(line: str) -> str:
    """Return the level of a log line, "" for ordinary lines."""
    match = _LEVEL.search(line)
    if match is None:
        return ""
    return "fatal" if match[1] == "critical" else match[1]


def read_lines(file: Iterable[str]) -> Iterator[str]:
    """Yield lines without their line ends."""
    for line in file:
        yield line.rstrip("\n")


def last_lines(path: str, log_filter: LogFilter, count: int, size_limit: int) -> list[str]:
    """Return the last `count` matching lines among the file's last `size_limit` bytes, newest first.

    Raise FileNotFoundError if there is no log yet.
    """
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - size_limit))
        text = file.read().decode("utf-8", "replace")
    # Not splitlines(): only "\n" ends a line of the log. The first may be half a line, the last is empty.
    whole = text.split("\n")[1 if size > size_limit else 0 :]
    whole = whole[:-1] if whole and not whole[-1] else whole
    return list(deque((line for line in whole if log_filter.matches(line)), maxlen=count))[::-1]


def follow_lines(path: str, position: int) -> Iterator[str]:
    """Yield lines written from `position` on, forever; after a rotation continue in the new file."""
    handle, partial = -1, b""
    while True:
        if handle < 0:
            try:
                handle = os.open(path, os.O_RDONLY)
            except FileNotFoundError:
                select.select([], [], [], _POLL_INTERVAL)
                continue
            os.lseek(handle, position, os.SEEK_SET)
        if block := os.read(handle, 1 << 16):
            *lines, partial = (partial + block).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in lines)
            continue
        if _is_replaced(path, handle):
            os.close(handle)
            handle, position, partial = -1, 0, b""
        else:
            select.select([], [], [], _POLL_INTERVAL)


def _is_replaced(path: str, handle: int) -> bool:
    """Return True if the path names another file now, or the file is shorter than what was read."""
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    old = os.fstat(handle)
    return (now.st_ino, now.st_dev) != (old.st_ino, old.st_dev) or now.st_size < os.lseek(handle, 0, os.SEEK_CUR)
