"""Two supervisors on one database and one data folder, and starts after a crash."""

import smtplib
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.test_supervisor import System

PEOPLE = ["lisi@benet.com", "xiaoqi@benet.com"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """`start()`: one more supervisor on the same database and data folder."""
    started: list[System] = []

    def one(**environment: str) -> System:
        system = System(
            tmp_path,
            "--demo",
            "--no-web",
            "--json",
            MAIL_SERVER_PROCESSES="2",
            RUN_DIR=str(tmp_path / f"run-{len(started)}"),
            **environment,
        )
        started.append(system)
        system.await_ready()
        return system

    yield one
    for system in started:
        if system.process.poll() is None:
            system.stop()


def send_many(system: System, name: str, count: int) -> None:
    """Each to two people, so that it goes through the queue."""
    with smtplib.SMTP("127.0.0.1", system.ports["smtp"], timeout=60) as client:
        for number in range(count):
            client.sendmail("a@other.example", PEOPLE, f"Subject: {name}{number}\r\n\r\n")


def await_removals(system: System, is_over: Callable[[], bool]) -> None:
    """Look again whenever a message has left the queue."""
    log = Path(system.environment["DATA_DIR"], "log/maillog")
    command = ["timeout", "60", "tail", "-n", "+1", "-F", "--quiet", str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            if line.endswith(": removed\n") and is_over():
                tail.kill()
                return
    raise AssertionError("messages are in the queue still")


def delivered(system: System) -> Counter[str]:
    """Subject → how many files, in both mailboxes."""
    found: Counter[str] = Counter()
    for path in Path(system.environment["DATA_DIR"], "mail/benet.com").glob("*/Maildir/new/*"):
        found[path.read_bytes().partition(b"Subject: ")[2].partition(b"\r\n")[0].decode()] += 1
    return found


def test_two_supervisors_lose_nothing_to_each_other(start):
    systems = [start(), start()]
    threads = [
        threading.Thread(target=send_many, args=(system, f"{letter}{number}-", 50))
        for system, letter in zip(systems, "ab", strict=True)
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = Counter({f"{letter}{each}-{n}": 2 for letter in "ab" for each in range(2) for n in range(50)})

    def is_over() -> bool:
        return len(set(delivered(systems[0])) & set(wanted)) == len(wanted)

    await_removals(systems[0], is_over)
    found = delivered(systems[0])
    assert {name: count for name, count in found.items() if name in wanted} == wanted
