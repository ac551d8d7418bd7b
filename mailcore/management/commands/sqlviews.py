"""`sqlviews`: views over the directory for a Postfix and a Dovecot that stay."""

from argparse import ArgumentParser
from typing import Any

from mailcore.management.program import Program
from mailcore.store.setup import sql_views


class Command(Program):
    help = "Show the views that a Postfix or Dovecot can ask, or make them in the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--create", action="store_true", help="make the views, or make them anew")
        what.add_argument("--drop", action="store_true", help="remove them")

    def run(self, options: dict[str, Any], given: Any) -> int:
        if options["create"]:
            for name in sql_views.create_views():
                self.print(name)
        elif options["drop"]:
            sql_views.drop_views()
        else:
            for name, select in sql_views.view_statements().items():
                self.print(f"CREATE VIEW {name} AS {select.replace('%%', '%')};")
        return 0
