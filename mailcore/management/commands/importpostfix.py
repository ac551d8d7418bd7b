"""`importpostfix`: import main.cf and the virtual, aliases, access and transport tables of a Postfix installation."""

import os
from argparse import ArgumentParser
from typing import Any

from django.utils import translation

from mailcore.management.program import Fatal, Program, plural
from mailcore.management.table_program import read_file
from mailcore.store.settings.lookup_tables import table_name
from mailcore.store.setup import postfix_import


class Command(Program):
    help = "Import the main.cf of a Postfix installation and the files it names, with a report on each line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", nargs="?", default="/etc/postfix", help="where main.cf is (/etc/postfix)")
        parser.add_argument("--dry-run", action="store_true", help="only show what would be done")
        parser.add_argument(
            "--root", default="", help="prefix of the paths in main.cf, for a copy of another machine's files"
        )

    def read(self, options: dict[str, Any]) -> list[tuple[str, str, str]]:
        """Return (kind, path, text) of the files, main.cf first."""
        path = os.path.join(options["directory"], "main.cf")
        text = "".join(read_file(path))
        files = [("main.cf", path, text)]
        for kind, file_path in postfix_import.referenced_files(text):
            try:
                files.append((kind, file_path, "".join(read_file(options["root"] + file_path))))
            except Fatal as fatal:
                self.warn(str(fatal))
        return files

    def run(self, options: dict[str, Any], given: list[tuple[str, str, str]]) -> int:
        refused = 0
        with translation.override("en"):
            files = [(kind, _name_of(kind, path), text) for kind, path, text in given]
            found = postfix_import.import_files(files, really=not options["dry_run"])
            for (_kind, path, _text), reports in zip(given, found, strict=True):
                for each in reports:
                    if not each.taken:
                        refused += 1
                        self.warn(f"{path}, line {each.line}: {each.what}: {each.reason}")
                taken = sum(each.taken for each in reports)
                self.print(f"{path}: {plural(taken, 'line')} {'would be ' if options['dry_run'] else ''}imported")
        return 1 if refused else 0


def _name_of(kind: str, path: str) -> str:
    """Return the name under which a file's lines are stored: of a table, or the path of an aliases file."""
    return table_name(path) if kind == "table" else path if kind == "aliases" else ""
