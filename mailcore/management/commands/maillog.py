"""`maillog`: read, search and follow the mail log, or show the trace of a message."""

import json
import time
from argparse import ArgumentParser
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mailcore.logs import reader, writer
from mailcore.logs.reader import LEVELS, LogFilter, follow_lines
from mailcore.logs.reader import read_lines as lines_of
from mailcore.management.program import Fatal, Program
from mailcore.mta.history import message_trace
from mailcore.mta.history.message_trace import MessageTrace


def _time(text: str) -> datetime:
    return reader.parse_time(text, datetime.now().astimezone())


class Command(Program):
    help = "Show lines of the mail log that contain all the given words, or the trace of a message."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("-f", dest="follow", action="store_true", help="follow the log as lines are written")
        parser.add_argument("-n", dest="last", type=int, metavar="N", help="only the last N lines; 10 with -f")
        parser.add_argument("--level", choices=LEVELS, help="only lines of this level and worse")
        for name, side in (("--since", "from this time on"), ("--until", "before this time")):
            parser.add_argument(
                name, type=_time, metavar="TIME", help=f"lines {side}: 14:05, 2026-11-22 14:05, or 30m, 2h, 7d ago"
            )
        parser.add_argument(
            "--story",
            metavar="WHAT",
            help="show the trace of messages: a queue id, a Message-ID, an address or a whole subject",
        )
        parser.add_argument("--json", action="store_true", help="with --story: one JSON object for each message")
        parser.add_argument("words", nargs="*", metavar="word", help="a word, in any case")

    def run(self, options: dict[str, Any], given: Any) -> int:
        if options["story"] is not None:
            return self._print_traces(options["story"], as_json=options["json"])
        path = writer.log_path()
        if not path:
            raise Fatal("the log does not go to a file (maillog_file)")
        last = 10 if options["follow"] and options["last"] is None else options["last"]
        log_filter = LogFilter(options["words"], options["level"], options["since"], options["until"])
        position = 0
        try:
            with open(path, encoding="utf-8", errors="replace") as file:
                lines: Iterable[str] = (line for line in lines_of(file) if log_filter.matches(line))
                for line in lines if last is None else deque(lines, maxlen=last):
                    self.print(line)
                position = file.tell()
        except FileNotFoundError:
            if not options["follow"]:
                raise Fatal(f"open {path}: No such file or directory") from None
        if options["follow"]:
            self.stdout.flush()
            for line in follow_lines(path, position):
                if log_filter.matches(line):
                    self.print(line)
                    self.stdout.flush()
        return 0

    def _print_traces(self, text: str, *, as_json: bool) -> int:
        traces = message_trace.find_traces(text)
        for each in traces:
            if as_json:
                self.print(json.dumps(asdict(each), ensure_ascii=False))
            else:
                for line in _trace_lines(each):
                    self.print(line)
        if not traces:
            self.say(f"no message by that queue id, Message-ID, address or subject: {text}")
        return 0 if traces else 1


def _trace_lines(message: MessageTrace) -> Iterator[str]:
    sender = message.sender or "MAILER-DAEMON"
    details = f"message-id=<{message.message_id}>, size={message.size}"
    yield f"{message.queue_id}: from=<{sender}>, {details}, {message.state}"
    for moment in message.moments:
        timestamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(moment.at_us // 1_000_000))
        parts = [
            moment.kind,
            f"to=<{moment.address}>" if moment.address else "",
            f"relay={moment.relay}" if moment.relay else "",
            f"dsn={moment.dsn}" if moment.dsn else "",
            f"({moment.text})" if moment.text else "",
        ]
        yield f"  {timestamp}  {' '.join(part for part in parts if part)}"
    for place in message.places:
        yield f"  now{'':18}in {place.mailbox} of <{place.address}>, {'read' if place.is_read else 'unread'}"
