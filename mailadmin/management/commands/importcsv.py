"""The program `importcsv`: import accounts, aliases or domains from a CSV file, line by line."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.utils import translation

from mailadmin import csv_io
from mailadmin.permissions import program_permissions
from mailcore.management.program import Fatal, Program
from mailcore.wire.text.charsets import decode_file


class Command(Program):
    help = "Create and change accounts, aliases or domains from a CSV file; lines are independent."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("kind", choices=list(csv_io.COLUMNS))
        parser.add_argument("file", help='CSV file; "-" for standard input')
        parser.add_argument("--dry-run", action="store_true", help="only report what would be done")
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")

    def read(self, options: dict[str, Any]) -> str:
        try:
            data = sys.stdin.buffer.read() if options["file"] == "-" else Path(options["file"]).read_bytes()
        except OSError as error:
            raise Fatal(f"{options['file']}: {error.strerror}") from error
        return decode_file(data)

    def run(self, options: dict[str, Any], given: str) -> int:
        results: list[csv_io.LineResult] = []
        with translation.override("en"):
            try:
                for each in csv_io.import_rows(
                    program_permissions(), options["kind"], given, really=not options["dry_run"]
                ):
                    results.append(each)
                    self.print_result(each, as_json=options["json"])
            except ValueError as error:
                raise Fatal(str(error)) from error
        counts = csv_io.summarize(results)
        self.say(
            f"{'would be ' if options['dry_run'] else ''}created: {counts['created']}, changed: {counts['changed']},"
            f" rejected: {counts['wrong']}"
        )
        return 1 if counts["wrong"] else 0

    def print_result(self, each: csv_io.LineResult, *, as_json: bool) -> None:
        if as_json:
            fields = {"line": each.line, "name": each.subject, "done": each.done, "problem": each.problem}
            self.print(json.dumps(fields, ensure_ascii=False))
        elif each.problem:
            self.warn(f"line {each.line}: {each.subject}: {each.problem}")
        else:
            self.print(f"{each.subject}: {each.done}")
