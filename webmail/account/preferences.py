"""A visitor's options: defaults, limits, and what a form may set them to."""

import functools
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings

from webmail.models import Preferences

PAGE_SIZES = (20, 50, 100, 200)
SIGNATURE_LIMIT = 4000
RECORDS_AT_MOST = 100  # labels, or highlighting rules
THEMES = ("auto", "light", "dark")
LAYOUTS = ("list", "wide", "pane")  # one line a message; with its first words below; beside the message
DATE_FORMATS = ("friendly", "iso", "clock")  # 14:05 / yesterday; 2026-09-12; 2026-09-12 14:05
WRAP_WIDTHS = (0, 60, 72, 80, 100)  # characters of a line of plain text; 0: as wide as the page
EDITOR_ROWS = (10, 16, 24, 36)
CITATIONS = ("full", "author", "none")  # when and who wrote it; who; nothing above the quotation
UNDO_SECONDS = (-1, 0, 5, 10, 20, 30)  # -1: the site's choice
DELETIONS = ("trash", "mark")  # into Trash; marked where they are, until the folder is cleaned up
SENT_COPIES = ("sent", "year", "month", "none")  # in Sent; in a folder of each year or month below it; nowhere
HOMES = ("drafts", "sent", "archive", "junk", "trash")  # roles a visitor may give to folders
REFRESH_MINUTES = (0, 1, 5, 10, 30)  # for browsers without scripts
# What a list may show of a message; the order is the visitor's, and the first three are always there.
COLUMNS = ("from", "subject", "date", "attachment", "size", "priority", "to", "cc", "received")
ALWAYS = COLUMNS[:3]


@dataclass(frozen=True, slots=True)
class WebmailPreferences:
    name: str = ""  # beside the address in From
    reply_to: str = ""
    signature: str = ""
    language: str = ""  # of settings.LANGUAGES, "" = as the browser asks
    time_zone: str = ""  # IANA name, "" = the site's
    theme: str = "auto"
    layout: str = "list"
    page_size: int = 50
    date_format: str = "friendly"
    columns: tuple[str, ...] = ("from", "subject", "attachment", "date", "size")  # of COLUMNS
    snippets: bool = True  # first words of a message beside its subject
    threads: bool = False  # a list shows conversations, not messages
    refresh: int = 5  # of REFRESH_MINUTES
    sound: bool = False  # when mail comes
    html_first: bool = True
    remote_images: bool = False
    dark_letters: bool = True  # HTML messages are darkened where the page is dark
    wrap: int = 0  # of WRAP_WIDTHS
    receipts: str = "ask"  # or "never": what is said to who wants to know whether a message was read
    mark_read: bool = True  # a message that is opened is read
    only_subscribed: bool = True  # the folder pane leaves out hidden folders
    count_all: bool = False  # the folder pane says how many messages there are, not only the unread
    labels: tuple[tuple[str, str, int], ...] = ()  # keyword, name, colour: webmail.values.labels
    highlights: tuple[tuple[str, int, str, str], ...] = ()  # name, colour, field, words: webmail.reading.highlights
    deletion: str = "trash"  # of DELETIONS
    sent_copies: str = "sent"  # of SENT_COPIES
    homes: tuple[tuple[str, str], ...] = ()  # role of HOMES, name of a folder; others are as the server says
    keys: tuple[tuple[str, str], ...] = ()  # access keys that are not the usual ones: webmail.account.access_keys
    shortcuts: bool = True  # single keys do something, where scripts are allowed
    motd_read: str = ""  # a digest of the message of the day that was read
    after_action: str = "list"  # or "next", "previous"
    reply_above: bool = True  # the answer stands above the quotation
    sign_above: bool = True  # so does the signature, where the answer does
    citation: str = "full"  # of CITATIONS
    all_but_me: bool = True  # an answer to all does not come back to oneself
    back_to: str = "message"  # after an answer: or "list"
    editor_rows: int = 16  # of EDITOR_ROWS
    undo_seconds: int = -1  # of UNDO_SECONDS: how long a message can be called back
    identity: int = 0  # the one new messages are written as: a webmail.models.Identity, 0 for the account's own
    collect: bool = True  # whoever is written to goes into the address book
    greeted: bool = False  # name and address were asked for once


def load_preferences(owner: str) -> WebmailPreferences:
    """The visitor's options; what is stored but no longer valid falls back to its default."""
    stored = Preferences.objects.filter(owner=owner).values_list("values", flat=True).first()
    return _validate(WebmailPreferences(), stored) if isinstance(stored, dict) else WebmailPreferences()


def save_preferences(owner: str, options: WebmailPreferences) -> None:
    Preferences.objects.update_or_create(owner=owner, defaults={"values": asdict(options)})


def with_changes(options: WebmailPreferences, values: dict[str, Any]) -> WebmailPreferences:
    """`options` with those of `values` that are valid."""
    return _validate(options, values)


def _validate(base: WebmailPreferences, values: dict[str, Any]) -> WebmailPreferences:
    allowed: dict[str, AbstractSet[object]] = {
        "language": {code for code, _name in settings.LANGUAGES} | {""},
        "time_zone": _time_zones(),
        "theme": set(THEMES),
        "layout": set(LAYOUTS),
        "page_size": set(PAGE_SIZES),
        "date_format": set(DATE_FORMATS),
        "refresh": set(REFRESH_MINUTES),
        "wrap": set(WRAP_WIDTHS),
        "receipts": {"ask", "never"},
        "deletion": set(DELETIONS),
        "sent_copies": set(SENT_COPIES),
        "after_action": {"list", "next", "previous"},
        "citation": set(CITATIONS),
        "back_to": {"message", "list"},
        "editor_rows": set(EDITOR_ROWS),
        "undo_seconds": set(UNDO_SECONDS),
    }
    good: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        if name not in values:
            continue
        value = values[name]
        if isinstance(default, tuple) and isinstance(value, list | tuple):
            value = _SERIES[name](value)
        if type(value) is not type(default) or (name in allowed and value not in allowed[name]):
            continue
        good[name] = value[:SIGNATURE_LIMIT] if isinstance(value, str) else value
    return replace(base, **good)


@functools.cache
def _time_zones() -> frozenset[str]:
    """Names of time zones; finding them means walking through the system's files."""
    return frozenset(available_timezones() | {""})


def _columns(given: Iterable[Any]) -> tuple[str, ...]:
    chosen = dict.fromkeys(name for name in given if name in COLUMNS)
    return tuple(chosen | {name: None for name in ALWAYS if name not in chosen})


def _records(*kinds: type) -> Callable[[Iterable[Any]], tuple[tuple[Any, ...], ...]]:
    """A reader of lists whose items have these kinds; other items are left out."""

    def read(given: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
        items = (tuple(item) for item in given if isinstance(item, list | tuple))
        return tuple(item for item in items if tuple(map(type, item)) == kinds)[:RECORDS_AT_MOST]

    return read


_DEFAULTS: dict[str, Any] = {field.name: field.default for field in fields(WebmailPreferences)}
_SERIES: dict[str, Callable[[Iterable[Any]], tuple[Any, ...]]] = {
    "columns": _columns,
    "homes": _records(str, str),
    "keys": _records(str, str),
    "labels": _records(str, str, int),
    "highlights": _records(str, int, str, str),
}
