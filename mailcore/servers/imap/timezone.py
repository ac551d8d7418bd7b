"""The server's time zone, in which INTERNALDATE is shown and a search's day begins."""

from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.conf import settings

_QUARTER = 900  # seconds: zones change at quarters of an hour


def utc_offset(moment: int) -> int:
    """Seconds the zone is ahead of UTC at `moment` (seconds since 1970)."""
    return _offset(moment // _QUARTER)


@lru_cache(65536)
def _offset(quarter: int) -> int:
    try:
        when = datetime.fromtimestamp(quarter * _QUARTER, UTC)
    except (OverflowError, ValueError, OSError):
        return 0
    offset = when.astimezone(ZoneInfo(settings.TIME_ZONE)).utcoffset()
    seconds = int(offset.total_seconds()) if offset is not None else 0
    return seconds - seconds % 60  # before standard time zones had seconds, IMAP's have none
