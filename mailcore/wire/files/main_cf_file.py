"""The text of main.cf (postconf(5)): `name = value`, comments, continued lines. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailcore.wire.files.table_files import LineError, logical_lines

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Assignment:
    line: int  # number of the first physical line
    name: str
    value: str  # white space folded


def parse_assignments(lines: Iterable[str]) -> Iterator[Assignment | LineError]:
    """In order; of a name that stands there twice the last one counts, as in Postfix."""
    for number, line in logical_lines(lines):
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            yield LineError(number, "missing '=' after attribute name")
        else:
            yield Assignment(number, match[1], " ".join(match[2].split()))


def format_main_cf(values: Mapping[str, str]) -> str:
    """As `postconf -n` writes it."""
    return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in sorted(values.items()))
