"""A visitor's options: defaults, limits, and what a form may set them to."""

from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields, replace
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings

from webmail.models import Preferences

PAGE_SIZES = (20, 50, 100, 200)
SIGNATURE_LIMIT = 4000


@dataclass(frozen=True, slots=True)
class Options:
    name: str = ""  # beside the address in From
    reply_to: str = ""
    signature: str = ""
    language: str = ""  # of settings.LANGUAGES, "" = as the browser asks
    time_zone: str = ""  # IANA name, "" = the site's
    page_size: int = 50
    html_first: bool = True
    remote_images: bool = False
    after_action: str = "list"  # or "next"
    reply_above: bool = True  # the answer stands above the quotation
    collect: bool = True  # whoever is written to goes into the address book
    greeted: bool = False  # name and address were asked for once


def load(owner: str) -> Options:
    """The visitor's options; what is stored but no longer valid falls back to its default."""
    stored = Preferences.objects.filter(owner=owner).values_list("values", flat=True).first()
    return _valid(Options(), stored) if isinstance(stored, dict) else Options()


def save(owner: str, options: Options) -> None:
    Preferences.objects.update_or_create(owner=owner, defaults={"values": asdict(options)})


def changed(options: Options, values: dict[str, Any]) -> Options:
    """`options` with those of `values` that are valid."""
    return _valid(options, values)


def _valid(base: Options, values: dict[str, Any]) -> Options:
    allowed: dict[str, AbstractSet[object]] = {
        "language": {code for code, _name in settings.LANGUAGES} | {""},
        "time_zone": available_timezones() | {""} if values.get("time_zone") else {""},
        "page_size": set(PAGE_SIZES),
        "after_action": {"list", "next"},
    }
    good: dict[str, Any] = {}
    for field in fields(Options):
        value = values.get(field.name)
        if type(value) is not type(field.default) or (field.name in allowed and value not in allowed[field.name]):
            continue
        good[field.name] = value[:SIGNATURE_LIMIT] if isinstance(value, str) else value
    return replace(base, **good)
