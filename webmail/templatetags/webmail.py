"""Icons, sizes and dates as this webmail writes them."""

import functools
import hashlib
from datetime import datetime, timedelta
from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.templatetags.static import static
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language
from django.utils.translation import gettext as _

register = template.Library()
_WEEKDAYS = "一二三四五六日"


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of templates/webmail/icons.html; it says nothing to a screen reader, the words beside it do."""
    return format_html('<svg class="i" aria-hidden="true"><use href="#i-{}"/></svg>', name)


@functools.cache
def _version(path: str) -> str:
    found = finders.find(path)
    return hashlib.blake2b(Path(str(found)).read_bytes(), digest_size=6).hexdigest() if found else ""


@register.simple_tag
def asset(path: str) -> str:
    """A static file's address that changes with its content, so that browsers may keep it for long."""
    return f"{static(path)}?v={_version(path)}"


@register.filter
def octets(size: int) -> str:
    """1 KB, 2.4 MB: sizes as people read them."""
    if size < 1024:
        return _("%d B") % size
    for unit, limit in (("KB", 1024**2), ("MB", 1024**3), ("GB", 1024**4)):
        if size < limit or unit == "GB":
            value = size * 1024 / limit
            return f"{formats.number_format(value, 1 if value < 10 else 0)} {unit}"
    return ""


def _chinese() -> bool:
    return (get_language() or "").startswith("zh")


@register.filter
def list_date(moment: datetime | None) -> str:
    """Short, for a list: 14:05, yesterday, 12 Sep, 2025-09-12."""
    if moment is None:
        return ""
    local, now = timezone.localtime(moment), timezone.localtime()
    if local.date() == now.date():
        return f"{local:%H:%M}"
    if local.date() == now.date() - timedelta(days=1):
        return _("Yesterday")
    if local.year == now.year:
        return f"{local.month}月{local.day}日" if _chinese() else formats.date_format(local, "j M")
    return f"{local:%Y-%m-%d}"


@register.filter
def full_date(moment: datetime | None) -> str:
    """2026年9月12日 星期六 14:05, or Saturday 12 September 2026, 14:05."""
    if moment is None:
        return ""
    local = timezone.localtime(moment)
    if _chinese():
        return f"{local.year}年{local.month}月{local.day}日 星期{_WEEKDAYS[local.weekday()]} {local:%H:%M}"
    return f"{formats.date_format(local, 'l j F Y')}, {local:%H:%M}"


@register.filter
def shade(text: str) -> int:
    """0 to 7: one of the colours of a person's badge, the same for the same address."""
    return hashlib.blake2b(text.casefold().encode("utf-8", "replace"), digest_size=1).digest()[0] % 8


@register.filter
def initial(text: str) -> str:
    """The sign on a person's badge: the last character of a short Chinese name, else the first letter."""
    text = text.strip().strip("\"'“”<([")
    if not text:
        return "?"
    if all("\u3400" <= sign <= "\u9fff" for sign in text) and len(text) <= 4:
        return text[-1]
    return text[0].upper()
