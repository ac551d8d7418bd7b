"""`postmap`: fill and query lookup tables (postmap(1))."""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailcore.management.program import Fatal
from mailcore.management.table_program import TableProgram, strip_table_type
from mailcore.store.settings import lookup_tables
from mailcore.wire.files.table_files import LineError, parse_pairs


class LookupTable:
    """A lookup table of the database, filled from a file of its name."""

    def __init__(self, name: str, *, fold: bool) -> None:
        self.name = name
        self._fold = fold

    def parse(self, lines: Iterable[str]) -> Iterator[tuple[str, str] | LineError]:
        for each in parse_pairs(lines, fold=self._fold):
            yield each if isinstance(each, LineError) else (each.key, each.value)

    def find(self, key: str) -> str | None:
        return lookup_tables.look_up_uncached(self.name, key)

    def entries(self) -> Iterator[tuple[str, str]]:
        return lookup_tables.list_entries(self.name)

    def replace(self, to_write: Mapping[str, str]) -> None:
        lookup_tables.replace_entries(self.name, to_write)

    def add(self, to_write: Mapping[str, str], *, overwrite: bool) -> list[str]:
        return lookup_tables.add_entries(self.name, to_write, overwrite=overwrite)

    def remove(self, keys: Iterable[str]) -> int:
        return lookup_tables.remove_entries(self.name, keys)


class Command(TableProgram):
    help = (
        "Fill a lookup table from a file of the same name (the last part of its path), or query it."
        " One argument: [type:]file; the type is ignored."
    )
    ignored = ("-N", "-n", "-o", "-p", "-u", "-U", "-F")

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-f", dest="no_fold", action="store_true", help="do not fold keys to lower case")
        super().add_arguments(parser)

    def lines_of(self, path: str) -> list[str]:
        # `postmap table < file`; without a terminal an empty standard input means the file itself.
        if not os.path.exists(path) and not sys.stdin.isatty() and (lines := sys.stdin.readlines()):
            return lines
        return super().lines_of(path)

    def table(self, options: dict[str, Any]) -> LookupTable:
        name = os.path.basename(strip_table_type(options["file"]))
        if not name:
            raise Fatal(f"not a table: {options['file']}")
        return LookupTable(name, fold=not options["no_fold"])
