"""Several machines: one serves, others deliver with Celery; between them Redis, a database and a data folder."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imap_client import Mailer
from tests.servers.runtime.test_supervisor import ROOT, System, free_port

pytestmark = pytest.mark.skipif(not os.environ.get("TEST_REDIS_URL"), reason="needs a Redis")


class Redis:
    """A Redis of the test's own, that can go and come back."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        words = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(["redis-server", *words], stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Ready to accept connections" in line:
                return
        raise AssertionError("redis-server did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Worker:
    """`celery -A mailcore worker` on a machine of its own."""

    def __init__(self, system: System, folder: Path, name: str = "worker") -> None:
        self.environment = {**system.environment, "RUN_DIR": str(folder / f"run-{name}")}
        self.log = folder / f"{name}.log"
        self._start(name)

    def _start(self, name: str) -> None:
        command = [sys.executable, "-m", "celery", "-A", "mailcore", "worker", "-c", "2", "-n", f"{name}@test"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(word) for word in path.read_text().split()]

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def redis() -> Iterator[Redis]:
    running = Redis()
    yield running
    running.kill()


@pytest.fixture
def machines(tmp_path: Path, redis: Redis) -> Iterator[Callable[..., tuple[System, Worker]]]:
    """A system that serves, and a worker that delivers, elsewhere."""
    started: list[System | Worker] = []

    def start(**environment: str) -> tuple[System, Worker]:
        system = System(
            tmp_path,
            "--demo",
            "--no-web",
            REDIS_URL=redis.url,
            MAIL_SERVER_PROCESSES="1",
            MAIL_DIRECT_DELIVERY="no",
            **environment,
        )
        started.append(system)
        system.await_ready()
        worker = Worker(system, tmp_path)
        started.append(worker)
        return system, worker

    yield start
    for each in reversed(started):
        if each.process.poll() is None:
            each.stop()


def subjects(system: System) -> Counter[str]:
    """Of the messages in lisi's INBOX, by their files."""
    found: Counter[str] = Counter()
    for path in Path(system.environment["DATA_DIR"], "mail/benet.com/lisi/Maildir/new").iterdir():
        if match := re.search(rb"^Subject: (t\d+)\r$", path.read_bytes(), re.MULTILINE):
            found[match[1].decode()] += 1
    return found


def await_all(system: System, count: int, seconds: float = 60) -> Counter[str]:
    """Ask for the mailbox's size until so many messages are there."""
    deadline = time.monotonic() + seconds
    client = Mailer(system.ports["imap"]).sign_in()
    while len(found := subjects(system)) < count and time.monotonic() < deadline:
        client.do("STATUS INBOX (MESSAGES)")
    return found


def each_once(found: Counter[str], count: int) -> bool:
    return found == Counter({f"t{number}": 1 for number in range(count)})


def test_a_worker_delivers_and_an_idle_client_elsewhere_hears_of_it(machines):
    system, _ = machines()
    system.send("t0")
    assert await_all(system, 1)  # the worker is at work
    client = Mailer(system.ports["imap"]).sign_in()
    client.do("SELECT INBOX")
    client.say(b"i IDLE")
    assert client.hear().startswith("+")
    system.send("t1")
    while not each_once(subjects(system), 2):  # the demo's welcome may come first
        assert re.fullmatch(r"\* \d+ (EXISTS|RECENT)", client.hear().strip())


def test_redis_goes_and_comes_back(machines, redis):
    system, _ = machines()
    system.send("t0")
    assert await_all(system, 1)
    redis.kill()
    for number in range(1, 6):
        system.send(f"t{number}")  # accepted all the same
    redis.start()
    system.send("t6")
    assert each_once(await_all(system, 7), 7)


def test_workers_are_killed_while_they_deliver(machines):
    system, worker = machines()
    system.send("t0")
    assert await_all(system, 1)
    for number in range(1, 61):
        system.send(f"t{number}")
        if number % 10 == 0:
            for pid in worker.children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
    assert each_once(await_all(system, 61), 61)


@pytest.mark.skipif(not os.environ.get("POSTGRES_URL"), reason="needs PostgreSQL")
def test_the_database_drops_every_connection(machines):
    """As it does when it is restarted."""
    import psycopg

    url = os.environ["POSTGRES_URL"]
    name = f"youju_machines_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as administrator:
        administrator.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        administrator.execute(f"CREATE DATABASE {name}")
        try:
            system, _ = machines(DATABASE_URL=url.rpartition("/")[0] + f"/{name}")
            taken = 0
            for number in range(30):
                if number % 10 == 5:
                    administrator.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
                    )
                taken = send_until_taken(system, taken)
            assert each_once(await_all(system, taken), taken)
            system.stop()
        finally:
            administrator.execute(f"DROP DATABASE {name} WITH (FORCE)")


def send_until_taken(system: System, number: int) -> int:
    """Send a message as a client that tries again after a 451 reply.

    A message that was never answered may have been accepted; none is here, for the response comes after the commit.
    """
    import smtplib

    for _ in range(20):
        try:
            system.send(f"t{number}")
        except smtplib.SMTPException:
            continue
        return number + 1
    raise AssertionError("no message is taken any more")
