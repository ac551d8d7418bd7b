"""A user's webmail options: defaults, limits and valid values."""

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
LAYOUTS = ("list", "wide", "pane")  # one line per message; with its first words below; beside the message
DATE_FORMATS = ("friendly", "iso", "clock")  # 14:05 / yesterday; 2026-09-12; 2026-09-12 14:05
WRAP_WIDTHS = (0, 60, 72, 80, 100)  # characters per line of plain text; 0: as wide as the page
EDITOR_ROWS = (10, 16, 24, 36)
CITATIONS = ("full", "author", "none")  # date and author; author only; nothing above the quotation
UNDO_SECONDS = (-1, 0, 5, 10, 20, 30)  # -1: the site's setting
DELETIONS = ("trash", "mark")  # move to Trash; or mark as deleted until the folder is expunged
SENT_COPIES = ("sent", "year", "month", "none")  # in Sent; in a folder per year or month below it; nowhere
HOMES = ("drafts", "sent", "archive", "junk", "trash")  # roles a user may assign to folders
REFRESH_MINUTES = (0, 1, 5, 10, 30)  # for browsers without scripts
# Columns of a message list; the order is the user's, and the first three are always shown.
COLUMNS = ("from", "subject", "date", "attachment", "size", "priority", "to", "cc", "received")
ALWAYS = COLUMNS[:3]


@dataclass(frozen=True, slots=True)
class WebmailPreferences:
    name: str = ""  # shown beside the address in From
    reply_to: str = ""
    signature: str = ""
    language: str = ""  # one of settings.LANGUAGES; "" = the browser's preference
    time_zone: str = ""  # IANA name; "" = the site's
    theme: str = "auto"
    layout: str = "list"
    page_size: int = 50
    date_format: str = "friendly"
    columns: tuple[str, ...] = ("from", "subject", "attachment", "date", "size")  # of COLUMNS
    snippets: bool = True  # first words of a message beside its subject
    threads: bool = False  # lists show conversations instead of messages
    refresh: int = 5  # one of REFRESH_MINUTES
    sound: bool = False  # when mail arrives
    html_first: bool = True
    remote_images: bool = False
    dark_letters: bool = True  # darken HTML messages when the page is dark
    wrap: int = 0  # one of WRAP_WIDTHS
    receipts: str = "ask"  # answer to read-receipt requests: "ask" or "never"
    mark_read: bool = True  # opening a message marks it as read
    only_subscribed: bool = True  # the folder pane hides unsubscribed folders
    count_all: bool = False  # the folder pane shows the number of all messages, not only of unread ones
    labels: tuple[tuple[str, str, int], ...] = ()  # keyword, name, colour: see webmail.values.labels
    highlights: tuple[tuple[str, int, str, str], ...] = ()  # name, colour, field, text: see webmail.reading.highlights
    deletion: str = "trash"  # one of DELETIONS
    sent_copies: str = "sent"  # one of SENT_COPIES
    homes: tuple[tuple[str, str], ...] = ()  # role of HOMES, folder name; other roles as the server assigns them
    keys: tuple[tuple[str, str], ...] = ()  # access keys that differ from the default: see webmail.account.access_keys
    shortcuts: bool = True  # single-key shortcuts, if scripts are allowed
    motd_read: str = ""  # digest of the message of the day that was dismissed
    after_action: str = "list"  # "list", "next" or "previous"
    reply_above: bool = True  # the reply is above the quotation
    sign_above: bool = True  # the signature is too, if the reply is
    citation: str = "full"  # one of CITATIONS
    all_but_me: bool = True  # a reply to all is not sent to oneself
    back_to: str = "message"  # after a reply: "message" or "list"
    editor_rows: int = 16  # one of EDITOR_ROWS
    undo_seconds: int = -1  # one of UNDO_SECONDS: how long a message can be recalled
    identity: int = 0  # default for new messages: a webmail.models.Identity, 0 for the account's own
    collect: bool = True  # recipients are added to the address book
    greeted: bool = False  # the welcome page (name and address) was shown


def load_preferences(owner: str) -> WebmailPreferences:
    """Return a user's options; stored values that are no longer valid fall back to the default."""
    stored = Preferences.objects.filter(owner=owner).values_list("values", flat=True).first()
    return _validate(WebmailPreferences(), stored) if isinstance(stored, dict) else WebmailPreferences()


def save_preferences(owner: str, options: WebmailPreferences) -> None:
    Preferences.objects.update_or_create(owner=owner, defaults={"values": asdict(options)})


def with_changes(options: WebmailPreferences, values: dict[str, Any]) -> WebmailPreferences:
    """Return `options` with the valid ones of `values`."""
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
    valid: dict[str, Any] = {}
    for name, default in _DEFAULTS.items():
        if name not in values:
            continue
        value = values[name]
        if isinstance(default, tuple) and isinstance(value, list | tuple):
            value = _SERIES[name](value)
        if type(value) is not type(default) or (name in allowed and value not in allowed[name]):
            continue
        valid[name] = value[:SIGNATURE_LIMIT] if isinstance(value, str) else value
    return replace(base, **valid)


@functools.cache
def _time_zones() -> frozenset[str]:
    """Return the names of time zones, cached: finding them walks the zoneinfo directory."""
    return frozenset(available_timezones() | {""})


def _columns(stored_items: Iterable[Any]) -> tuple[str, ...]:
    chosen = dict.fromkeys(name for name in stored_items if name in COLUMNS)
    return tuple(chosen | {name: None for name in ALWAYS if name not in chosen})


def _records(*kinds: type) -> Callable[[Iterable[Any]], tuple[tuple[Any, ...], ...]]:
    """Return a reader of lists that drops items of other types than `kinds`."""

    def read(stored_items: Iterable[Any]) -> tuple[tuple[Any, ...], ...]:
        items = (tuple(item) for item in stored_items if isinstance(item, list | tuple))
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
