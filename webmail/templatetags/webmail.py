"""Icons, sizes and dates as this webmail writes them."""

import functools
import hashlib
from datetime import datetime
from pathlib import Path

from django import template
from django.contrib.staticfiles import finders
from django.template import Context
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import get_language

from webmail.account import access_keys
from webmail.values import date_format, sizes

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """An icon of templates/webmail/icons.html; it says nothing to a screen reader, the words beside it do."""
    return format_html('<svg class="i{}" aria-hidden="true"><use href="#i-{}"/></svg>', _turning(name), name)


@register.simple_tag
def key(name: str) -> SafeString:
    """The attribute that gives an element its access key."""
    chosen = access_keys.access_key(name)
    return format_html(' accesskey="{}"', chosen) if chosen else SafeString("")


@register.simple_tag(takes_context=True)
def top(context: Context) -> SafeString:
    """The bar at the top of every page, made once for as long as nothing in it changes."""
    return _top(
        get_language() or "",
        access_keys.current_keys(),
        address=context["visitor"].address,
        name=context["options"].name,
        box=context.get("box") or "",
        q=context.get("q") or "",
        **{name: context[name] for name in ("has_filters", "is_guest", "is_administrator")},
    )


@functools.lru_cache(512)
def _top(language: str, chosen: access_keys.KeyChoices, **values: str | bool) -> SafeString:
    return render_to_string("webmail/top.html", values)


def _turning(name: str) -> str:
    """Icons that point somewhere point the other way where lines run from right to left."""
    return " turns" if name in ("left", "right", "reply", "replyall", "forward", "sent", "out") else ""


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
    return sizes.format_size(size)


@register.filter
def count(number: int | None) -> sizes.Count:
    """1,234: how many, as people read it."""
    return sizes.Count(number or 0)


@register.filter
def list_date(moment: datetime | None) -> str:
    """Short, for a list: 14:05, yesterday, 12 Sep, 2025-09-12."""
    return date_format.short_formatter()(moment)


@register.filter
def full_date(moment: datetime | None) -> str:
    return date_format.format_full(moment)


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


@register.filter
def query(address: str) -> str:
    """An address, ready for one more name=value."""
    return address + ("&" if "?" in address else "?")
