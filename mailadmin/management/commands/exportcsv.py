"""The program `exportcsv`: export accounts, aliases or domains as CSV."""

from argparse import ArgumentParser
from typing import Any

from django.http import QueryDict

from mailadmin import csv_io
from mailadmin.permissions import program_permissions
from mailadmin.views.directory import csv_files
from mailcore.management.program import Program


class Command(Program):
    help = "Write accounts, aliases or domains as CSV to standard output; importcsv can read the output."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=list(csv_io.COLUMNS))
        parser.add_argument("-q", default="", metavar="TEXT", help="only rows that contain this text")
        parser.add_argument("--domain", default="", help="only accounts of this domain")

    def run(self, options: dict[str, Any], given: Any) -> int:
        query = QueryDict(mutable=True)
        query.update({"q": options["q"], "domain": options["domain"]})
        for piece in csv_io.write_csv(
            options["kind"], csv_files.matching_rows(options["kind"], query, program_permissions())
        ):
            self.stdout.write(piece, ending="")
        return 0
