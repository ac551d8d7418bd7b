"""Icons, sizes and dates for the webmail's templates."""

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

from mailcore.conf import size_format
from mailcore.wire.message import envelope_address
from webmail.account import access_keys
from webmail.values import date_format

register = template.Library()


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon of templates/icons.html; screen readers skip it and read the text beside it."""
    return format_html('<svg class="i{}" aria-hidden="true"><use href="#i-{}"/></svg>', _mirror_class(name), name)


@register.filter
def unicode_address(text: str) -> str:
    """Return the user's own address, or `name <address>`, with the domain as people write it."""
    name, bracket, address = text.rpartition("<")
    return f"{name}{bracket}{envelope_address.unicode_address(address.removesuffix('>'))}{'>' if bracket else ''}"


@register.simple_tag
def key(name: str) -> SafeString:
    """Return the attribute that gives an element its access key."""
    chosen = access_keys.access_key(name)
    return format_html(' accesskey="{}"', chosen) if chosen else SafeString("")


@register.simple_tag(takes_context=True)
def top(context: Context) -> SafeString:
    """Render the bar at the top of every page, cached by everything it shows."""
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


def _mirror_class(name: str) -> str:
    """Return a class for icons that point sideways: they are mirrored in right-to-left languages."""
    return " turns" if name in ("left", "right", "reply", "replyall", "forward", "sent", "out") else ""


@functools.cache
def _version(path: str) -> str:
    found = finders.find(path)
    return hashlib.blake2b(Path(str(found)).read_bytes(), digest_size=6).hexdigest() if found else ""


@register.simple_tag
def asset(path: str) -> str:
    """Return a static file's URL that changes with its content, so that browsers may cache it for long."""
    return f"{static(path)}?v={_version(path)}"


@register.filter
def filesize(size: int) -> str:
    """Format a size in bytes: 1 KB, 2.4 MB."""
    return size_format.format_size(size)


@register.filter
def count(number: int | None) -> size_format.Count:
    """Format a number of things: 1,234."""
    return size_format.Count(number or 0)


@register.filter
def list_date(moment: datetime | None) -> str:
    """Format a date for a list: 14:05, yesterday, 12 Sep, 2025-09-12."""
    return date_format.short_formatter()(moment)


@register.filter
def full_date(moment: datetime | None) -> str:
    return date_format.format_full(moment)


@register.filter
def shade(text: str) -> int:
    """Return the badge colour of an address, 0 to 7: always the same one for an address."""
    return hashlib.blake2b(text.casefold().encode("utf-8", "replace"), digest_size=1).digest()[0] % 8


@register.filter
def initial(text: str) -> str:
    """Return the character on a person's badge: the last one of a short Chinese name, else the initial."""
    text = text.strip().strip("\"'“”<([")
    if not text:
        return "?"
    if all("\u3400" <= sign <= "\u9fff" for sign in text) and len(text) <= 4:
        return text[-1]
    return text[0].upper()


@register.simple_tag(takes_context=True)
def message_content(context: Context, values: dict[str, object], own: str) -> SafeString:
    """Render a message's text, pictures and attachments; `own` is the address of its page."""
    shown = context.template.engine.get_template("webmail/message_content.html")
    with context.push(**values, own=query(own)):
        return shown.render(context)


@register.filter
def query(address: str) -> str:
    """Return a URL with the separator for one more name=value."""
    return address + ("&" if "?" in address else "?")
