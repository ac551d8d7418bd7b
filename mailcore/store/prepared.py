"""SELECTs compiled once: the ORM says what is asked, a call costs no more than the query itself.

For questions asked per command or per letter, where building a queryset (about 200 µs) costs many times
what the database needs. Values come back as the driver gives them: no converters, so plain types only.
"""

from collections.abc import Callable
from typing import Any

from django.db import connection

_INTEGER = 7_000_000_000_000
_TEXT = "\x01prepared parameter "


class Prepared:
    """`Prepared(lambda account_id: Account.objects.filter(id=account_id).values_list(…), int)`, then
    `.rows(7)` or `.row(7)`. The types (int or str) say what stands in for each parameter while compiling;
    a slice of the queryset (`[:1]`) must be part of it."""

    def __init__(self, build: Callable[..., Any], *types: type) -> None:
        self._build = build
        self._stand_ins = [
            _INTEGER + number if kind is int else f"{_TEXT}{number}" for number, kind in enumerate(types)
        ]
        self._sql = ""
        self._order: list[int | None] = []  # which value goes to which placeholder
        self._fixed: list[object] = []  # parameters that are not values of ours

    def _compile(self) -> None:
        sql, parameters = self._build(*self._stand_ins).query.sql_with_params()
        self._order = [self._stand_ins.index(p) if p in self._stand_ins else None for p in parameters]
        self._fixed = list(parameters)
        self._sql = sql

    def rows(self, *values: object) -> list[tuple[Any, ...]]:
        if not self._sql:
            self._compile()
        with connection.cursor() as cursor:
            cursor.execute(
                self._sql,
                [
                    fixed if place is None else values[place]
                    for place, fixed in zip(self._order, self._fixed, strict=True)
                ],
            )
            return cursor.fetchall()

    def row(self, *values: object) -> tuple[Any, ...] | None:
        """The first row, None where there is none."""
        rows = self.rows(*values)
        return rows[0] if rows else None
