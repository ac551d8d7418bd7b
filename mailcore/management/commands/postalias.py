"""`postalias`: read aliases from a file, query and list them (postalias(1), aliases(5))."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailcore.management.table_program import TableProgram, strip_table_type
from mailcore.store.directory import alias_files
from mailcore.wire.files.table_files import LineError, Target, format_name, parse_aliases


class AliasFile:
    """The aliases of the home domain; the file's path is recorded as their source."""

    def __init__(self, path: str) -> None:
        self.name = path

    def parse(self, lines: Iterable[str]) -> Iterator[tuple[str, tuple[Target, ...]] | LineError]:
        for each in parse_aliases(lines):
            yield each if isinstance(each, LineError) else (each.name, each.targets)

    def find(self, key: str) -> str | None:
        return alias_files.find_alias_text(key)

    def entries(self) -> Iterator[tuple[str, str]]:
        return ((format_name(name), value) for name, value in alias_files.list_alias_entries())

    def replace(self, to_write: Mapping[str, tuple[Target, ...]]) -> None:
        alias_files.replace_aliases(os.path.abspath(self.name), to_write)

    def add(self, to_write: Mapping[str, tuple[Target, ...]], *, overwrite: bool) -> list[str]:
        return alias_files.add_aliases(os.path.abspath(self.name), to_write, overwrite=overwrite)

    def remove(self, keys: Iterable[str]) -> int:
        return alias_files.remove_aliases(keys)


class Command(TableProgram):
    help = (
        "Read aliases from a file (name: value1, value2) into the home domain, or query and list them. Reading a file"
        " again removes aliases that are no longer in it."
    )
    noun = "name"
    separator = ":\t"
    ignored = ("-f", "-N", "-n", "-o", "-p", "-u")

    def table(self, options: dict[str, Any]) -> AliasFile:
        return AliasFile(strip_table_type(options["file"]))
