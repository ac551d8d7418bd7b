"""Responses of API operations: a body with its status, pages of a list; and conversion of JSON to form data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import QueryDict

from mailcore.store.directory import DirectoryError

PAGE_SIZE = 100


class NotFound(Exception):
    """The object does not exist or is not visible to the token's account."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    body: object
    status: int = 200


def paginate_rows(rows: QuerySet[Any], query: QueryDict, serialize: Callable[[Any], dict[str, object]]) -> ApiResponse:
    number = int(query.get("page", "1"))
    page = Paginator(rows, PAGE_SIZE).get_page(number)
    found = [serialize(row) for row in page] if page.number == number else []
    return ApiResponse(
        {"items": found, "page": number, "pages": page.paginator.num_pages, "count": page.paginator.count}
    )


def single_page(items: list[dict[str, object]]) -> ApiResponse:
    """Return a short list as a single page."""
    return ApiResponse({"items": items, "page": 1, "pages": 1, "count": len(items)})


def to_form_data(values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert JSON values to the text the pages' forms expect."""
    return {name: _to_form_text(name, value) for name, value in values.items()}


def _to_form_text(name: str, value: object) -> object:
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
