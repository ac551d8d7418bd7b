"""Dates as clients see them: INTERNALDATE and SAVEDATE in the server's time zone."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings

from mailcore.wire.imap import response_format

_QUARTER = 900  # Seconds; UTC offsets change at quarters of an hour.


def format_internal_dates(moments: Iterable[int]) -> list[bytes]:
    """Format seconds since 1970 as quoted date-times."""
    out = []
    for moment in moments:
        before, clock, after = _quarter_hour_parts(moment // _QUARTER)
        out.append(before + clock[moment % _QUARTER] + after)
    return out


@lru_cache(65536)
def _quarter_hour_parts(number: int) -> tuple[bytes, list[bytes], bytes]:
    """Return the parts common to a quarter of an hour: date and hour, minutes and seconds, zone."""
    start = number * _QUARTER
    offset = _utc_offset(start)
    first = response_format.format_date_time(start, offset)
    return first[:16], _minute_text(int(first[16:18])), first[21:]


@lru_cache(64)
def _minute_text(minute: int) -> list[bytes]:
    return [b"%02d:%02d" % (minute + second // 60, second % 60) for second in range(_QUARTER)]


def _utc_offset(moment: int) -> int:
    try:
        when = datetime.fromtimestamp(moment, UTC)
    except (OverflowError, ValueError, OSError):
        return 0
    offset = when.astimezone(ZoneInfo(settings.TIME_ZONE)).utcoffset()
    seconds = int(offset.total_seconds()) if offset is not None else 0
    return seconds - seconds % _QUARTER  # Before standard time zones, offsets had odd seconds.
