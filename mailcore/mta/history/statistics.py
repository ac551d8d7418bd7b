"""How many messages an hour: counted from the mail log once a minute, so that no message costs a write for it; and how
many wait in the queue at the end of each hour.

A courier counts when it has nothing else to do, the overview before it is drawn; a lock lets only one of them. Each
machine counts its own log and remembers how far (`TrafficMark`). A log that was rotated is read on in the new file;
where the log goes elsewhere (maillog_file) there is nothing to count.
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
WAITING = "waiting"  # no count but a state: the queue's length when this hour was last looked at

_EVERY = 60  # seconds
_AT_ONCE = 16 << 20  # bytes of one counting; more are the next one's
_FIRST = 64 << 20  # bytes of a log that was never counted: older ones are history
_LINE = re.compile(
    rb"^(\w{3} [ \d]\d \d\d):\d\d:\d\d [^\n]*?\]: "
    rb"(?:[0-9A-F]+: (client=)|[0-9A-F]+: to=<[^\n]*, status=(sent|deferred|bounced) \("
    rb"|(?:NOQUEUE|[0-9A-F]+): (reject): |warning: (auth failed): )",
    re.MULTILINE,
)
_WORDS = {
    b"client=": RECEIVED, b"sent": SENT, b"deferred": DEFERRED, b"bounced": BOUNCED, b"reject": REFUSED,
    b"auth failed": SIGN_IN,
}  # fmt: skip
_MACHINE = socket.gethostname()[:64]

_counted = 0.0


def count_log() -> bool:
    """Count what the log says since the last time. False: not yet due, or somebody else is at it."""
    global _counted
    if time() - _counted < _EVERY:
        return False
    _counted = time()
    with _exclusive_lock() as alone, contextlib.suppress(FileNotFoundError):
        if alone:
            _count_queue()
            if path := writer.log_path():
                with open(path, "rb") as file:
                    _count_lines(file)
    return alone


_GOING = (
    Queued.State.INCOMING,
    Queued.State.ACTIVE,
    Queued.State.DEFERRED,
)  # what is held waits because somebody said so


def _count_queue() -> None:
    """The queue is one for all machines, so is its row."""
    messages = Queued.unsettled.filter(state__in=_GOING).count()
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
        start = max(0, state.st_size - _FIRST)
    else:
        start = mark.position if (mark.inode == state.st_ino and mark.position <= state.st_size) else 0
    file.seek(start)
    octets = file.read(_AT_ONCE)
    octets = octets[: octets.rfind(b"\n") + 1]  # the last line may be half written
    found: Counter[tuple[int, str]] = Counter()
    for match in _LINE.finditer(octets):
        stamp, *words = match.groups()
        found[_parse_hour(stamp, int(time() // 86400)), _WORDS[next(filter(None, words))]] += 1
    with transaction.atomic():
        for (hour, kind), messages in found.items():
            row, fresh = Traffic.objects.get_or_create(
                machine=_MACHINE, hour=hour, kind=kind, defaults={"messages": messages}
            )
            if not fresh:
                Traffic.objects.filter(pk=row.pk).update(messages=F("messages") + messages)
        position = {"inode": state.st_ino, "position": start + len(octets)}
        TrafficMark.objects.update_or_create(machine=_MACHINE, defaults=position)


@lru_cache(maxsize=64)
def _parse_hour(stamp: bytes, today: int) -> int:
    """Hours since 1970 of "Nov 22 14", which has no year: the last one that is not after tomorrow. `today` is for the
    cache."""
    now = datetime.fromtimestamp(time()).astimezone()
    moment = datetime.strptime(f"{now.year} {stamp.decode()}", "%Y %b %d %H").astimezone()
    if moment > now + timedelta(days=1):
        moment = moment.replace(year=now.year - 1)
    return int(moment.timestamp() // 3600)


def hourly_counts(first: int, last: int) -> dict[int, dict[str, int]]:
    """hour → kind → messages, of all machines; hours without any are left out."""
    rows = Traffic.objects.filter(hour__range=(first, last)).values_list("hour", "kind").order_by()
    found: dict[int, dict[str, int]] = {}
    for hour, kind, messages in rows.annotate(n=Sum("messages")):
        found.setdefault(hour, {})[kind] = messages
    return found


@dataclass(frozen=True, slots=True)
class WaitingCounts:
    """How many messages wait, and how many did at the end of the last hour, of the one before, and a day ago.
    None: nobody looked then."""

    now: int
    last_hour: int | None
    hour_before: int | None
    day_ago: int | None

    MORE, TIMES = 50, 1.5

    @property
    def growing(self) -> bool:
        """From hour to hour, by more than the ups and downs of a day: at least MORE messages, and TIMES as many."""
        if self.last_hour is None or self.hour_before is None or not self.hour_before < self.last_hour < self.now:
            return False
        return self.now >= max(self.hour_before + self.MORE, self.hour_before * self.TIMES)


def waiting_counts() -> WaitingCounts:
    hour = int(time() // 3600)
    rows = Traffic.objects.filter(kind=WAITING, hour__in=(hour - 1, hour - 2, hour - 24))
    then = dict(rows.values_list("hour", "messages"))
    now = Queued.unsettled.filter(state__in=_GOING).count()
    return WaitingCounts(now, then.get(hour - 1), then.get(hour - 2), then.get(hour - 24))


def delete_old_counts() -> None:
    """Remove hours longer ago than traffic_history_time."""
    Traffic.objects.filter(hour__lt=int((time() - conf.current().traffic_history_time) // 3600)).delete()
