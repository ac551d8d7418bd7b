"""Hourly message counts from the mail log, and the queue's length at the end of each hour.

The log is counted once a minute, so that no message costs a write for statistics. An idle courier counts, and the
overview before it is shown; a lock lets only one of them. Each machine counts its own log and records its position
(`TrafficMark`). After log rotation, counting goes on in the new file; if the log goes elsewhere (maillog_file) nothing
is counted.
"""

import contextlib
import fcntl
import os
import re
import socket
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from time import time
from typing import IO

from django.conf import settings
from django.db import transaction
from django.db.models import F, Sum

from mailcore import conf
from mailcore.logs import writer
from mailcore.models import Queued, Traffic, TrafficMark

RECEIVED, SENT, DEFERRED, BOUNCED, REFUSED, SIGN_IN = "received", "sent", "deferred", "bounced", "refused", "sign-in"
KINDS = (RECEIVED, SENT, DEFERRED, BOUNCED, REFUSED)
WAITING = "waiting"  # A state, not a count: the queue's length when it was last measured in this hour.

_INTERVAL = 60  # Seconds.
_RUN_LIMIT = 16 << 20  # Bytes counted per run; the next run counts more.
_FIRST_RUN_LIMIT = 64 << 20  # Bytes counted of a log that was never counted; older lines are ignored.
_LINE = re.compile(
    rb"^(\w{3} [ \d]\d \d\d):\d\d:\d\d [^\n]*?\]: "
    rb"(?:[0-9A-F]+: (client=)|[0-9A-F]+: to=<[^\n]*, status=(sent|deferred|bounced) \("
    rb"|(?:NOQUEUE|[0-9A-F]+): (reject): |warning: (auth failed): )",
    re.MULTILINE,
)
_KIND_BY_WORD = {
    b"client=": RECEIVED, b"sent": SENT, b"deferred": DEFERRED, b"bounced": BOUNCED, b"reject": REFUSED,
    b"auth failed": SIGN_IN,
}  # fmt: skip
_MACHINE = socket.gethostname()[:64]

_counted = 0.0


def count_log() -> bool:
    """Count the log lines written since the last run. Return False if it is not due or another process counts."""
    global _counted
    if time() - _counted < _INTERVAL:
        return False
    _counted = time()
    with _exclusive_lock() as locked, contextlib.suppress(FileNotFoundError):
        if locked:
            _count_queue()
            if path := writer.log_path():
                with open(path, "rb") as file:
                    _count_lines(file)
    return locked


_WAITING_STATES = (
    Queued.State.INCOMING,
    Queued.State.ACTIVE,
    Queued.State.DEFERRED,
)  # Held messages wait because an administrator put them on hold.


def _count_queue() -> None:
    """Record the queue's length in one row, since all machines share the queue."""
    messages = Queued.unsettled.filter(state__in=_WAITING_STATES).count()
    Traffic.objects.update_or_create(
        machine="", hour=int(time() // 3600), kind=WAITING, defaults={"messages": messages}
    )


@contextlib.contextmanager
def _exclusive_lock() -> Iterator[bool]:
    settings.RUN_ROOT.mkdir(parents=True, exist_ok=True, mode=0o750)
    handle = os.open(settings.RUN_ROOT / f"traffic-{_MACHINE}.lock", os.O_CREAT | os.O_WRONLY, 0o640)
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


def _count_lines(file: IO[bytes]) -> None:
    state = os.fstat(file.fileno())
    mark = TrafficMark.objects.filter(machine=_MACHINE).first()
    if mark is None:
        start = max(0, state.st_size - _FIRST_RUN_LIMIT)
    else:
        start = mark.position if (mark.inode == state.st_ino and mark.position <= state.st_size) else 0
    file.seek(start)
    data = file.read(_RUN_LIMIT)
    data = data[: data.rfind(b"\n") + 1]  # The last line may be incomplete.
    counts: Counter[tuple[int, str]] = Counter()
    for match in _LINE.finditer(data):
        stamp, *words = match.groups()
        counts[_parse_hour(stamp, int(time() // 86400)), _KIND_BY_WORD[next(filter(None, words))]] += 1
    with transaction.atomic():
        for (hour, kind), messages in counts.items():
            row, created = Traffic.objects.get_or_create(
                machine=_MACHINE, hour=hour, kind=kind, defaults={"messages": messages}
            )
            if not created:
                Traffic.objects.filter(pk=row.pk).update(messages=F("messages") + messages)
        position = {"inode": state.st_ino, "position": start + len(data)}
        TrafficMark.objects.update_or_create(machine=_MACHINE, defaults=position)


@lru_cache(maxsize=64)
def _parse_hour(stamp: bytes, today: int) -> int:
    """Return the hours since 1970 of "Nov 22 14", which has no year: the latest that is not after tomorrow.

    `today` only makes the cache expire.
    """
    now = datetime.fromtimestamp(time()).astimezone()
    moment = datetime.strptime(f"{now.year} {stamp.decode()}", "%Y %b %d %H").astimezone()
    if moment > now + timedelta(days=1):
        moment = moment.replace(year=now.year - 1)
    return int(moment.timestamp() // 3600)


def hourly_counts(first: int, last: int) -> dict[int, dict[str, int]]:
    """Return hour → kind → messages, summed over all machines; hours without messages are left out."""
    rows = Traffic.objects.filter(hour__range=(first, last)).values_list("hour", "kind").order_by()
    counts: dict[int, dict[str, int]] = {}
    for hour, kind, messages in rows.annotate(n=Sum("messages")):
        counts.setdefault(hour, {})[kind] = messages
    return counts


@dataclass(frozen=True, slots=True)
class WaitingCounts:
    """The queue's length now, at the end of the last hour, of the hour before, and a day ago.

    None means that it was not measured then.
    """

    now: int
    last_hour: int | None
    hour_before: int | None
    day_ago: int | None

    MORE, TIMES = 50, 1.5

    @property
    def growing(self) -> bool:
        """True if the queue grew from hour to hour, by at least MORE messages and to at least TIMES as many.

        The two thresholds leave out the fluctuations of a normal day.
        """
        if self.last_hour is None or self.hour_before is None or not self.hour_before < self.last_hour < self.now:
            return False
        return self.now >= max(self.hour_before + self.MORE, self.hour_before * self.TIMES)


def waiting_counts() -> WaitingCounts:
    hour = int(time() // 3600)
    rows = Traffic.objects.filter(kind=WAITING, hour__in=(hour - 1, hour - 2, hour - 24))
    then = dict(rows.values_list("hour", "messages"))
    now = Queued.unsettled.filter(state__in=_WAITING_STATES).count()
    return WaitingCounts(now, then.get(hour - 1), then.get(hour - 2), then.get(hour - 24))


def delete_old_counts() -> None:
    """Delete counts older than traffic_history_time."""
    Traffic.objects.filter(hour__lt=int((time() - conf.current().traffic_history_time) // 3600)).delete()
