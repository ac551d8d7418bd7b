"""Icons, sizes, dates, audit values, meters and sortable columns for the administration's templates."""

import re
from datetime import UTC, datetime
from html import unescape
from urllib.parse import quote

from django import template
from django.conf import settings
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from mailadmin.list_page import Sorting
from mailcore.conf import size_format
from mailcore.models import Account, DkimKey, Domain, Factor

register = template.Library()

# Paths on a 20 × 20 grid, drawn with a stroke of 1.6.
_ICONS = {
    "overview": "M3 11.5a7 7 0 0 1 14 0M10 11.5l3-3.5M3 15.5h14",
    "domain": "M10 3a7 7 0 1 0 0 14 7 7 0 0 0 0-14M3 10h14M10 3c2.5 2 3.5 4.5 3.5 7s-1 5-3.5 7c-2.5-2-3.5-4.5-3.5-7"
    "s1-5 3.5-7",
    "account": "M10 9.8a3.2 3.2 0 1 0 0-6.4 3.2 3.2 0 0 0 0 6.4M3.8 17c.5-3.6 3-5.4 6.2-5.4s5.7 1.8 6.2 5.4",
    "alias": "M4 6h4.5c3 0 3 8 6 8H17M14.5 11.5L17 14l-2.5 2.5M11 6h5M14 3.5L16.5 6 14 8.5",
    "mail": "M3 5h14v11H3zM3 5.5l7 5.5 7-5.5",
    "key": "M12.5 4a3.5 3.5 0 1 1-2.8 5.6L4 15.3V17h2.5v-1.8h1.8v-1.8h1.3l1.5-1.5M13.5 6.5h.1",
    "lock": "M5 9h10v7.5H5zM7 9V6.5a3 3 0 0 1 6 0V9",
    "plus": "M10 4v12M4 10h12",
    "search": "M8.8 3.8a5 5 0 1 0 0 10 5 5 0 0 0 0-10M12.6 12.6L17 17",
    "out": "M8 4H4v12h4M8.5 10H17M13.5 6.5L17 10l-3.5 3.5",
    "queue": "M3 12v4.5h14V12M3 12l2.5-8h9l2.5 8M3 12h4c0 1.7 1.3 2.6 3 2.6s3-.9 3-2.6h4",
    "log": "M5 3.5h10v13H5zM7.5 7h5M7.5 10h5M7.5 13h3",
    "scales": "M10 3.5v13M6.5 16.5h7M4 6h12M4 6l-2 5.5h4zM16 6l-2 5.5h4z",
    "settings": "M3 6h7M14 6h3M3 14h3M10 14h7M12 4v4M8 12v4",
    "history": "M4 10a6 6 0 1 0 2-4.5L4 7.5M4 3.5v4h4M10 6.5V10l2.5 1.5",
    "undo": "M7 4L3.5 7.5 7 11M3.5 7.5H12a4.5 4.5 0 0 1 0 9H8",
    "shield": "M10 2.8l6 2.2v4.5c0 3.7-2.4 6.3-6 7.7-3.6-1.4-6-4-6-7.7V5z",
    "devices": "M3 4.5h10v7H3zM1.5 14h8M12 9h5v8h-5z",
    "code": "M7 6l-4 4 4 4M13 6l4 4-4 4M11 4l-2 12",
    "table": "M3 4h14v12H3zM3 8h14M3 12h14M8 4v12",
    "upload": "M10 13V4M6 7.5L10 3.5l4 4M4 16.5h12",
    "download": "M10 3.5v9M6 9l4 4 4-4M4 16.5h12",
    "warning": "M10 3L18 16.5H2zM10 8v4M10 14.2v.3",
    "left": "M12.5 4.5L7 10l5.5 5.5",
    "right": "M7.5 4.5L13 10l-5.5 5.5",
}


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return an icon; screen readers skip it and read the text beside it."""
    mirror_class = " turns" if name in ("left", "right", "out", "undo") else ""  # mirrored in right-to-left languages
    return format_html(
        '<svg class="i{}" viewBox="0 0 20 20" aria-hidden="true"><path d="{}"/></svg>', mirror_class, _ICONS[name]
    )


_EVENTS = {
    "received": _("received"),
    "expanded": _("expanded to its targets"),
    "delivered": _("delivered"),
    "deferred": _("deferred"),
    "failed": _("failed"),
    "removed": _("removed"),
    "filtered": _("filtered"),
    "read": _("read"),
    "moved": _("moved"),
    "deleted": _("deleted"),
}
_DESTINATIONS = {
    "mailbox": _("a mailbox here"),
    "alias": _("an alias"),
    "remote": _("another host"),
    "command": _("a command"),
    "directory": _("a directory"),
    "file": _("a file"),
    "refused": _("refused"),
    "loop": _("a loop"),
}


@register.filter
def happening(kind: str) -> object:
    """Return the name of an event in a message's history."""
    return _EVENTS.get(kind, kind)


@register.filter
def way(kind: str) -> object:
    """Return a description of an address's destination."""
    return _DESTINATIONS.get(kind, kind)


_FIELDS = {
    "name": _("Full name"),
    "state": _("State"),
    "role": _("Role"),
    "managed_domains": _("Domains to manage"),
    "expires": _("Expires on"),
    "quota_bytes": _("Quota"),
    "quota_messages": _("Messages at most"),
    "label": _("Name"),
    "language": _("Language"),
    "time_zone": _("Time zone"),
    "targets": _("Delivers to"),
    "active": _("Active"),
    "comment": _("Comment"),
    "kind": _("Kind"),
    "target": _("Stands for"),
    "account_quota_bytes": _("Quota of an account"),
    "account_quota_messages": _("Messages of an account"),
    "total_quota_bytes": _("Quota of the whole domain"),
    "max_accounts": _("Accounts at most"),
    "max_aliases": _("Aliases at most"),
    "catch_all": _("Catch-all address"),
    "accounts": _("Accounts"),
    "aliases": _("Aliases"),
    "messages": _("Messages"),
    "ids": _("Queue id"),
    "agent": _("Browser"),
    "client": _("Client address"),
    "algorithm": _("Algorithm"),
    "writes": _("May change things"),
    "removed": _("Entries removed"),
    "written": _("Entries written"),
    "value": _("Value"),
    "what": _("What"),
}


_BROWSERS = (("Edg", "Edge"), ("OPR", "Opera"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip


@register.filter
def browser(agent: str) -> str:
    """Return browser and system of a User-Agent header: "Firefox, Linux"."""
    names = [next((name for mark, name in marks if mark in agent), "") for marks in (_BROWSERS, _SYSTEMS)]
    return ", ".join(filter(None, names)) or agent[:60] or "–"


@register.filter
def field_words(name: str) -> object:
    """Return the label of a changed field, or its name."""
    return _FIELDS.get(name, name)


_LOOKUPS = {
    "access": _("what opens the account"),
    "tracking": _("where its messages are"),
    "message": _("the message %(id)s"),
}
_WORDS = {"state": (Account.State, DkimKey.State), "role": (Account.Role,), "kind": (Domain.Kind, Factor.Kind)}


@register.filter
def as_value(value: object, name: str) -> object:
    """Return a value of the audit log, of the field `name`, in readable form."""
    for choices in _WORDS.get(name, ()):
        if value in choices.values:
            return choices(value).label
    if name == "language":
        return dict(settings.LANGUAGES).get(str(value), value or "–")
    if name == "agent":
        return browser(str(value))
    if name == "what" and isinstance(value, str):
        kind, _colon, queue_id = value.partition(":")
        words = _LOOKUPS.get(kind)
        return words % {"id": queue_id} if words else value
    if name.endswith("_bytes") and isinstance(value, int):
        return size_format.format_size(value) if value else gettext("no limit")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return "–" if value == "" else value


_LOG_LINKS = re.compile(
    r"(?<=\]: )[0-9A-F]{8,16}(?=: )"  # a queue id
    r"|(?<=\[)(?:(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]{0,4}:[0-9a-f]{0,4}:[0-9a-f:.]{0,39})(?=\])"  # a client address
    r"|(?<=&lt;)[^\s&]+@[^\s&]+(?=&gt;)"  # a mail address
)


@register.filter
def log_links(line: str) -> SafeString:
    """Return a log line with links from queue ids, clients and addresses to the lines about them."""

    def link(match: re.Match[str]) -> str:
        return f'<a href="?q={quote(unescape(match[0]))}">{match[0]}</a>'

    return mark_safe(_LOG_LINKS.sub(link, escape(line)))  # noqa: S308  (escaped first)


@register.filter
def moment(seconds: int) -> str:
    """Format a Unix time in the user's time zone."""
    return date_format(timezone.localtime(datetime.fromtimestamp(seconds, UTC)), "Y-m-d H:i:s")


@register.filter
def microseconds(value: int) -> str:
    return moment(value // 1_000_000)


@register.filter
def filesize(size: int | None) -> str:
    return size_format.format_size(size or 0)


@register.filter
def count(number: int | None) -> size_format.Count:
    """Format a number of things: 1,234."""
    return size_format.Count(number or 0)


_LEVELS = {
    "reject": pgettext_lazy("level of a log line", "refusals"),
    "warning": pgettext_lazy("level of a log line", "warnings"),
    "error": pgettext_lazy("level of a log line", "errors"),
    "fatal": pgettext_lazy("level of a log line", "fatal errors"),
    "panic": pgettext_lazy("level of a log line", "panics"),
}


@register.filter
def level(name: str) -> object:
    """Return the label of a log level."""
    return _LEVELS[name]


@register.simple_tag
def meter(used: int, limit: int) -> SafeString:
    """Return a bar with the used part of a limit, or "" without a limit."""
    if not limit:
        return SafeString("")
    percent = min(100, round(100 * used / limit))
    state = "full" if percent >= 95 else "near" if percent >= 80 else ""
    return format_html(
        '<span class="meter {}" role="img" aria-label="{}"><span style="--part:{}%"></span></span>',
        state, gettext("%(percent)d%% used") % {"percent": percent}, percent,
    )  # fmt: skip


def _address(request: HttpRequest, **changes: str) -> str:
    query: QueryDict = request.GET.copy()
    for name, value in changes.items():
        query[name] = value
    return f"?{query.urlencode()}"


@register.simple_tag(takes_context=True)
def column(context: template.Context, name: str, title: str) -> SafeString:
    """Return a column heading that sorts by the column, or reverses the order if it is the sorted one."""
    sorting: Sorting = context["sorting"]
    request: HttpRequest = context["request"]
    if sorting.column != name:
        return format_html('<a href="{}">{}</a>', _address(request, sort=name, page="1"), title)
    other_order = name if sorting.descending else f"-{name}"
    return format_html(
        '<a class="by" href="{}">{}<span aria-hidden="true">{}</span></a>',
        _address(request, sort=other_order, page="1"), title, " ↓" if sorting.descending else " ↑",
    )  # fmt: skip


@register.simple_tag(takes_context=True)
def sorted_by(context: template.Context, name: str) -> SafeString:
    """Return the aria-sort attribute of a column's cell."""
    sorting: Sorting = context["sorting"]
    if sorting.column != name:
        return SafeString("")
    return SafeString(' aria-sort="descending"' if sorting.descending else ' aria-sort="ascending"')


@register.simple_tag(takes_context=True)
def page_address(context: template.Context, number: int) -> str:
    return _address(context["request"], page=str(number))
