"""What the API's operations have in common: answers, pages of a list, values for the screens' forms."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import QueryDict

from mailcore.store.directory import DirectoryError

PAGE = 100


class NotFound(Exception):
    """There is no such thing within the visitor's permissions."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    body: object
    status: int = 200


def paginate_rows(rows: QuerySet[Any], query: QueryDict, shape: Callable[[Any], dict[str, object]]) -> ApiResponse:
    number = int(query.get("page", "1"))
    page = Paginator(rows, PAGE).get_page(number)
    found = [shape(row) for row in page] if page.number == number else []
    return ApiResponse(
        {"items": found, "page": number, "pages": page.paginator.num_pages, "count": page.paginator.count}
    )


def single_page(items: list[dict[str, object]]) -> ApiResponse:
    """A list that is never long, as one page."""
    return ApiResponse({"items": items, "page": 1, "pages": 1, "count": len(items)})


def to_form_data(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's values as the screens' forms take them."""
    return {name: _as_typed(name, value) for name, value in wanted.items()}


def _as_typed(name: str, value: object) -> object:
    if value is None or value is False:
        return ""
    if value is True:
        return "on"
    if isinstance(value, int):
        return f"{value} B" if name.endswith("_bytes") and value else str(value)
    return value.isoformat() if isinstance(value, date) else value


def validate_form(form: Any) -> Any:
    if not form.is_valid():
        raise DirectoryError({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    return form.draft()
