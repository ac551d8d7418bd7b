"""Formatting of strings, flags and dates in responses (RFC 9051 §9)."""

import re
from functools import lru_cache

from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.message.dates import MONTHS

_UNQUOTABLE = re.compile(rb'[\x00\r\n"\\\x80-\xff]')
_MONTH_NAMES = [name.capitalize() for name in MONTHS]


def format_string(value: bytes) -> bytes:
    """Return a quoted string if possible, else a literal."""
    if len(value) < 1024 and not _UNQUOTABLE.search(value):
        return b'"' + value + b'"'
    if len(value) < 1024 and value.isascii() and not re.search(rb"[\x00\r\n]", value):
        return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return format_literal(value)


def format_literal(value: bytes) -> bytes:
    """Return a literal; NUL, which it must not contain, becomes 0x80, so that sizes stay correct."""
    if b"\0" in value:
        value = value.replace(b"\0", b"\x80")
    return b"{%d}\r\n%b" % (len(value), value)


def format_literal8(value: bytes) -> bytes:
    """Return a literal8, which may contain NUL (RFC 3516)."""
    return b"~{%d}\r\n%b" % (len(value), value)


def format_nstring(value: bytes | None) -> bytes:
    return b"NIL" if value is None else format_string(value)


def format_text(value: str, utf8: bool = False) -> bytes:
    """Return decoded text: a quoted UTF-8 string if the client supports it, else a literal."""
    raw = value.encode("utf-8")
    if utf8 and len(raw) < 1024 and not re.search(rb"[\x00\r\n]", raw):
        return b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
    return format_string(raw)


@lru_cache(8192)
def format_flags(flags: int, keywords: str, recent: bool = False) -> bytes:
    r"""Return a flag list such as (\\Seen $Forwarded)."""
    found = [name for bit, name in wire_flags.NAMES.items() if flags & bit]
    if recent:
        found.append("\\Recent")
    return ("(" + " ".join(found + keywords.split()) + ")").encode("ascii")


@lru_cache(4096)
def _format_day(number: int) -> str:
    """Return a date such as 15-Feb-2007, with a space for the missing digit of the day (date-day-fixed)."""
    # Civil date from days, the inverse of dates.day_number.
    shifted = number + 719468
    era, of_era = divmod(shifted, 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + era * 400 + (month <= 2)
    return f"{day:2d}-{_MONTH_NAMES[month - 1]}-{year:04d}"


_CLOCK = [f"{minute:02d}:{second:02d}".encode() for minute in range(60) for second in range(60)]


@lru_cache(65536)
def _format_hour(number: int, offset: int) -> tuple[bytes, bytes]:
    """Return the text before and after minutes and seconds for hour `number` since 1970, local time."""
    sign, minutes = ("-", -offset // 60) if offset < 0 else ("+", offset // 60)
    day, hour = divmod(number, 24)
    zone = f' {sign}{minutes // 60:02d}{minutes % 60:02d}"'
    return f'"{_format_day(day)} {hour:02d}:'.encode(), zone.encode()


def format_date_time(moment: int, offset: int) -> bytes:
    """Return `moment` (seconds since 1970 UTC) as a quoted date-time in a zone `offset` seconds ahead of UTC."""
    number, within = divmod(moment + offset, 3600)
    before, after = _format_hour(number, offset)
    return before + _CLOCK[within] + after
