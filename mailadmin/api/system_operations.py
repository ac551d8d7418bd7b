"""API operations for the whole system: parameters, lookup tables, audit log."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from django.http import QueryDict

from mailadmin import list_page, revert
from mailadmin.api.responses import ApiResponse, NotFound, paginate_rows, single_page
from mailadmin.permissions import Permissions
from mailadmin.views.system import text_editors as text_pages
from mailcore import conf
from mailcore.models import Change
from mailcore.store.db import audit
from mailcore.store.directory import DirectoryError
from mailcore.store.settings import lookup_tables, parameter_changes


def _filter_settings(matches: Callable[[str], bool]) -> list[dict[str, object]]:
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
        if matches(name)
    ]


def list_settings(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    q = list_page.search_text(query).lower()
    items = _filter_settings(lambda name: q in name.lower())
    return single_page(items)


def show_setting(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return ApiResponse(_serialize_setting(name))


def _serialize_setting(name: str) -> dict[str, object]:
    found = _filter_settings(lambda each: each == name)
    if not found:
        raise NotFound
    return found[0]


def set_setting(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return _store_setting(name, " ".join(str(given["value"]).split()))


def reset_setting(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return _store_setting(name, None)


def _store_setting(name: str, value: str | None) -> ApiResponse:
    if name not in conf.specs():
        raise NotFound
    if conf.origin(name) == "environment":
        raise DirectoryError({"value": "the environment sets this"})
    try:
        parameter_changes.change_parameters({name: value})
    except ValueError as error:
        raise DirectoryError({"value": str(error)}) from error
    return ApiResponse(_serialize_setting(name))


# --- Tables ---------------------------------------------------------------------------------------


def list_tables(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    q = list_page.search_text(query).lower()
    found = [(name, entries) for name, entries, _users in text_pages.known_tables() if q in name.lower()]
    return single_page([{"name": name, "entries": entries} for name, entries in found])


def show_table(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return ApiResponse(_serialize_table(name))


def _serialize_table(name: str) -> dict[str, object]:
    if not text_pages.is_table_name(name):
        raise NotFound
    secret = lookup_tables.is_secret(name)
    found = [
        {"key": key, "value": audit.HIDDEN if secret else value} for key, value in lookup_tables.list_entries(name)
    ]
    return {"name": name, "entries": found}


def replace_table(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    if not text_pages.is_table_name(name):
        raise NotFound
    matches = {str(each["key"]).lower(): str(each["value"]) for each in given["entries"]}
    lookup_tables.replace_entries(name, text_pages.restore_hidden_secrets(name, matches))
    return ApiResponse(_serialize_table(name))


# --- Changes --------------------------------------------------------------------------------------


def _serialize_change(permissions: Permissions, row: Change) -> dict[str, object]:
    return {
        "number": row.pk,
        "at_us": row.at_us,
        "by": row.by,
        "place": row.place,
        "action": row.action,
        "subject": row.subject,
        "difference": row.difference,
        "undoable": revert.can_revert(permissions, row),
    }


def list_changes(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    rows = permissions.visible_changes()
    if q := list_page.search_text(query):
        rows = rows.filter(subject__icontains=q)
    return paginate_rows(rows.order_by("-at_us", "-pk"), query, partial(_serialize_change, permissions))


def revert_change(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, number: str) -> ApiResponse:
    matches = int(number) if number.isdecimal() and len(number) < 19 else 0
    row = permissions.visible_changes().filter(pk=matches).first()
    if row is None:
        raise NotFound
    if not revert.can_revert(permissions, row):
        raise DirectoryError({"number": "this change cannot be undone"})
    revert.revert(permissions, row)
    return ApiResponse({"changed": row.subject})
