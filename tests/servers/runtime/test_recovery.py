"""Two supervisors on one database and one data folder, and starts after a crash."""

import json
import os
import select
import signal
import smtplib
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.runtime.test_supervisor import System

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
            **{"MAIL_SERVER_PROCESSES": "2", "RUN_DIR": str(tmp_path / f"run-{len(started)}"), **environment},
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
        threading.Thread(target=send_many, args=(system, f"{message}{number}-", 50))
        for system, message in zip(systems, "ab", strict=True)
        for number in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wanted = Counter({f"{message}{each}-{n}": 2 for message in "ab" for each in range(2) for n in range(50)})

    def is_over() -> bool:
        return len(set(delivered(systems[0])) & set(wanted)) == len(wanted)

    await_removals(systems[0], is_over)
    found = delivered(systems[0])
    assert {name: count for name, count in found.items() if name in wanted} == wanted


def kill_everything(system: System) -> None:
    """As a power failure does, but for what the disk loses."""
    [line] = [line for line in system.said if line.startswith("{")]
    pids = json.loads(line)["pids"].values()
    descriptors = [os.pidfd_open(pid) for pid in pids]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    system.process.wait()
    for descriptor in descriptors:
        assert select.select([descriptor], [], [], 20)[0]
        os.close(descriptor)


def lose_files(folder: Path) -> int:
    """Delete the files whose content the database still holds, as a power failure may. Return their number."""
    with sqlite3.connect(folder / "youju.sqlite3") as database:
        rows = database.execute(
            "SELECT base_name FROM mailcore_unsynced JOIN mailcore_message ON mailcore_message.id = message_id"
        ).fetchall()
    for (name,) in rows:
        for path in (folder / "mail/benet.com").rglob(f"{name}*"):
            path.unlink()
    database.close()
    return len(rows)


def test_after_a_power_failure_several_processes_start_and_nothing_is_lost(start, tmp_path):
    """Also where one of the messages cannot be restored: that one is logged and kept."""
    system, sent = start(MAIL_SERVER_PROCESSES="4"), 0
    lost = 0
    for _ in range(3):
        while True:
            for _ in range(20):
                system.send(f"t{sent}")
                sent += 1
            kill_everything(system)
            if count := lose_files(tmp_path / "data"):
                lost += count
                break
            system = start(MAIL_SERVER_PROCESSES="4")
        system = start(MAIL_SERVER_PROCESSES="4")
    assert lost
    found = {name: count for name, count in delivered(system).items() if name.startswith("t")}
    assert found == {f"t{number}": 1 for number in range(sent)}

    kill_everything(system)
    with sqlite3.connect(tmp_path / "data/youju.sqlite3") as database:
        [(key,)] = database.execute("SELECT max(id) FROM mailcore_message").fetchall()
        database.execute("UPDATE mailcore_message SET base_name = ? WHERE id = ?", ("x" * 255, key))
        database.execute("INSERT OR REPLACE INTO mailcore_unsynced VALUES (?, ?)", (key, b"Subject: x\r\n\r\n"))
    database.close()
    system = start(MAIL_SERVER_PROCESSES="4")
    system.await_log("error: a message of lisi@benet.com in INBOX cannot be restored")
    assert lose_files(tmp_path / "data") == 1
    assert system.stop() == 0
