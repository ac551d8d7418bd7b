"""A demo site of its own for measurements: fresh data folder, free ports, started and stopped by the caller."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("SMTP", "SUBMISSION", "SUBMISSIONS", "LMTP", "POP3", "POP3S", "IMAP", "IMAPS", "SIEVE", "WEB")


class Site:
    """`ports["smtp"]`, …; `pids["courier-1"]`, …; CPU and memory of all its processes."""

    def __init__(self, folder: Path, users: int = 0, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.users = users
        self.ports = {name.lower(): free_port() for name in SERVICES}
        self.environment = {
            **os.environ,
            "HOST": "127.0.0.1",
            "DATA_DIR": str(folder / "data"),
            # Measurements are not about these limits.
            "MAIL_VIRTUAL_MAILBOX_LIMIT": "0",
            "MAIL_MAILBOX_SIZE_LIMIT": "0",
            "MAIL_SMTPD_CLIENT_CONNECTION_COUNT_LIMIT": "0",
            "MAIL_MAIL_MAX_USERIP_CONNECTIONS": "0",
            **{f"{name}_PORT": str(self.ports[name.lower()]) for name in SERVICES},
            **(environment or {}),
        }
        self.pids: dict[str, int] = {}
        self.administrator_password = ""
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait for the ready line."""
        self.spawn()
        self.wait_until_ready()

    def spawn(self) -> None:
        """Start, without waiting."""
        command = [sys.executable, str(ROOT / "manage.py"), "runmailserver", "--demo", "--json"]
        self.process = subprocess.Popen(
            [*command, "--demo-users", str(self.users)], env=self.environment, stdout=subprocess.PIPE, text=True
        )

    def wait_until_ready(self) -> None:
        """Read what the server prints up to its ready line; `RuntimeError` if it ends before."""
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                self.pids = json.loads(line)["pids"]
            elif match := re.search(r"admin@benet\.com / (\S+)", line):
                self.administrator_password = match[1]
            elif line.startswith("ready"):
                return
        raise RuntimeError(f"the site did not start: exit {self.process.wait()}")

    def kill(self) -> None:
        """SIGKILL to every process at once, as when the machine loses its power; its disk keeps what was written."""
        assert self.process is not None
        for pid in (self.process.pid, *descendants(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def cpu_seconds(self) -> dict[str, float]:
        """User and system time of each process so far."""
        tick = os.sysconf("SC_CLK_TCK")
        spent = {}
        for name, pid in self.pids.items():
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            spent[name] = (int(words[11]) + int(words[12])) / tick
        return spent

    def queue_is_empty(self) -> bool:
        return not os.listdir(self.folder / "data/queue")

    def await_empty_queue(self, seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while not self.queue_is_empty():
            if time.monotonic() > deadline:
                raise TimeoutError("messages are still in the queue")
            time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    """Children of a process, their children, and so on, from the process table."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [each for word in words for each in (int(word), *descendants(int(word)))]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(users: int = 0, environment: dict[str, str] | None = None) -> Iterator[Site]:
    """A site for the length of a `with` block; its folder is removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="youju-bench-"))
    site = Site(folder, users, environment)
    try:
        site.start()
        yield site
    finally:
        if site.process is not None and site.process.poll() is None:
            site.stop()
        shutil.rmtree(folder, ignore_errors=True)
