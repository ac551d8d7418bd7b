"""`postalias`: aliases read from a file, asked and listed (postalias(1), aliases(5))."""

import os
import re
import sys
from argparse import ArgumentParser
from collections.abc import Iterable
from typing import Any

from mailcore.management.commands.postmap import keys
from mailcore.management.program import Fatal, Program, add_ignored
from mailcore.store.directory import Problem, aliasfile
from mailcore.wire.tables import Complaint, aliases, render_name

_TYPE = re.compile(r"[a-z]{2,10}:")


class Command(Program):
    help = (
        "Read aliases from a file (name: value1, value2) into the home domain, or ask and list them. Reading a file"
        " again takes back what is no longer in it."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("-q", metavar="NAME", help="print what a name stands for; -: names from standard input")
        what.add_argument("-d", metavar="NAME", help="delete an alias; -: names from standard input")
        what.add_argument("-s", dest="show", action="store_true", help="print all aliases, as an alias file has them")
        what.add_argument("-i", dest="add", action="store_true", help="add aliases from standard input")
        parser.add_argument("-r", dest="overwrite", action="store_true", help="aliases that are there are overwritten")
        parser.add_argument("-w", dest="quiet", action="store_true", help="say nothing of names given twice")
        add_ignored(parser, ("-f", "-N", "-n", "-o", "-p", "-u"), "taken for compatibility")
        parser.add_argument("file", metavar="[type:]file", help="its path is also the name it is remembered by")

    def read(self, options: dict[str, Any]) -> list[str] | None:
        if options["q"] is not None or options["d"] is not None or options["show"]:
            return None
        return sys.stdin.readlines() if options["add"] else read_file(plain_path(options["file"]))

    def run(self, options: dict[str, Any], given: list[str] | None) -> int:
        try:
            return self._run(options, given)
        except Problem as problem:
            raise Fatal(str(problem)) from problem

    def _run(self, options: dict[str, Any], given: list[str] | None) -> int:
        if options["show"]:
            for name, value in aliasfile.entries():
                self.print(f"{render_name(name)}:\t{value}")
            return 0
        if options["q"] is not None:
            return self._query(options["q"])
        if options["d"] is not None:
            return 0 if aliasfile.remove(keys(options["d"])) else 1
        assert given is not None
        self.fill(plain_path(options["file"]), given, add=options["add"], overwrite=options["overwrite"],
                  quiet=options["quiet"])  # fmt: skip
        return 0

    def _query(self, name: str) -> int:
        found = False
        for each in keys(name):
            value = aliasfile.find(each)
            if value is not None:
                found = True
                self.print(value if name != "-" else f"{each}:\t{value}")
        return 0 if found else 1

    def fill(self, path: str, lines: Iterable[str], *, add: bool, overwrite: bool, quiet: bool) -> None:
        """Aliases from an alias file's lines; what is wrong is said and passed over."""
        wanted: dict[str, tuple[str, ...]] = {}
        for each in aliases(lines):
            if isinstance(each, Complaint):
                self.warn(f"{path}, line {each.line}: {each.text}")
            elif each.name in wanted and not overwrite:
                self._warn_twice(path, each.name, quiet)
            else:
                wanted[each.name] = each.targets
        if not add:
            aliasfile.replace_from(os.path.abspath(path), wanted)
            return
        for name in aliasfile.add(os.path.abspath(path), wanted, overwrite=overwrite):
            if not overwrite:
                self._warn_twice(path, name, quiet)

    def _warn_twice(self, path: str, name: str, quiet: bool) -> None:
        if not quiet:
            self.warn(f'{path}: duplicate entry: "{name}"')


def plain_path(text: str) -> str:
    """The path in "hash:/etc/aliases"."""
    return _TYPE.sub("", text, count=1)


def read_file(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.readlines()
    except OSError as error:
        raise Fatal(f"open {path}: {error.strerror}") from error
