"""`recall`: list messages submitted for later delivery (FUTURERELEASE), and recall them."""

import sys
from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from mailcore.management.program import Fatal, Program
from mailcore.mta.queue import recall
from mailcore.mta.queue.states import MICRO


class Command(Program):
    help = (
        "List an account's messages that were submitted for later delivery, or recall one: it leaves the"
        " queue, and its content goes to standard output."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-u", "--owner", required=True, metavar="ADDRESS", help="the account that sent them")
        parser.add_argument("queue_id", nargs="?", metavar="QUEUE_ID", help="recall this message")

    def run(self, options: dict[str, Any], given: Any) -> int:
        owner, queue_id = options["owner"], options["queue_id"]
        if queue_id is None:
            for scheduled in recall.list_scheduled(owner):
                when = datetime.fromtimestamp(scheduled.release_us // MICRO).astimezone()
                recipients = ", ".join(scheduled.recipients)
                self.print(f"{scheduled.queue_id}  {scheduled.size:>8}  {when:%Y-%m-%d %H:%M:%S %z}  {recipients}")
            return 0
        content = recall.recall(queue_id, owner)
        if content is None:
            raise Fatal(f"{queue_id}: no scheduled message of {owner}")
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        return 0
