"""A list on a page: what was searched for, how it is sorted, which page it is; all of it in the URL.

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
_ARRANGED = 10_000  # names are put in order here; it takes a tenth of a second
_LOOKED_FOR = 2000  # rows a search finds that are counted by having been found


@dataclass(frozen=True, slots=True)
class Sorting:
    """The column a list is sorted by. `column` is one of those the list offers."""

    column: str
    descending: bool

    @property
    def parameter(self) -> str:
        return f"-{self.column}" if self.descending else self.column


def parse_sorting(request: HttpRequest, columns: Mapping[str, str], default: str) -> Sorting:
    """The sorting the URL asks for with ?sort=name or ?sort=-name, else `default`."""
    asked = request.GET.get("sort", default)
    if asked.removeprefix("-") not in columns:
        asked = default
    return Sorting(asked.removeprefix("-"), asked.startswith("-"))


def paginate(
    request: HttpRequest,
    rows: QuerySet[Any],
    columns: Mapping[str, str],
    chosen: Sorting,
    values: Sequence[str],
    names: Sequence[str] = (),
) -> Page[Any]:
    """The page of `rows` the URL asks for, as named tuples of `values`; `columns` maps a list's column to
    the field it is sorted by. Equal rows are told apart by their number, so that no page repeats one.

    `names` are columns with names of people: they stand in the order of the reader's language, unless there
    are so many that the database's order has to do."""
    field = columns[chosen.column]
    if chosen.column in names:
        found = list(rows.order_by("pk").values_list("pk", field)[: _ARRANGED + 1])
        if len(found) <= _ARRANGED:
            key = collation.sort_key(get_language() or "en")
            found.sort(key=lambda row: key(row[1]), reverse=chosen.descending)
            return _paginate_found([pk for pk, _name in found], request, rows, values)
    ordered = rows.order_by(f"-{field}" if chosen.descending else field, "pk")
    if search_term(request):
        keys = list(ordered.values_list("pk", flat=True)[: _LOOKED_FOR + 1])
        if len(keys) <= _LOOKED_FOR:
            return _paginate_found(keys, request, rows, values)
    return Paginator(ordered.values_list(*values, named=True), PAGE_SIZE).get_page(request.GET.get("page"))


def _paginate_found(keys: list[int], request: HttpRequest, rows: QuerySet[Any], values: Sequence[str]) -> Page[Any]:
    """The same of few rows that a search found: one look through all of them counts and sorts."""
    found = Paginator(keys, PAGE_SIZE).get_page(request.GET.get("page"))
    shown = rows.model._default_manager.filter(pk__in=list(found)).values_list(*values, named=True)
    by_key = {row.pk: row for row in shown}
    found.object_list = [by_key[key] for key in found.object_list if key in by_key]
    return found


def search_text(given: QueryDict) -> str:
    """What is searched for: q, at most 100 characters, NUL-free."""
    return given.get("q", "").replace("\0", "").strip()[:100]


def search_term(request: HttpRequest) -> str:
    """The same, of the URL."""
    return search_text(request.GET)


def parse_choice(given: QueryDict, name: str, allowed: Sequence[str]) -> str:
    """A filter: one of `allowed`, else "" (no filter)."""
    value = given.get(name, "")
    return value if value in allowed else ""


def query_choice(request: HttpRequest, name: str, allowed: Sequence[str]) -> str:
    """The same, of the URL."""
    return parse_choice(request.GET, name, allowed)
