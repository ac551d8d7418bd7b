"""The whole system as a process: it starts, survives, reloads and stops."""

import json
import os
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PORTS = ("SMTP", "SUBMISSION", "SUBMISSIONS", "LMTP", "POP3", "POP3S", "IMAP", "IMAPS", "SIEVE", "WEB")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class System:
    def __init__(self, folder: Path, *options: str, **environment: str) -> None:
        self.ports = {name.lower(): free_port() for name in PORTS}
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MAIL_", "DATABASE_", "DJANGO_ALLOW"))},
            "HOST": "127.0.0.1",
            "DATA_DIR": str(folder / "data"),
            **{f"{name}_PORT": str(self.ports[name.lower()]) for name in PORTS},
            **environment,
        }
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "runmailserver", *options],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said: list[str] = []

    def await_ready(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("ready"):
                return
        raise AssertionError("".join(self.said))

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def send(self, subject: str) -> None:
        with smtplib.SMTP("127.0.0.1", self.ports["smtp"], timeout=20) as client:
            client.sendmail("a@other.example", ["lisi@benet.com"], f"Subject: {subject}\r\n\r\n")

    def await_log(self, words: str) -> str:
        """Follow the log until a line has these words."""
        command = [
            "timeout",
            "30",
            "tail",
            "-n",
            "+1",
            "-F",
            "--quiet",
            str(Path(self.environment["DATA_DIR"], "log/maillog")),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as tail:
            assert tail.stdout is not None
            for line in tail.stdout:
                if re.search(words, line):
                    tail.kill()
                    return line
        raise AssertionError(f"nobody logged {words}")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    running = System(tmp_path, "--demo", "--json", MAIL_SERVER_PROCESSES="1", MAIL_WEB_PROCESSES="1")
    running.await_ready()
    yield running
    if running.process.poll() is None:
        running.stop()


def pids(system: System) -> dict[str, int]:
    [line] = [line for line in system.said if line.startswith("{")]
    return json.loads(line)["pids"]


def test_it_says_where_it_listens_and_all_parts_are_up(system):
    [line] = [line for line in system.said if line.startswith("{")]
    listeners = json.loads(line)["listeners"]
    assert {name: addresses[0] for name, addresses in listeners.items()} == {
        name: f"127.0.0.1:{port}" for name, port in system.ports.items()
    }
    with urllib.request.urlopen(f"http://127.0.0.1:{system.ports['web']}/healthz") as answer:
        assert answer.status == 200
        assert all(json.load(answer)["parts"].values())


@pytest.mark.parametrize("part", ["server-1", "courier-1"])
def test_a_part_that_dies_is_started_again(system, part):
    os.kill(pids(system)[part], signal.SIGKILL)
    system.await_log(f"warning: {part} ended unexpectedly")
    system.send("after")
    system.await_log("to=<lisi@benet.com>, .* status=sent")


def test_it_reloads_without_dropping_a_session(system):
    with smtplib.SMTP("127.0.0.1", system.ports["smtp"], timeout=20) as client:
        client.helo()
        os.kill(pids(system)["supervisor"], signal.SIGHUP)
        system.await_log("reloaded")
        assert client.noop()[0] == 250


def test_it_stops_gracefully_and_starts_again_where_it_was(system, tmp_path):
    with smtplib.SMTP("127.0.0.1", system.ports["smtp"], timeout=20) as client:
        client.helo()
        assert system.stop() == 0
        assert client.getreply()[0] == 421
    again = System(tmp_path, "--demo", **{k: v for k, v in system.environment.items() if k.endswith("_PORT")})
    again.ports = system.ports
    again.await_ready()
    again.send("after the restart")
    again.await_log("status=sent")
    assert again.stop() == 0


def test_when_the_supervisor_is_killed_its_children_leave(system):
    children = [pid for name, pid in pids(system).items() if name != "supervisor"]
    pidfds = [os.pidfd_open(pid) for pid in children]
    system.process.kill()
    system.process.wait()
    for descriptor in pidfds:
        assert select.select([descriptor], [], [], 20)[0], "a child stayed behind"
        os.close(descriptor)


def test_the_demo_stays_on_loopback(tmp_path):
    system = System(tmp_path, "--demo", HOST="0.0.0.0")
    out, _ = system.process.communicate(timeout=60)
    assert system.process.returncode == 1
    assert "loopback only" in out


def test_a_taken_port_is_named(tmp_path, system):
    other = System(tmp_path / "other", "--demo", SMTP_PORT=str(system.ports["smtp"]))
    out, _ = other.process.communicate(timeout=60)
    assert other.process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{system.ports['smtp']} for smtp: another program has it" in out


def test_an_empty_port_switches_a_service_off(tmp_path):
    system = System(tmp_path, "--demo", "--no-web", LMTP_PORT="", POP3_PORT="", MAIL_SERVER_PROCESSES="1")
    system.await_ready()
    said = "".join(system.said)
    assert "imap " in said
    assert "lmtp" not in said
    assert "pop3 " not in said
    assert system.stop() == 0


def test_an_open_relay_is_refused_at_start(tmp_path):
    system = System(
        tmp_path, "--demo", MAIL_SMTPD_RELAY_RESTRICTIONS="permit", MAIL_SMTPD_RECIPIENT_RESTRICTIONS="permit"
    )
    out, _ = system.process.communicate(timeout=60)
    assert system.process.returncode == 1
    assert "open relay" in out


@pytest.mark.skipif(os.getuid() != 0, reason="only root has privileges to drop")
def test_root_becomes_the_mail_owner(tmp_path):
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o777 == 0o700:
            parent.chmod(0o711)
    system = System(tmp_path, "--demo", MAIL_MAIL_OWNER="nobody", MAIL_SERVER_PROCESSES="1", MAIL_WEB_PROCESSES="1")
    system.await_ready()
    [line] = [line for line in system.said if line.startswith("ready")]
    supervisor = line.split()[-1]
    assert re.search(r"^Uid:\t65534", Path(f"/proc/{supervisor}/status").read_text(), re.MULTILINE)
    system.send("to an unprivileged server")
    system.await_log("status=sent")
    assert system.stop() == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root has privileges to drop")
def test_root_in_production_needs_somebody_to_become(tmp_path):
    environment = {"MAIL_MAIL_OWNER": "nobody-by-this-name", "MAIL_MYHOSTNAME": "mail.example.org"}
    prepared = System(tmp_path, "--help", **environment)
    prepared.process.communicate(timeout=60)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=prepared.environment, check=True)
    system = System(tmp_path, **environment)
    out, _ = system.process.communicate(timeout=60)
    assert system.process.returncode == 1
    assert "useradd --system" in out
