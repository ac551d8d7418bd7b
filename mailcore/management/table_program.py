"""The common part of postmap and postalias: fill, query, list, add to and delete from a table."""

import re
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from mailcore.management.program import Fatal, Program, add_ignored
from mailcore.store.directory import DirectoryError
from mailcore.wire.files.table_files import LineError

_TYPE = re.compile(r"[a-z]{2,10}:")


class Table(Protocol):
    """A table of entries by key; a value has the table's own type until it is printed."""

    name: str  # for messages

    def parse(self, lines: Iterable[str]) -> Iterator[tuple[str, Any] | LineError]: ...
    def find(self, key: str) -> str | None: ...
    def entries(self) -> Iterator[tuple[str, str]]: ...
    def replace(self, to_write: Mapping[str, Any]) -> None: ...
    def add(self, to_write: Mapping[str, Any], *, overwrite: bool) -> list[str]:
        """Add entries; return the keys that existed already and were overwritten or left as they were."""

    def remove(self, keys: Iterable[str]) -> int: ...


class TableProgram(Program):
    """A program for one table; subclasses provide `table`, the word for a key, and the separator of key and value."""

    noun = "key"
    separator = "\t"
    ignored: Sequence[str] = ()

    @abstractmethod
    def table(self, options: dict[str, Any]) -> Table:
        """Return the table the options name; raise Fatal if there is none."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        noun, actions = self.noun, parser.add_mutually_exclusive_group()
        actions.add_argument("-q", metavar=noun.upper(), help=f"print a {noun}'s value; -: {noun}s from standard input")
        actions.add_argument("-d", metavar=noun.upper(), help=f"delete a {noun}; -: {noun}s from standard input")
        actions.add_argument("-s", dest="show", action="store_true", help="print all entries in the file's format")
        actions.add_argument("-i", dest="add", action="store_true", help="add entries from standard input")
        parser.add_argument("-r", dest="overwrite", action="store_true", help="overwrite existing entries")
        parser.add_argument("-w", dest="quiet", action="store_true", help=f"do not warn of duplicate {noun}s")
        add_ignored(parser, self.ignored, "accepted for compatibility")
        parser.add_argument("file", metavar="[type:]file", help="the type is ignored")

    def read(self, options: dict[str, Any]) -> list[str] | None:
        """Return the lines to import, read before root privileges are dropped: only root can read password tables."""
        if options["q"] is not None or options["d"] is not None or options["show"]:
            return None
        return sys.stdin.readlines() if options["add"] else self.lines_of(strip_table_type(options["file"]))

    def lines_of(self, path: str) -> list[str]:
        return read_file(path)

    def run(self, options: dict[str, Any], input_lines: list[str] | None) -> int:
        try:
            return self._run(self.table(options), options, input_lines)
        except DirectoryError as problem:
            raise Fatal(str(problem)) from problem

    def _run(self, table: Table, options: dict[str, Any], input_lines: list[str] | None) -> int:
        if options["show"]:
            for key, value in table.entries():
                self.print(f"{key}{self.separator}{value}")
            return 0
        if options["q"] is not None:
            return self._query(table, options["q"])
        if options["d"] is not None:
            return 0 if table.remove(_read_keys(options["d"])) else 1
        assert input_lines is not None
        self.fill(table, strip_table_type(options["file"]), input_lines, options)
        return 0

    def _query(self, table: Table, key: str) -> int:
        has_any = False
        for each in _read_keys(key):
            value = table.find(each)
            if value is not None:
                has_any = True
                self.print(value if key != "-" else f"{each}{self.separator}{value}")
        return 0 if has_any else 1

    def fill(self, table: Table, path: str, lines: Iterable[str], options: Mapping[str, Any]) -> None:
        """Write entries from the lines of a file; invalid lines are reported and skipped."""
        overwrite, quiet = options["overwrite"], options["quiet"]
        to_write: dict[str, Any] = {}
        for each in table.parse(lines):
            if isinstance(each, LineError):
                self.warn(f"{path}, line {each.line}: {each.text}")
            elif each[0] in to_write and not overwrite:
                self._warn_twice(table, each[0], quiet=quiet)
            else:
                to_write[each[0]] = each[1]
        if not options["add"]:
            table.replace(to_write)
            return
        for key in table.add(to_write, overwrite=overwrite):
            if not overwrite:
                self._warn_twice(table, key, quiet=quiet)

    def _warn_twice(self, table: Table, key: str, *, quiet: bool) -> None:
        if not quiet:
            self.warn(f'{table.name}: duplicate entry: "{key}"')


def _read_keys(argument: str) -> Iterator[str]:
    """Yield the key, or for "-" the lines of standard input."""
    if argument != "-":
        yield argument
        return
    for line in sys.stdin:
        if key := line.rstrip("\r\n"):
            yield key


def strip_table_type(text: str) -> str:
    """Return the path without the table type: "/etc/aliases" for "hash:/etc/aliases"."""
    return _TYPE.sub("", text, count=1)


def read_file(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readlines()
    except OSError as error:
        raise Fatal(f"open {path}: {error.strerror}") from error
