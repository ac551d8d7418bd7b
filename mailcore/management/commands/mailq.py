"""`mailq`: list the queue as `postqueue -p` does (mailq(1))."""

from argparse import ArgumentParser
from typing import Any

from mailcore.management.commands import postqueue


class Command(postqueue.Command):
    help = "List the messages in the queue."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-j", "--json", action="store_true", help="one JSON object per line")
        parser.add_argument("--corrupt", action="store_true", help="list corrupt messages instead")

    def run(self, options: dict[str, Any], given: Any) -> int:
        return super().run({**options, "flush": False, "i": None, "s": None}, given)
