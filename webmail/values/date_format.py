"""Dates as pages show them, short in lists and complete beside a message, in the active language and time zone."""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import dateformat, formats, timezone
from django.utils.dates import MONTHS, MONTHS_3, WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext as _

_CHINESE_DAYS = "一二三四五六日"
_EAST = {"zh": "%d月%d日", "ja": "%d月%d日", "ko": "%d월 %d일"}  # month and day; complete dates begin with the year


def short_formatter(style: str = "friendly") -> Callable[[datetime | None], str]:
    """Return a function that formats dates for a list, relative to the present moment.

    `style` is one of `DATE_FORMATS` in `webmail.account.preferences`.
    """
    now = timezone.localtime()
    zone = now.tzinfo
    if style != "friendly":
        pattern = "%Y-%m-%d" if style == "iso" else "%Y-%m-%d %H:%M"
        return lambda moment: moment.astimezone(zone).strftime(pattern) if moment else ""
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    language, word = get_language() or "", _("Yesterday")
    day_in_year = _EAST.get(language[:2])
    months, dot = _names(language)[2], "." if language == "de" else ""

    def friendly(moment: datetime | None) -> str:
        if moment is None:
            return ""
        local = moment.astimezone(zone)
        day = local.date()
        if day == today:
            return f"{local.hour:02}:{local.minute:02}"
        if day == yesterday:
            return word
        if day.year == today.year:
            return day_in_year % (day.month, day.day) if day_in_year else f"{day.day}{dot} {months[day.month - 1]}"
        return f"{day:%Y-%m-%d}"

    return friendly


def format_full(moment: datetime | None) -> str:
    """Format a date and time in full: 2026年9月12日 星期六 14:05, Saturday 12 September 2026, 14:05."""
    return full_formatter()(moment)


def full_formatter() -> Callable[[datetime | None], str]:
    """Return `format_full` for many dates: the language and the time zone are read once."""
    zone, language = timezone.get_current_timezone(), get_language() or ""
    chinese, english = language.startswith("zh"), language.startswith("en")
    weekdays, months, _short = _names(language)
    day, comma = formats.get_format("DATE_FORMAT"), "،" if language in ("ar", "fa") else ","
    pattern = f"{day} l H:i" if language[:2] in _EAST else f"l{comma} {day}{comma} H:i"

    def format_date(moment: datetime | None) -> str:
        if moment is None:
            return ""
        local = moment.astimezone(zone)
        if chinese:
            day = f"{local.year}年{local.month}月{local.day}日 星期{_CHINESE_DAYS[local.weekday()]}"
            return f"{day} {local.hour:02}:{local.minute:02}"
        if not english:
            return dateformat.format(local, pattern)
        day = f"{weekdays[local.weekday()]} {local.day} {months[local.month - 1]} {local.year}"
        return f"{day}, {local.hour:02}:{local.minute:02}"

    return format_date


@functools.lru_cache(16)
def _names(language: str) -> tuple[list[str], list[str], list[str]]:
    """Return the weekdays, the months and the abbreviated months of `language`, which must be the active one."""
    months = [str(MONTHS[n]) for n in range(1, 13)]
    short = [str(MONTHS_3[n]) for n in range(1, 13)]
    return [str(WEEKDAYS[n]) for n in range(7)], months, [each.title() for each in short] if language == "en" else short
