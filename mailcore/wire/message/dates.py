"""Parser of Date fields (RFC 5322 §3.3, obsolete forms, and other formats that programs write)."""

import re
from functools import lru_cache

_DATE = re.compile(
    r"(\d{1,2})[ \t-]+([A-Za-z]{3})[A-Za-z]*\.?[ \t,-]+(\d{2,4})"
    r"(?:,?[ \t]+(\d{1,2})[:.](\d{2})(?:[:.](\d{2})(?:\.\d+)?)?(?:[ \t]*([AaPp])[Mm])?"
    r"(?:[ \t]*(?:GMT|UTC)?([+-]\d{1,2}:?\d{2})|[ \t]*\(?([A-Za-z]{1,5}))?)?"
)
# asctime: Thu Sep 12 10:03:07 2002
_ASCTIME = re.compile(
    r"(?<![A-Za-z])([A-Za-z]{3})[A-Za-z]*+[ \t]+(\d{1,2})[ \t]+(\d{1,2}):(\d{2})(?::(\d{2}))?[ \t]+"
    r"(?:([A-Za-z]{1,5})[ \t]+)?(\d{4})(?:[ \t]+([+-]\d{4}))?"
)
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})[T \t](\d{2}):(\d{2})(?::(\d{2}))?(?:\.\d+)?[ \t]*(Z|[+-]\d{2}:?\d{2})?")
NO_DATE = 32_000  # stands in the place of the zone of a message that has no readable Date; no zone is as far away
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MIDNIGHT = 24 * 3600
_MONTH = {name: number for number, name in enumerate(MONTHS, 1)}
_ZONES = {"ut": 0, "gmt": 0, "utc": 0, "z": 0, "est": -300, "edt": -240, "cst": -360, "cdt": -300, "mst": -420,
          "mdt": -360, "pst": -480, "pdt": -420, "cet": 60, "cest": 120, "met": 60, "mest": 120, "eet": 120,
          "eest": 180, "bst": 60, "msk": 180, "hkt": 480, "jst": 540, "kst": 540}  # fmt: skip


@lru_cache(4096)
def day_number(year: int, month: int, day: int) -> int:
    """Return the days since 1970-01-01 in the Gregorian calendar; `day` may exceed the length of its month."""
    shifted = year - (month <= 2)
    era_year = shifted % 400
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return shifted // 400 * 146097 + era_year * 365 + era_year // 4 - era_year // 100 + day_of_year - 719468


def parse_date(value: str) -> tuple[int, int] | None:
    """Parse a Date value into (seconds since 1970 UTC, minutes its zone is ahead of UTC), or None if unreadable.

    An invalid time is 00:00:00, an invalid zone UTC (RFC 5256 §2.2). A leap second and 24:00 are the last second of
    their day, which is the day that SENTON asks for.
    """
    value = value[:200]
    if match := _DATE.search(value):
        day, name, year, hour, minute, second, half, offset, zone = match.groups()
        return _timestamp(year, _MONTH.get(name.lower(), 0), day, hour, minute, second, offset or zone, half)
    if match := _ASCTIME.search(value):
        name, day, hour, minute, second, zone, year, offset = match.groups()
        return _timestamp(year, _MONTH.get(name.lower(), 0), day, hour, minute, second, offset or zone)
    if match := _ISO.search(value):
        year, month, day, hour, minute, second, zone = match.groups()
        return _timestamp(year, int(month), day, hour, minute, second, zone)
    return None


def _timestamp(
    year: str, month: int, day: str, hour: str | None, minute: str | None, second: str | None, zone: str | None,
    half: str | None = None,
) -> tuple[int, int] | None:  # fmt: skip
    full_year = int(year)
    if len(year) < 4:  # two- and three-digit years, RFC 5322 §4.3
        full_year += 2000 if len(year) == 2 and full_year < 50 else 1900
    hours, minutes, seconds = int(hour or 0), int(minute or 0), int(second or 0)
    if half:
        hours = hours % 12 + (12 if half in "pP" else 0)
    if not (1 <= month <= 12 and 1 <= int(day) <= 31) or full_year < 1900:
        return None
    time = hours * 3600 + minutes * 60 + seconds
    if hours > 24 or minutes > 59 or seconds > 61 or time > _MIDNIGHT + 1:
        time = 0
    offset = _offset(zone)
    days = day_number(full_year, month, int(day))
    return days * 86400 + min(time, _MIDNIGHT - 1) - offset * 60, offset


def _offset(zone: str | None) -> int:
    if not zone:
        return 0
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "").rjust(4, "0")
        minutes = int(digits[:2]) * 60 + int(digits[2:])
        return (-minutes if zone[0] == "-" else minutes) if minutes < 24 * 60 else 0
    return _ZONES.get(zone.lower(), 0)
