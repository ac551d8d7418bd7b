"""`newaliases`: read the alias files again (newaliases(1))."""

from argparse import ArgumentParser
from typing import Any

from mailcore import conf
from mailcore.management.commands.postalias import AliasFile
from mailcore.management.commands.postalias import Command as Postalias
from mailcore.management.program import Fatal
from mailcore.management.table_program import read_file, strip_table_type
from mailcore.store.directory import DirectoryError


class Command(Postalias):
    help = "Read the files of alias_database again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add nothing: the program has no options."""

    def read(self, options: dict[str, Any]) -> dict[str, list[str]]:
        paths = [strip_table_type(each) for each in conf.current().alias_database]
        return {path: read_file(path) for path in paths}

    def run(self, options: dict[str, Any], given: dict[str, list[str]]) -> int:
        try:
            for path, lines in given.items():
                self.fill(AliasFile(path), path, lines, {"add": False, "overwrite": False, "quiet": False})
        except DirectoryError as problem:
            raise Fatal(str(problem)) from problem
        return 0
