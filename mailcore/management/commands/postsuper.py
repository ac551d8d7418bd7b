"""`postsuper`: delete, hold, release and requeue messages (postsuper(1))."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mailcore.logs import writer
from mailcore.management.program import Fatal, Program, plural
from mailcore.mta.queue import content_files, queue_listing, states

_CHUNK = 500


# option → (action, text for one message, text for the total, queues it applies to); in Postfix's order
_ACTIONS: dict[str, tuple[Callable[[Sequence[int]], int], str, str, Sequence[str]]] = {
    "r": (states.requeue_many, "requeued", "Requeued", ("hold", "incoming", "active", "deferred")),
    "d": (states.remove, "removed", "Deleted", ("hold", "incoming", "active", "deferred", "corrupt")),
    "h": (states.hold, "placed on hold", "Placed on hold", ("incoming", "active", "deferred")),
    "H": (states.release, "released from hold", "Released from hold", ("hold",)),
}


class Command(Program):
    help = (
        "Delete, hold, release or requeue messages. An argument is a queue id, - (queue ids from standard input) or"
        " ALL; with ALL, queues may be named: incoming, active, deferred, hold (deferred if -d ALL deferred, …)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        for option, option_help in (
            ("d", "delete, without a bounce"),
            ("h", "put on hold: no delivery until released"),
            ("H", "release from hold, keeping the arrival time"),
            ("r", "requeue: new queue id and arrival time, recipients resolved again"),
        ):
            parser.add_argument(
                f"-{option}", dest=option, action="append", default=[], metavar="QUEUE_ID", help=option_help
            )
        parser.add_argument("queues", nargs="*", metavar="queue", help="with ALL: only messages in these queues")

    def run(self, options: dict[str, Any], given: Any) -> int:
        queues = options["queues"]
        for name in queues:
            if name not in queue_listing.ALL_QUEUES:
                raise Fatal(f"invalid directory name: {name}")
        if not any(options[option] for option in _ACTIONS):
            raise Fatal("nothing to do: one of -d, -h, -H, -r is needed")
        counts = {}
        for option, (act, done_text, _, _) in _ACTIONS.items():
            for argument in options[option]:
                if argument == "ALL":
                    count = self._act_on_all(option, queues)
                else:
                    count = sum(self._act_on_one(act, done_text, name) for name in _names(argument))
                counts[option] = counts.get(option, 0) + count
        for option, count in counts.items():
            summary = f"{_ACTIONS[option][2]}: {plural(count, 'message')}"
            self.say(summary)
            writer.write("postsuper", summary)
        return 0

    def _act_on_all(self, option: str, queues: Sequence[str]) -> int:
        act, _, _, allowed = _ACTIONS[option]
        # -d ALL without a queue leaves out corrupt messages, which are kept for inspection.
        selected = [name for name in queues or queue_listing.QUEUES if name in allowed]
        ids = queue_listing.list_ids(selected)
        return sum(act(ids[start : start + _CHUNK]) for start in range(0, len(ids), _CHUNK))

    def _act_on_one(self, act: Callable[[Sequence[int]], int], done_text: str, name: str) -> int:
        try:
            queued_id = content_files.parse_id(name)
        except ValueError:
            self.warn(f"invalid mail queue id: {name}")
            return 0
        count = act([queued_id])
        if count:
            self.say(f"{name}: {done_text}")
            writer.write("postsuper", f"{name}: {done_text}")
        return count


def _names(argument: str) -> Iterator[str]:
    if argument != "-":
        yield argument
        return
    for line in sys.stdin:
        if name := line.strip():
            yield name
