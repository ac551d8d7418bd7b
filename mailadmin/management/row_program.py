"""What `domain`, `account` and `alias` have in common: list, show, add, set and delete rows of the directory.

A wish is a line of a CSV file with one row, so what may be given, how it is written and what is refused is the same as
on the screens and in their imports (`mailadmin.csv_io`).
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
    """Subclasses say which `kind` of row it is and what a row looks like as JSON."""

    kind = ""  # of sheets.COLUMNS
    filters: Sequence[str] = ()  # of the list, beside -q

    @abstractmethod
    def find(self, permissions: Permissions, name: str) -> Any:
        """The row by this name, or None."""

    @abstractmethod
    def told(self, row: Any) -> dict[str, object]:
        """The row as JSON."""

    @abstractmethod
    def delete(self, row: Any) -> None: ...

    @abstractmethod
    def losses(self, row: Any) -> list[str]:
        """What goes with it, in words."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        first, *others = csv_io.COLUMNS[self.kind]
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        many = actions.add_parser("list", help="all of them, or those that match")
        many.add_argument("-q", default="", metavar="TEXT", help="that have this in them")
        for name in self.filters:
            many.add_argument(f"--{name}", default="", help=f"of this {name}")
        one = actions.add_parser("show", help="one, with everything that is set")
        fields = f"field=value …; fields: {', '.join(others)}"
        add = actions.add_parser("add", help="make one", epilog=fields)
        change = actions.add_parser("set", help="change fields of one; the others stay", epilog=fields)
        gone = actions.add_parser("delete", help="delete one with all that belongs to it")
        for each in (one, add, change, gone, *self.more_actions(actions)):
            each.add_argument("name", metavar=first.upper())
        for each in (add, change):
            each.add_argument("fields", nargs="*", metavar="field=value")
        for each in (add, change, gone):
            each.add_argument("--dry-run", action="store_true", help="only say what would be done")
        for each in actions.choices.values():
            each.add_argument("--json", action="store_true", help="one JSON object a row")

    def more_actions(self, actions: Any) -> Sequence[ArgumentParser]:
        """Parsers of what only this kind of row has; each gets the row's name as its first argument."""
        return ()

    def acts(self) -> dict[str, Act]:
        """What each action does."""
        return {"list": self.list, "show": self.show, "add": self.add, "set": self.set, "delete": self.delete_one}

    def run(self, options: dict[str, Any], given: Any) -> int:
        with translation.override("en"):
            try:
                self.acts()[options["action"]](program_permissions(), options)
            except DirectoryError as problem:
                raise Fatal(str(problem)) from problem
        return 0

    # --- Actions ----------------------------------------------------------------------------------

    def list(self, permissions: Permissions, options: dict[str, Any]) -> None:
        given = QueryDict(mutable=True)
        given.update({"q": options["q"], **{name: options[name] for name in self.filters}})
        rows: QuerySet[Any] = csv_files.matching_rows(self.kind, given, permissions)
        for row in self.with_names(rows).iterator(chunk_size=1000):
            self.print(json.dumps(self.told(row), ensure_ascii=False) if options["json"] else str(row))

    def with_names(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        """The same rows, fetched together with what `told` looks at."""
        return rows

    def show(self, permissions: Permissions, options: dict[str, Any]) -> None:
        self.tell(self.row(permissions, options), options)

    def row(self, permissions: Permissions, options: dict[str, Any]) -> Any:
        found = self.find(permissions, options["name"].strip().lower())
        if found is None:
            raise Fatal(f"{options['name']}: there is none by this name")
        return found

    def tell(self, row: Model, options: dict[str, Any], **more: object) -> None:
        told = {**self.told(row), **more}
        if options["json"]:
            self.print(json.dumps(told, ensure_ascii=False))
        else:
            for name, value in told.items():
                self.print(f"{name} = {_text(value)}")

    def add(self, permissions: Permissions, options: dict[str, Any], **more: str) -> None:
        if self.find(permissions, options["name"].strip().lower()) is not None:
            raise Fatal(f"{options['name']}: is there already")
        self.take(permissions, options, more)

    def set(self, permissions: Permissions, options: dict[str, Any]) -> None:
        self.row(permissions, options)
        self.take(permissions, options, {})

    def take(self, permissions: Permissions, options: dict[str, Any], secrets: dict[str, str]) -> None:
        """As the sheet's line: with a dry run everything is done and then undone."""
        first, *others = csv_io.COLUMNS[self.kind]
        wanted = {first: options["name"].strip()}
        for each in options["fields"]:
            name, sign, value = each.partition("=")
            if not sign or name not in others:
                raise Fatal(f"{each}: not field=value with a field of {', '.join(others)}")
            wanted[name] = value
        really = not options["dry_run"]
        with transaction.atomic():
            csv_io.IMPORTERS[self.kind](permissions, wanted | secrets, really)
            row = self.find(permissions, wanted[first].lower())
            if row is not None:  # a new account is only looked at in a dry run
                self.tell(row, options)
            if not really:
                transaction.set_rollback(True)

    def delete_one(self, permissions: Permissions, options: dict[str, Any]) -> None:
        row = self.row(permissions, options)
        losses = self.losses(row)
        told = {"deleted": str(row), "with": losses}
        with transaction.atomic():
            self.delete(row)
            if options["dry_run"]:
                transaction.set_rollback(True)
        if options["json"]:
            self.print(json.dumps(told, ensure_ascii=False))
        else:
            self.print(f"{told['deleted']}{' with ' if losses else ''}{', '.join(losses)}")


def password_from_stdin() -> str:
    """The first line of standard input: a password has no place among a program's arguments, which everybody sees."""
    return sys.stdin.readline().rstrip("\r\n")


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
