"""Base class of `domain`, `account` and `alias`: list, show, add, set and delete rows of the directory.

The fields of a command line are a CSV line with one row, so fields, formats and checks are the same as on the pages and
in CSV imports (`mailadmin.csv_io`).
"""

import json
import sys
from abc import abstractmethod
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import QueryDict
from django.utils import translation

from mailadmin import csv_io
from mailadmin.permissions import Permissions, program_permissions
from mailadmin.views.directory import csv_files
from mailcore.management.program import Fatal, Program
from mailcore.store.directory import DirectoryError

Act = Callable[[Permissions, dict[str, Any]], None]


class RowProgram(Program):
    """A program for one kind of row; subclasses define `kind` and the JSON form of a row."""

    kind = ""  # a key of csv_io.COLUMNS
    filters: Sequence[str] = ()  # options of `list`, besides -q

    @abstractmethod
    def find(self, permissions: Permissions, name: str) -> Any:
        """Return the row of this name, or None."""

    @abstractmethod
    def serialize(self, row: Any) -> dict[str, object]:
        """Return the row in its JSON form."""

    @abstractmethod
    def delete(self, row: Any) -> None: ...

    @abstractmethod
    def losses(self, row: Any) -> list[str]:
        """Return descriptions of what is deleted with the row."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        first, *others = csv_io.COLUMNS[self.kind]
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        list_parser = actions.add_parser("list", help="list all rows, or those that match")
        list_parser.add_argument("-q", default="", metavar="TEXT", help="only rows that contain this text")
        for name in self.filters:
            list_parser.add_argument(f"--{name}", default="", help=f"only rows of this {name}")
        show_parser = actions.add_parser("show", help="show one row with all its fields")
        fields = f"field=value …; fields: {', '.join(others)}"
        add = actions.add_parser("add", help="create a row", epilog=fields)
        change = actions.add_parser("set", help="change fields of a row; the others stay as they are", epilog=fields)
        delete_parser = actions.add_parser("delete", help="delete a row with everything that belongs to it")
        for each in (show_parser, add, change, delete_parser, *self.more_actions(actions)):
            each.add_argument("name", metavar=first.upper())
        for each in (add, change):
            each.add_argument("fields", nargs="*", metavar="field=value")
        for each in (add, change, delete_parser):
            each.add_argument("--dry-run", action="store_true", help="only report what would be done")
        for each in actions.choices.values():
            each.add_argument("--json", action="store_true", help="print one JSON object per row")

    def more_actions(self, actions: Any) -> Sequence[ArgumentParser]:
        """Return parsers of additional actions; each gets the row's name as its first argument."""
        return ()

    def actions_by_name(self) -> dict[str, Act]:
        """Return the methods by action name."""
        return {"list": self.list, "show": self.show, "add": self.add, "set": self.set, "delete": self.delete_one}

    def run(self, options: dict[str, Any], given: Any) -> int:
        with translation.override("en"):
            try:
                self.actions_by_name()[options["action"]](program_permissions(), options)
            except DirectoryError as problem:
                raise Fatal(str(problem)) from problem
        return 0

    # --- Actions ----------------------------------------------------------------------------------

    def list(self, permissions: Permissions, options: dict[str, Any]) -> None:
        given = QueryDict(mutable=True)
        given.update({"q": options["q"], **{name: options[name] for name in self.filters}})
        rows: QuerySet[Any] = csv_files.matching_rows(self.kind, given, permissions)
        for row in self.with_related(rows).iterator(chunk_size=1000):
            self.print(json.dumps(self.serialize(row), ensure_ascii=False) if options["json"] else str(row))

    def with_related(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Return the rows with the related rows that `serialize` reads."""
        return rows

    def show(self, permissions: Permissions, options: dict[str, Any]) -> None:
        self.print_row(self.row(permissions, options), options)

    def row(self, permissions: Permissions, options: dict[str, Any]) -> Any:
        found = self.find(permissions, options["name"].strip().lower())
        if found is None:
            raise Fatal(f"{options['name']}: does not exist")
        return found

    def print_row(self, row: Model, options: dict[str, Any]) -> None:
        self.print_fields(self.serialize(row), options)

    def print_fields(self, fields: dict[str, Any], options: dict[str, Any]) -> None:
        if options["json"]:
            self.print(json.dumps(fields, ensure_ascii=False))
        else:
            for name, value in fields.items():
                self.print(f"{name} = {_text(value)}")

    def add(self, permissions: Permissions, options: dict[str, Any], **more: str) -> None:
        if self.find(permissions, options["name"].strip().lower()) is not None:
            raise Fatal(f"{options['name']}: exists already")
        self.import_fields(permissions, options, more)

    def set(self, permissions: Permissions, options: dict[str, Any]) -> None:
        self.row(permissions, options)
        self.import_fields(permissions, options, {})

    def import_fields(self, permissions: Permissions, options: dict[str, Any], secrets: dict[str, str]) -> None:
        """Import the command line as a CSV line; with a dry run everything is done and rolled back.

        The row is printed after the commit: a reader that closes the pipe must not undo the change, nor a slow one
        hold the database's write lock.
        """
        first, *others = csv_io.COLUMNS[self.kind]
        cells = {first: options["name"].strip()}
        for each in options["fields"]:
            name, sign, value = each.partition("=")
            if not sign or name not in others:
                raise Fatal(f"{each}: not field=value with a field of {', '.join(others)}")
            cells[name] = value
        really = not options["dry_run"]
        with transaction.atomic():
            csv_io.IMPORTERS[self.kind](permissions, cells | secrets, really)
            row = self.find(permissions, cells[first].lower())
            fields = None if row is None else self.serialize(row)  # a dry run does not create an account
            if not really:
                transaction.set_rollback(True)
        if fields is not None:
            self.print_fields(fields, options)

    def delete_one(self, permissions: Permissions, options: dict[str, Any]) -> None:
        row = self.row(permissions, options)
        losses = self.losses(row)
        result = {"deleted": str(row), "with": losses}
        with transaction.atomic():
            self.delete(row)
            if options["dry_run"]:
                transaction.set_rollback(True)
        if options["json"]:
            self.print(json.dumps(result, ensure_ascii=False))
        else:
            self.print(f"{result['deleted']}{' with ' if losses else ''}{', '.join(losses)}")


def password_from_stdin() -> str:
    """Return the first line of standard input: program arguments are visible to every user of the machine."""
    return sys.stdin.readline().rstrip("\r\n")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
