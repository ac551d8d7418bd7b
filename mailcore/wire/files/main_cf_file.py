"""The text of main.cf (postconf(5)): `name = value` lines, comments, continuation lines."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from mailcore.wire.files.table_files import LineError, logical_lines

_ASSIGNMENT = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Assignment:
    line: int  # number of the first physical line
    name: str
    value: str  # with white space folded


def parse_assignments(lines: Iterable[str]) -> Iterator[Assignment | LineError]:
    """Parse assignments in order; as in Postfix, the last assignment of a name counts."""
    for number, line in logical_lines(lines):
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            yield LineError(number, "missing '=' after attribute name")
        else:
            yield Assignment(number, match[1], " ".join(match[2].split()))


def format_main_cf(values: Mapping[str, str]) -> str:
    """Return the text that `postconf -n` would print."""
    return "".join(f"{name} = {value}".rstrip() + "\n" for name, value in sorted(values.items()))
