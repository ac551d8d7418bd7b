"""Statements made once: the ORM says what is asked, a call costs no more than the statement itself.

For what is done per command or per letter, where building a queryset (about 200 µs) or model instances
costs many times what the database needs. Values go in and come back as the driver takes and gives them:
no converters, so plain types only.
"""

from collections.abc import Callable, Sequence
from typing import Any

from django.db import connection
from django.db.models import Model

_INTEGER = 7_000_000_000_000
_TEXT = "\x01prepared parameter "
_LISTS = (1, 4, 16, 64, 256, 1024)  # lengths that lists are filled up to, so that few statements serve all
_AT_ONCE = 50  # rows of one INSERT


# SQL; for each placeholder the (value, index in it) that goes there, or None for the constant beside it.
_Compiled = tuple[str, list[tuple[int, int] | None], tuple[Any, ...]]


class Prepared:
    """`Prepared(lambda account_id: Account.objects.filter(id=account_id).values_list(…), int)`, then
    `.rows(7)` or `.row(7)`.

    The kinds say what stands in for each parameter while compiling: int, str, or (int,) and (str,) for
    the list of an `__in` lookup, which must not be empty. A slice (`[:1]`) is part of the queryset.
    """

    def __init__(self, build: Callable[..., Any], *kinds: type | tuple[type]) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[tuple[int, ...], _Compiled] = {}

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        lengths = tuple(
            _filled(len(value)) if isinstance(kind, tuple) else 0
            for value, kind in zip(values, self._kinds, strict=True)
        )
        sql, places, fixed = self._compiled.get(lengths) or self._compile(lengths)
        lists = [
            (*value, *[value[-1]] * (length - len(value))) if length else (value,)
            for value, length in zip(values, lengths, strict=True)
        ]
        parameters = [
            constant if place is None else lists[place[0]][place[1]]
            for place, constant in zip(places, fixed, strict=True)
        ]
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            found: list[tuple[Any, ...]] = cursor.fetchall()
        return found

    def row(self, *values: Any) -> tuple[Any, ...] | None:
        """The first row, None where there is none."""
        rows = self.rows(*values)
        return rows[0] if rows else None

    def _compile(self, lengths: tuple[int, ...]) -> _Compiled:
        origins: dict[object, tuple[int, int]] = {}
        arguments: list[Any] = []
        for number, (kind, length) in enumerate(zip(self._kinds, lengths, strict=True)):
            plain = kind[0] if isinstance(kind, tuple) else kind
            stand_ins = []
            for index in range(length or 1):
                mark = number * 10_000 + index
                stand_in = _INTEGER + mark if plain is int else f"{_TEXT}{mark}"
                origins[stand_in] = (number, index)
                stand_ins.append(stand_in)
            arguments.append(stand_ins if length else stand_ins[0])
        sql, parameters = self._build(*arguments).query.sql_with_params()
        compiled = (sql, [origins.get(p) for p in parameters], tuple(parameters))
        self._compiled[lengths] = compiled
        return compiled


def _filled(length: int) -> int:
    return next((size for size in _LISTS if size >= length), length)


def insert(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows whose keys are given. `columns` are database column names."""
    if rows:
        with connection.cursor() as cursor:
            cursor.executemany(f"{_into(model, columns)} VALUES ({', '.join(['%s'] * len(columns))})", rows)


def insert_returning(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Insert rows and return the keys the database gave them, in order."""
    keys: list[int] = []
    one = f"({', '.join(['%s'] * len(columns))})"
    with connection.cursor() as cursor:
        for start in range(0, len(rows), _AT_ONCE):
            batch = rows[start : start + _AT_ONCE]
            cursor.execute(
                f"{_into(model, columns)} VALUES {', '.join([one] * len(batch))} RETURNING id",
                [value for row in batch for value in row],
            )
            keys += [key for (key,) in cursor.fetchall()]
    return keys


def _into(model: type[Model], columns: Sequence[str]) -> str:
    quote = connection.ops.quote_name
    return f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
