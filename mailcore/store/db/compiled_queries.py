"""Queries that the ORM compiles once, so that a later call costs no more than the SQL statement itself.

For queries run per command or per message, where building a queryset (about 200 µs) or model instances costs many times
what the database needs. Values pass to and from the driver without converters, so only plain types work.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import Model

_INTEGER = 7_000_000_000_000
_TEXT = "\x01prepared parameter "
_LISTS = (1, 4, 16, 64, 256, 1024)  # lengths that IN lists are padded to, so that few statements serve all
_INSERT_BATCH = 50  # rows of one INSERT


# The SQL, and for each placeholder the (value, index in it) that goes there, or None for the constant beside it.
_Compiled = tuple[str, list[tuple[int, int] | None], tuple[Any, ...]]


class CompiledQuery:
    """A queryset compiled to SQL once and run with other values afterwards.

    query = CompiledQuery(lambda account_id: Account.objects.filter(id=account_id).values_list(…), int)
    query.rows(7); query.row(7)

    The kinds give the type of each argument while compiling: int, str, or (int,) and (str,) for the list of an `__in`
    lookup, which must not be empty. A slice (`[:1]`) is part of the queryset.
    """

    def __init__(self, build: Callable[..., Any], *kinds: type | tuple[type]) -> None:
        self._build = build
        self._kinds = kinds
        self._compiled: dict[tuple[int, ...], _Compiled] = {}

    def rows(self, *values: Any) -> list[tuple[Any, ...]]:
        lengths = tuple(
            _fill_placeholders(len(value)) if isinstance(kind, tuple) else 0
            for value, kind in zip(values, self._kinds, strict=True)
        )
        sql, places, constants = self._compiled.get(lengths) or self._compile(lengths)
        lists = [
            (*value, *[value[-1]] * (length - len(value))) if length else (value,)
            for value, length in zip(values, lengths, strict=True)
        ]
        parameters = [
            constant if place is None else lists[place[0]][place[1]]
            for place, constant in zip(places, constants, strict=True)
        ]
        return fetch_rows(sql, parameters)

    def row(self, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row, or None if there is none."""
        rows = self.rows(*values)
        return rows[0] if rows else None

    def _compile(self, lengths: tuple[int, ...]) -> _Compiled:
        origins: dict[object, tuple[int, int]] = {}
        arguments: list[Any] = []
        for number, (kind, length) in enumerate(zip(self._kinds, lengths, strict=True)):
            plain = kind[0] if isinstance(kind, tuple) else kind
            sentinels = []
            for index in range(length or 1):
                number_and_index = number * 10_000 + index
                sentinel = _INTEGER + number_and_index if plain is int else f"{_TEXT}{number_and_index}"
                origins[sentinel] = (number, index)
                sentinels.append(sentinel)
            arguments.append(sentinels if length else sentinels[0])
        sql, parameters = self._build(*arguments).query.sql_with_params()
        compiled = (sql, [origins.get(p) for p in parameters], tuple(parameters))
        self._compiled[lengths] = compiled
        return compiled


@lru_cache(4096)
def _fill_placeholders(length: int) -> int:
    return next((size for size in _LISTS if size >= length), length)


def fetch_rows(sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Return the rows of a statement as the driver gives them."""
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.vendor == "sqlite" and not database.force_debug_cursor:
        # Django's cursor takes three times as long as a short query itself.
        if database.connection is None:
            database.ensure_connection()
        with database.wrap_database_errors:
            return list(database.connection.execute(_with_question_marks(sql), parameters))
    with database.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def execute(sql: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement that writes."""
    execute_many(sql, [parameters])


def execute_many(sql: str, rows: Sequence[Sequence[Any]]) -> None:
    """Run a statement that writes, once for each row of parameters."""
    if not rows:
        return
    database: Any = connections[DEFAULT_DB_ALIAS]
    if database.vendor == "sqlite" and not database.force_debug_cursor:
        if database.connection is None:
            database.ensure_connection()
        with database.wrap_database_errors:
            database.connection.executemany(_with_question_marks(sql), rows)
        return
    with database.cursor() as cursor:
        cursor.executemany(sql, rows)


@lru_cache(1024)
def _with_question_marks(sql: str) -> str:
    return sql.replace("%s", "?").replace("%%", "%")


def insert_rows(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Insert rows with their primary keys; `columns` are database column names."""
    execute_many(_insert_sql(model, tuple(columns)), rows)


def insert_returning(model: type[Model], columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[int]:
    """Insert rows and return the primary keys the database assigned, in order."""
    keys: list[int] = []
    for start in range(0, len(rows), _INSERT_BATCH):
        batch = rows[start : start + _INSERT_BATCH]
        sql = _insert_sql(model, tuple(columns), len(batch)) + " RETURNING id"
        keys += [key for (key,) in fetch_rows(sql, [value for row in batch for value in row])]
    return keys


@lru_cache(256)
def _insert_sql(model: type[Model], columns: tuple[str, ...], rows: int = 1) -> str:
    quote = connection.ops.quote_name
    one = f"({', '.join(['%s'] * len(columns))})"
    into = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(map(quote, columns))})"
    return f"{into} VALUES {', '.join([one] * rows)}"
