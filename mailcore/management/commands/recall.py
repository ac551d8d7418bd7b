"""`recall`: messages that wait because their sender asked for it (FUTURERELEASE), and calling them back."""

import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from mailcore.management.program import Fatal, Program
from mailcore.mta.queue import recall
from mailcore.mta.queue.states import MICRO


class Command(Program):
    help = (
        "List the messages of an account that wait for the time its owner gave them, or call one back: it leaves the"
        " queue, and its content goes to standard output."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-u", "--owner", required=True, metavar="ADDRESS", help="the account that sent them")
        parser.add_argument("queue_id", nargs="?", metavar="QUEUE_ID", help="call this one back")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owner, queue_id = options["owner"], options["queue_id"]
        if queue_id is None:
            for kept in recall.list_scheduled(owner):
                when = datetime.fromtimestamp(kept.release_us // MICRO).astimezone()
                self.print(
                    f"{kept.queue_id}  {kept.size:>8}  {when:%Y-%m-%d %H:%M:%S %z}  {', '.join(kept.recipients)}"
                )
            return 0
        content = recall.recall(queue_id, owner)
        if content is None:
            raise Fatal(f"{queue_id}: no message of {owner} that still waits")
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return 0
