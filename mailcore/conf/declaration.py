"""Declaration of parameters: one function for each type of value, used by `mailcore.conf.parameters`."""

from dataclasses import dataclass, field
from typing import Any

from mailcore.conf.value_types import (
    BOOLEAN,
    BYTES,
    DAYS,
    HOURS,
    INTEGER,
    LIST,
    PERCENTAGES,
    RESTRICTIONS,
    SECONDS,
    TEMPLATE,
    TEXT,
    ValueType,
)


@dataclass(frozen=True, slots=True)
class Spec:
    """A parameter: its type of value, default and help text."""

    name: str
    kind: ValueType
    default: str  # main.cf text, $name not expanded
    help: Any  # lazy translation
    secret: bool = False  # never shown, never logged


def _parameter(kind: ValueType, default: str, help_text: Any, *, secret: bool = False) -> Any:
    return field(metadata={"kind": kind, "default": default, "help": help_text, "secret": secret})


def text(default: str, help_text: Any, *, secret: bool = False) -> str:
    return _parameter(TEXT, default, help_text, secret=secret)  # type: ignore[no-any-return]


def template(default: str, help_text: Any) -> str:
    return _parameter(TEMPLATE, default, help_text)  # type: ignore[no-any-return]


def boolean(default: str, help_text: Any) -> bool:
    return _parameter(BOOLEAN, default, help_text)  # type: ignore[no-any-return]


def integer(default: str, help_text: Any) -> int:
    return _parameter(INTEGER, default, help_text)  # type: ignore[no-any-return]


def byte_size(default: str, help_text: Any) -> int:
    return _parameter(BYTES, default, help_text)  # type: ignore[no-any-return]


def words(default: str, help_text: Any) -> tuple[str, ...]:
    return _parameter(LIST, default, help_text)  # type: ignore[no-any-return]


def restrictions(default: str, help_text: Any) -> tuple[str, ...]:
    return _parameter(RESTRICTIONS, default, help_text)  # type: ignore[no-any-return]


def percentages(default: str, help_text: Any) -> tuple[int, ...]:
    return _parameter(PERCENTAGES, default, help_text)  # type: ignore[no-any-return]


def seconds(default: str, help_text: Any) -> int:
    return _parameter(SECONDS, default, help_text)  # type: ignore[no-any-return]


def hours(default: str, help_text: Any) -> int:
    return _parameter(HOURS, default, help_text)  # type: ignore[no-any-return]


def days(default: str, help_text: Any) -> int:
    return _parameter(DAYS, default, help_text)  # type: ignore[no-any-return]
