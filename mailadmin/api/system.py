"""What belongs to the whole system, as the API has it: parameters, tables, who changed what."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.http import QueryDict

from mailadmin import listing, undo
from mailadmin.api.answers import Answer, Missing, listed, whole
from mailadmin.pages import texts as text_pages
from mailadmin.permissions import Reach
from mailcore import conf
from mailcore.models import Change
from mailcore.store import audit, parameters, tables
from mailcore.store.directory import Problem


def _settings(wanted: Callable[[str], bool]) -> list[dict[str, object]]:
    known, origins = conf.specs(), conf.origins()
    return [
        {
            "name": name,
            "value": audit.HIDDEN if known[name].secret and text else text,
            "origin": origins[name],
            "default": known[name].default,
            "help": str(known[name].help),
        }
        for name, text in conf.effective().items()
        if wanted(name)
    ]


def list_settings(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    q = listing.words(query).lower()
    items = _settings(lambda name: q in name.lower())
    return whole(items)


def show_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer(_setting(name))


def _setting(name: str) -> dict[str, object]:
    found = _settings(lambda each: each == name)
    if not found:
        raise Missing
    return found[0]


def set_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return _set(name, " ".join(str(given["value"]).split()))


def reset_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return _set(name, None)


def _set(name: str, value: str | None) -> Answer:
    if name not in conf.specs():
        raise Missing
    if conf.origin(name) == "environment":
        raise Problem({"value": "the environment sets this"})
    try:
        parameters.change({name: value})
    except ValueError as error:
        raise Problem({"value": str(error)}) from error
    return Answer(_setting(name))


# --- Tables ---------------------------------------------------------------------------------------


def list_tables(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    q = listing.words(query).lower()
    found = [(name, entries) for name, entries, _users in text_pages.known_tables() if q in name.lower()]
    return whole([{"name": name, "entries": entries} for name, entries in found])


def show_table(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer(_table(name))


def _table(name: str) -> dict[str, object]:
    if not text_pages.is_table_name(name):
        raise Missing
    secret = tables.secret(name)
    found = [{"key": key, "value": audit.HIDDEN if secret else value} for key, value in tables.entries(name)]
    return {"name": name, "entries": found}


def fill_table(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    if not text_pages.is_table_name(name):
        raise Missing
    wanted = {str(each["key"]).lower(): str(each["value"]) for each in given["entries"]}
    tables.replace(name, text_pages.kept_secrets(name, wanted))
    return Answer(_table(name))


# --- Changes --------------------------------------------------------------------------------------


def _change(reach: Reach, row: Change) -> dict[str, object]:
    return {
        "number": row.pk,
        "at_us": row.at_us,
        "by": row.by,
        "place": row.place,
        "action": row.action,
        "subject": row.subject,
        "difference": row.difference,
        "undoable": undo.possible(reach, row),
    }


def list_changes(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    rows = reach.see_changes()
    if q := listing.words(query):
        rows = rows.filter(subject__icontains=q)
    return listed(rows.order_by("-at_us", "-pk"), query, partial(_change, reach))


def take_back(reach: Reach, given: Mapping[str, Any], query: QueryDict, number: str) -> Answer:
    wanted = int(number) if number.isdecimal() and len(number) < 19 else 0
    row = reach.see_changes().filter(pk=wanted).first()
    if row is None:
        raise Missing
    if not undo.possible(reach, row):
        raise Problem({"number": "this change cannot be undone"})
    undo.undo(reach, row)
    return Answer({"changed": row.subject})
