"""Lists: search text, sorting and page number, all from the URL.

Lists stay fast with a hundred thousand rows: one query counts, one fetches a page of values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.paginator import Page, Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.utils.translation import get_language

from mailcore.wire.text import collation

PAGE_SIZE = 50
_MAX_COLLATED = 10_000  # up to so many names are collated in Python, which takes a tenth of a second
_MAX_FETCHED_KEYS = 2000  # up to so many search results are counted by fetching their keys


@dataclass(frozen=True, slots=True)
class Sorting:
    """The sorting of a list; `column` is one that the list offers."""

    column: str
    descending: bool

    @property
    def parameter(self) -> str:
        return f"-{self.column}" if self.descending else self.column


def parse_sorting(request: HttpRequest, columns: Mapping[str, str], default: str) -> Sorting:
    """Return the sorting in the URL, ?sort=name or ?sort=-name, else `default`."""
    requested = request.GET.get("sort", default)
    if requested.removeprefix("-") not in columns:
        requested = default
    return Sorting(requested.removeprefix("-"), requested.startswith("-"))


def paginate(
    request: HttpRequest,
    rows: QuerySet[Any],
    columns: Mapping[str, str],
    sorting: Sorting,
    values: Sequence[str],
    names: Sequence[str] = (),
) -> Page[Any]:
    """Return the requested page of `rows` as named tuples of `values`.

    `columns` maps a list's columns to the fields they are sorted by. Equal rows are ordered by primary key, so that no
    page repeats one.

    `names` are columns with names of people, which are sorted by the collation of the user's language, unless there are
    more than 10,000; then the database's order is used.
    """
    field = columns[sorting.column]
    if sorting.column in names:
        found = list(rows.order_by("pk").values_list("pk", field)[: _MAX_COLLATED + 1])
        if len(found) <= _MAX_COLLATED:
            key = collation.sort_key(get_language() or "en")
            found.sort(key=lambda row: key(row[1]), reverse=sorting.descending)
            return _paginate_found([pk for pk, _name in found], request, rows, values)
    ordered = rows.order_by(f"-{field}" if sorting.descending else field, "pk")
    if search_term(request):
        keys = list(ordered.values_list("pk", flat=True)[: _MAX_FETCHED_KEYS + 1])
        if len(keys) <= _MAX_FETCHED_KEYS:
            return _paginate_found(keys, request, rows, values)
    return Paginator(ordered.values_list(*values, named=True), PAGE_SIZE).get_page(request.GET.get("page"))


def _paginate_found(keys: list[int], request: HttpRequest, rows: QuerySet[Any], values: Sequence[str]) -> Page[Any]:
    """Return the requested page of known keys, which are already counted and sorted."""
    found = Paginator(keys, PAGE_SIZE).get_page(request.GET.get("page"))
    shown = rows.model._default_manager.filter(pk__in=list(found)).values_list(*values, named=True)
    by_key = {row.pk: row for row in shown}
    found.object_list = [by_key[key] for key in found.object_list if key in by_key]
    return found


def search_text(query: QueryDict) -> str:
    """Return the search text: parameter q without NUL, at most 100 characters."""
    return query.get("q", "").replace("\0", "").strip()[:100]


def search_term(request: HttpRequest) -> str:
    """Return the search text of the request's URL."""
    return search_text(request.GET)


def parse_choice(query: QueryDict, name: str, allowed: Sequence[str]) -> str:
    """Return a filter parameter that is one of `allowed`, else "" (no filter)."""
    value = query.get(name, "")
    return value if value in allowed else ""


def query_choice(request: HttpRequest, name: str, allowed: Sequence[str]) -> str:
    """Return a filter parameter of the request's URL."""
    return parse_choice(request.GET, name, allowed)
