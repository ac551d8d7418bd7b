"""`postalias`: aliases read from a file, asked and listed (postalias(1), aliases(5))."""

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailcore.management.table import TableProgram, plain_path
from mailcore.store.directory import aliasfile
from mailcore.wire.tables import Complaint, Target, aliases, render_name


class AliasFile:
    """The home domain's aliases; the file's path is the name under which those from it are remembered."""

    def __init__(self, path: str) -> None:
        self.name = path

    def parse(self, lines: Iterable[str]) -> Iterator[tuple[str, tuple[Target, ...]] | Complaint]:
        for each in aliases(lines):
            yield each if isinstance(each, Complaint) else (each.name, each.targets)

    def find(self, key: str) -> str | None:
        return aliasfile.find(key)

    def entries(self) -> Iterator[tuple[str, str]]:
        return ((render_name(name), value) for name, value in aliasfile.entries())

    def replace(self, wanted: Mapping[str, tuple[Target, ...]]) -> None:
        aliasfile.replace_from(os.path.abspath(self.name), wanted)

    def add(self, wanted: Mapping[str, tuple[Target, ...]], *, overwrite: bool) -> list[str]:
        return aliasfile.add(os.path.abspath(self.name), wanted, overwrite=overwrite)

    def remove(self, keys: Iterable[str]) -> int:
        return aliasfile.remove(keys)


class Command(TableProgram):
    help = (
        "Read aliases from a file (name: value1, value2) into the home domain, or ask and list them. Reading a file"
        " again takes back what is no longer in it."
    )
    noun = "name"
    between = ":\t"
    ignored = ("-f", "-N", "-n", "-o", "-p", "-u")

    def table(self, options: dict[str, Any]) -> AliasFile:
        return AliasFile(plain_path(options["file"]))
