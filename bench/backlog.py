"""A long queue: what deferred messages cost those that come, and those who look.

    bench/backlog.py [--backlog N] [--messages N]

Messages are taken in (by smtp-source, through the queue) and delivered before and after N deferred ones lie there; then
the queue is listed. One JSON line.
"""

import argparse
import json
import os
import subprocess
import sys
import time

from demosite import ROOT, Site, running

PYTHON = str(ROOT / ".venv/bin/python")
FILL = """
from mailcore.models import Queued, Recipient
from mailcore.mta.queue.states import now_us
now, count = now_us(), {count}
for start in range(0, count, 5000):
    Queued.objects.bulk_create(
        Queued(id=number, state="deferred", due_us=now + 10**11, received_us=now, sender="a@b.example", size=4096)
        for number in range(start + 1, start + 5001)
    )
    Recipient.objects.bulk_create(
        Recipient(queued_id=number, address="c@d.example", original="c@d.example", reason="connection refused")
        for number in range(start + 1, start + 5001)
    )
"""


def take_in(site: Site, messages: int) -> float:
    """Messages a second, from the first one in to the last one delivered."""
    began = time.monotonic()
    command = ["smtp-source", "-s", "10", "-l", "4096", "-m", str(messages), "-f", "a@other.example"]
    subprocess.run([*command, "-t", "lisi@benet.com", f"127.0.0.1:{site.ports['smtp']}"], check=True)
    site.await_empty_queue()
    return messages / (time.monotonic() - began)


def list_queue(site: Site) -> tuple[float, float, int]:
    """(seconds to the first line, to the last, most memory in MB) of `postqueue -p`."""
    began = time.monotonic()
    process = subprocess.Popen(
        [PYTHON, "manage.py", "postqueue", "-p"], cwd=ROOT, env=site.environment, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.readline()
    first = time.monotonic() - began
    for _ in process.stdout:
        pass
    _, _, usage = os.wait4(process.pid, 0)
    return first, time.monotonic() - began, usage.ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backlog", type=int, default=100_000)
    parser.add_argument("--messages", type=int, default=2000)
    options = parser.parse_args()
    with running(environment={"MAIL_DIRECT_DELIVERY": "no"}) as site:
        take_in(site, 200)
        empty = take_in(site, options.messages)
        empty_list = list_queue(site)
        filling = ["manage.py", "shell", "-v", "0", "-c", FILL.format(count=options.backlog)]
        subprocess.run([PYTHON, *filling], cwd=ROOT, env=site.environment, check=True)
        full = take_in(site, options.messages)
        first, last, memory = list_queue(site)
    print(
        json.dumps(
            {
                "backlog": options.backlog,
                "messages/s without": round(empty),
                "messages/s with": round(full),
                "list of the empty queue, s": round(empty_list[0], 2),
                "first line, s": round(first, 2),
                "last line, s": round(last, 2),
                "memory of postqueue, MB": memory,
                "of the empty queue, MB": empty_list[2],
            }
        )
    )


if __name__ == "__main__":
    sys.exit(main())
