"""`postmap`: fill and ask lookup tables (postmap(1))."""

import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from mailcore.management.program import Fatal, Program, add_ignored
from mailcore.store import tables
from mailcore.wire.tables import Complaint, pairs

_TYPE = re.compile(r"[a-z]{2,10}:")


class Command(Program):
    help = (
        "Fill a lookup table from a file of the same name (the last part of its path), or ask it."
        " One argument: [type:]file; the type is not looked at."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("-q", metavar="KEY", help="print a key's value; -: keys from standard input")
        what.add_argument("-d", metavar="KEY", help="delete a key; -: keys from standard input")
        what.add_argument("-s", dest="show", action="store_true", help="print all entries")
        what.add_argument("-i", dest="add", action="store_true", help="add entries from standard input")
        parser.add_argument("-r", dest="overwrite", action="store_true", help="entries that are there are overwritten")
        parser.add_argument("-w", dest="quiet", action="store_true", help="say nothing of keys given twice")
        parser.add_argument("-f", dest="no_fold", action="store_true", help="keys keep their capitals")
        add_ignored(parser, ("-N", "-n", "-o", "-p", "-u", "-U", "-F"), "taken for compatibility")
        parser.add_argument("file", metavar="[type:]file")

    def read(self, options: dict[str, Any]) -> list[str] | None:
        """The lines to import, read before we become another user: password tables are root's alone."""
        if options["q"] is not None or options["d"] is not None or options["show"]:
            return None
        if options["add"]:
            return sys.stdin.readlines()
        path = _TYPE.sub("", options["file"], count=1)
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as file:
                return file.readlines()
        except FileNotFoundError as error:
            # `postmap table < file`; an empty standard input is what programs without a terminal have.
            if not sys.stdin.isatty() and (lines := sys.stdin.readlines()):
                return lines
            raise Fatal(f"open {path}: {error.strerror}") from error
        except OSError as error:
            raise Fatal(f"open {path}: {error.strerror}") from error

    def run(self, options: dict[str, Any], given: list[str] | None) -> int:
        table = os.path.basename(_TYPE.sub("", options["file"], count=1))
        if not table:
            raise Fatal(f"not a table: {options['file']}")
        if options["show"]:
            for key, value in tables.entries(table):
                self.print(f"{key}\t{value}")
            return 0
        if options["q"] is not None:
            return self._query(table, options["q"])
        if options["d"] is not None:
            return 0 if tables.remove(table, keys(options["d"])) else 1
        assert given is not None
        self._fill(table, given, options)
        return 0

    def _query(self, table: str, key: str) -> int:
        found = False
        for each in keys(key):
            value = tables.look(table, each)
            if value is not None:
                found = True
                self.print(value if key != "-" else f"{each}\t{value}")
        return 0 if found else 1

    def _fill(self, table: str, lines: Iterable[str], options: dict[str, Any]) -> None:
        wanted: dict[str, str] = {}
        for each in pairs(lines, fold=not options["no_fold"]):
            if isinstance(each, Complaint):
                self.warn(f"{options['file']}, line {each.line}: {each.text}")
            elif each.key in wanted and not options["overwrite"]:
                self._warn_twice(table, each.key, options)
            else:
                wanted[each.key] = each.value
        if not options["add"]:
            tables.replace(table, wanted)
            return
        for key in tables.add(table, wanted, overwrite=options["overwrite"]):
            if not options["overwrite"]:
                self._warn_twice(table, key, options)

    def _warn_twice(self, table: str, key: str, options: dict[str, Any]) -> None:
        if not options["quiet"]:
            self.warn(f'{table}: duplicate entry: "{key}"')


def keys(argument: str) -> Iterator[str]:
    """The key, or the lines of standard input."""
    if argument != "-":
        yield argument
        return
    for line in sys.stdin:
        if key := line.rstrip("\r\n"):
            yield key
