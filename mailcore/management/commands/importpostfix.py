"""`importpostfix`: take over main.cf, virtual, aliases, access and transport tables of a Postfix."""

import os
from argparse import ArgumentParser
from typing import Any

from django.utils import translation

from mailcore.management.program import Fatal, Program, plural
from mailcore.management.table_program import read_file
from mailcore.store.settings.lookup_tables import table_name
from mailcore.store.setup import postfix_import


class Command(Program):
    help = "Take over the main.cf of a Postfix, and the files it names, with a report of what was taken and what not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", nargs="?", default="/etc/postfix", help="where main.cf is (/etc/postfix)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
        parser.add_argument(
            "--root", default="", help="before the paths main.cf names, for a copy of another machine's files"
        )

    def read(self, options: dict[str, Any]) -> list[tuple[str, str, str]]:
        """(kind, path, text); main.cf first."""
        path = os.path.join(options["directory"], "main.cf")
        text = "".join(read_file(path))
        files = [("main.cf", path, text)]
        for kind, named in postfix_import.referenced_files(text):
            try:
                files.append((kind, named, "".join(read_file(options["root"] + named))))
            except Fatal as fatal:
                self.warn(str(fatal))
        return files

    def run(self, options: dict[str, Any], given: list[tuple[str, str, str]]) -> int:
        refused = 0
        with translation.override("en"):
            for kind, path, text in given:
                name = table_name(path) if kind == "table" else path if kind == "aliases" else ""
                found = postfix_import.import_text(kind, text, name=name, really=not options["dry_run"])
                for each in found:
                    if not each.taken:
                        refused += 1
                        self.warn(f"{path}, line {each.line}: {each.what}: {each.why}")
                taken = sum(each.taken for each in found)
                self.print(f"{path}: {plural(taken, 'line')} {'would be ' if options['dry_run'] else ''}taken")
        return 1 if refused else 0
