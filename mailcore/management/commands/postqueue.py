"""`postqueue`: list and flush the queue (postqueue(1))."""

import json
import re
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from typing import Any

from mailcore.management.program import EX_UNAVAILABLE, Fatal, Program
from mailcore.mta.queue import content_files, queue_listing, states
from mailcore.mta.queue.queue_listing import QueueEntry

_SITE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?|\[[0-9A-Za-z:.]+\]")
_MARKS = {"active": "*", "hold": "!"}
_REASON_ENDS = 76  # column
_CHUNK = 500


class Command(Program):
    help = "List the messages in the queue, or try to deliver deferred ones now."
    fatal_status = EX_UNAVAILABLE

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("-p", dest="listing", action="store_true", help="list the queue as text")
        what.add_argument("-j", "--json", action="store_true", help="list the queue, one JSON object per line")
        what.add_argument("-f", dest="flush", action="store_true", help="try every deferred message now")
        what.add_argument("-i", metavar="QUEUE_ID", help="try this deferred message now")
        what.add_argument("-s", metavar="DOMAIN", help="try deferred messages to this domain now")
        parser.add_argument("--corrupt", action="store_true", help="with -p or -j: corrupt messages")

    def run(self, options: dict[str, Any], given: Any) -> int:
        if options["flush"]:
            states.flush()
        elif options["i"] is not None:
            states.flush([_queued_id(options["i"])])
        elif options["s"] is not None:
            self._flush_site(options["s"])
        else:
            queues = ("corrupt",) if options["corrupt"] else queue_listing.QUEUES
            render = as_json if options["json"] else as_text
            for line in render(queue_listing.list_entries(queues)):
                self.print(line)
            if not options["corrupt"] and (corrupt := queue_listing.count_entries("corrupt")):
                self.warn(f"{corrupt} messages are corrupt: see {self.name} -p --corrupt")
        return 0

    def _flush_site(self, site: str) -> None:
        if not _SITE.fullmatch(site):
            raise Fatal(f'Cannot flush mail queue - invalid destination: "{site}"')
        ids = queue_listing.deferred_ids_for(site.lower())
        for start in range(0, len(ids), _CHUNK):
            states.flush(ids[start : start + _CHUNK])


def _queued_id(text: str) -> int:
    try:
        return content_files.parse_id(text)
    except ValueError:
        raise Fatal(f'Cannot flush queue ID - invalid name: "{text}"') from None


def as_json(entries: Iterable[QueueEntry]) -> Iterator[str]:
    """Yield one JSON object for each message, in the format of `postqueue -j` of Postfix 3.7."""
    for entry in entries:
        recipients = []
        for recipient in entry.recipients:
            fields = {"address": recipient.address}
            if recipient.original != recipient.address:
                fields["orig_address"] = recipient.original
            if recipient.reason:
                fields["delay_reason"] = recipient.reason
            recipients.append(fields)
        yield json.dumps(
            {
                "queue_name": entry.queue,
                "queue_id": entry.queue_id,
                "arrival_time": entry.arrived_at,
                "message_size": entry.size,
                "forced_expire": False,
                "sender": entry.sender or "MAILER-DAEMON",
                "recipients": recipients,
            }
        )


def as_text(entries: Iterable[QueueEntry]) -> Iterator[str]:
    """Yield lines in the format that `mailq` has had since Sendmail."""
    byte_count = messages = 0
    for entry in entries:
        if not messages:
            yield "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------"
        messages += 1
        byte_count += entry.size
        yield _message(entry)
    if messages:
        yield f"-- {byte_count // 1024} Kbytes in {messages} Request{'' if messages == 1 else 's'}."
    else:
        yield "Mail queue is empty"


def _message(entry: QueueEntry) -> str:
    arrived = f"{time.asctime(time.localtime(entry.arrived_at)):20.20}"
    name = entry.queue_id + _MARKS.get(entry.queue, "")
    lines = [f"{name:<11} {entry.size:7d} {arrived} {entry.sender or 'MAILER-DAEMON'}"]
    last_reason = ""
    # Recipients that were tried come first, under the reason of their failure.
    for recipient in sorted(entry.recipients, key=lambda each: not each.reason):
        if recipient.reason and recipient.reason != last_reason:
            last_reason = recipient.reason
            text = f"({last_reason})"
            lines.append(f"{text:>{_REASON_ENDS + 2}}")
        lines.append(f"{'':<11} {'':7} {'':20} {recipient.address}")
    return "\n".join(lines) + "\n"
