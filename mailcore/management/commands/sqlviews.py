"""`sqlviews`: show or create SQL views over the directory for Postfix and Dovecot servers."""

from argparse import ArgumentParser
from typing import Any

from mailcore.management.program import Program
from mailcore.store.setup import sql_views


class Command(Program):
    help = "Show the views that Postfix and Dovecot can query, or create them in the database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_mutually_exclusive_group()
        actions.add_argument("--create", action="store_true", help="create the views, replacing existing ones")
        actions.add_argument("--drop", action="store_true", help="remove the views")

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
