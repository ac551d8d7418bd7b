"""The types of values a parameter can have, and their text in main.cf (postconf(5)).

A type parses text to a value; it raises ValueError with a message for people if the text is invalid. `$name` is already
expanded then.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import pgettext_lazy

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class ValueType:
    """A type of parameter value: its name for people and its parser."""

    name: Any  # lazy translation; shown beside the field: "seconds", "bytes", "yes/no", …
    parse: Callable[[str], object]


def _text(text: str) -> str:
    return text.strip()


def _boolean(text: str) -> bool:
    match text.strip().lower():
        case "yes":
            return True
        case "no":
            return False
    raise ValueError(f'"{text}" is neither yes nor no')


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text.strip()):
        raise ValueError(f'"{text}" is not a whole number')
    return int(text)


def _words(text: str) -> tuple[str, ...]:
    """Split a Postfix list at commas and white space."""
    return tuple(re.split(r"[,\s]+", text.strip(", \t\r\n"))) if text.strip(", \t\r\n") else ()


def _percentages(text: str) -> tuple[int, ...]:
    values = tuple(_integer(word.removesuffix("%")) for word in _words(text))
    if any(not 0 < each <= 100 for each in values):
        raise ValueError(f'"{text}" are not percentages')
    return values


def _duration(unit: str) -> Callable[[str], int]:
    def parse(text: str) -> int:
        match = re.fullmatch(r"(\d{1,12})([smhdw]?)", text.strip())
        if match is None:
            raise ValueError(f'"{text}" is not a time such as 300s, 5m, 1h, 5d')
        return int(match[1]) * _UNITS[match[2] or unit]

    return parse


TEXT = ValueType(pgettext_lazy("kind of value", "text"), _text)
TEMPLATE = ValueType(pgettext_lazy("kind of value", "text with $name, expanded when it is used"), _text)
BOOLEAN = ValueType(pgettext_lazy("kind of value", "yes/no"), _boolean)
INTEGER = ValueType(pgettext_lazy("kind of value", "number"), _integer)
BYTES = ValueType(pgettext_lazy("kind of value", "bytes"), _integer)
LIST = ValueType(pgettext_lazy("kind of value", "list"), _words)
RESTRICTIONS = ValueType(pgettext_lazy("kind of value", "restrictions"), _words)
PERCENTAGES = ValueType(pgettext_lazy("kind of value", "percentages"), _percentages)
SECONDS = ValueType(pgettext_lazy("kind of value", "time (default unit: seconds)"), _duration("s"))
HOURS = ValueType(pgettext_lazy("kind of value", "time (default unit: hours)"), _duration("h"))
DAYS = ValueType(pgettext_lazy("kind of value", "time (default unit: days)"), _duration("d"))

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)(?:([?:])([^{}]*))?\}|\((\w+)\))")


def expand(text: str, value_of: Callable[[str], str], depth: int = 0) -> str:
    """Replace $name, ${name}, $(name), ${name?text}, ${name:text}; `$$` is a dollar sign.

    Raise ValueError for references that form a loop. `value_of` decides about unknown names, which are empty in
    Postfix.
    """
    if depth > 20:
        raise ValueError("$name refers to itself")

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        value = expand(value_of(match[1] or match[2] or match[5]), value_of, depth + 1)
        if match[3] == "?":
            return expand(match[4], value_of, depth + 1) if value else ""
        if match[3] == ":":
            return value or expand(match[4], value_of, depth + 1)
        return value

    return _REFERENCE.sub(replace, text)
