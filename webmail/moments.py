"""Dates as pages write them, short in lists and whole beside a letter; in the active language and time zone."""

import functools
from collections.abc import Callable
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.dates import MONTHS, MONTHS_3, WEEKDAYS
from django.utils.translation import get_language
from django.utils.translation import gettext as _

_CHINESE_DAYS = "一二三四五六日"


def short(manner: str = "friendly") -> Callable[[datetime | None], str]:
    """A function that writes dates for a list, all of them as seen from this moment. `manner` is one of
    options.DATE_FORMATS."""
    now = timezone.localtime()
    zone = now.tzinfo
    if manner != "friendly":
        pattern = "%Y-%m-%d" if manner == "iso" else "%Y-%m-%d %H:%M"
        return lambda moment: moment.astimezone(zone).strftime(pattern) if moment else ""
    today, yesterday = now.date(), now.date() - timedelta(days=1)
    chinese, months, word = _chinese(), _names(get_language() or "")[2], _("Yesterday")

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
            return f"{day.month}月{day.day}日" if chinese else f"{day.day} {months[day.month - 1]}"
        return f"{day:%Y-%m-%d}"

    return friendly


def full(moment: datetime | None) -> str:
    """2026年9月12日 星期六 14:05, or Saturday 12 September 2026, 14:05."""
    return whole()(moment)


def whole() -> Callable[[datetime | None], str]:
    """`full` for many dates: language and time zone are looked up once."""
    zone, chinese = timezone.get_current_timezone(), _chinese()
    weekdays, months, _short = _names(get_language() or "")

    def written(moment: datetime | None) -> str:
        if moment is None:
            return ""
        local = moment.astimezone(zone)
        if chinese:
            day = f"{local.year}年{local.month}月{local.day}日 星期{_CHINESE_DAYS[local.weekday()]}"
            return f"{day} {local.hour:02}:{local.minute:02}"
        day = f"{weekdays[local.weekday()]} {local.day} {months[local.month - 1]} {local.year}"
        return f"{day}, {local.hour:02}:{local.minute:02}"

    return written


def _chinese() -> bool:
    return (get_language() or "").startswith("zh")


@functools.lru_cache(16)
def _names(language: str) -> tuple[list[str], list[str], list[str]]:
    """Weekdays, months, and months shortened, in this (the active) language."""
    months = [str(MONTHS[n]) for n in range(1, 13)]
    return [str(WEEKDAYS[n]) for n in range(7)], months, [str(MONTHS_3[n]).title() for n in range(1, 13)]
