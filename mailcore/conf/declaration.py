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
    group: Any  # title of the group it belongs to, lazy translation
    secret: bool = False  # never shown, never logged


def _parameter(kind: ValueType, default: str, help_text: Any, *, secret: bool = False) -> Any:
    return field(metadata={"kind": kind, "default": default, "help": help_text, "secret": secret})


def text(default: str, help_text: Any, *, secret: bool = False) -> str:
    """Declare a parameter with a text."""
    return _parameter(TEXT, default, help_text, secret=secret)  # type: ignore[no-any-return]


def template(default: str, help_text: Any) -> str:
    """Declare a parameter with a text in which $name is expanded when it is used."""
    return _parameter(TEMPLATE, default, help_text)  # type: ignore[no-any-return]


def boolean(default: str, help_text: Any) -> bool:
    """Declare a parameter with yes or no."""
    return _parameter(BOOLEAN, default, help_text)  # type: ignore[no-any-return]


def integer(default: str, help_text: Any) -> int:
    """Declare a parameter with a whole number."""
    return _parameter(INTEGER, default, help_text)  # type: ignore[no-any-return]


def byte_size(default: str, help_text: Any) -> int:
    """Declare a parameter with a size in bytes."""
    return _parameter(BYTES, default, help_text)  # type: ignore[no-any-return]


def words(default: str, help_text: Any) -> tuple[str, ...]:
    """Declare a parameter with a list."""
    return _parameter(LIST, default, help_text)  # type: ignore[no-any-return]


def restrictions(default: str, help_text: Any) -> tuple[str, ...]:
    """Declare a parameter with a list of restrictions."""
    return _parameter(RESTRICTIONS, default, help_text)  # type: ignore[no-any-return]


def percentages(default: str, help_text: Any) -> tuple[int, ...]:
    """Declare a parameter with a list of percentages."""
    return _parameter(PERCENTAGES, default, help_text)  # type: ignore[no-any-return]


def seconds(default: str, help_text: Any) -> int:
    """Declare a parameter with a time in seconds."""
    return _parameter(SECONDS, default, help_text)  # type: ignore[no-any-return]


def hours(default: str, help_text: Any) -> int:
    """Declare a parameter with a time in hours."""
    return _parameter(HOURS, default, help_text)  # type: ignore[no-any-return]


def days(default: str, help_text: Any) -> int:
    """Declare a parameter with a time in days."""
    return _parameter(DAYS, default, help_text)  # type: ignore[no-any-return]
