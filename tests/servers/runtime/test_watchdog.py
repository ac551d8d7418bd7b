"""A process whose event loop stands still is replaced by the supervisor; its listening sockets stay open."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.runtime.test_supervisor import System, pids

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def system(tmp_path):
    running = System(
        tmp_path, "--demo", "--json",
        MAIL_SERVER_PROCESSES="1", MAIL_WEB_PROCESSES="1", MAIL_WATCHDOG_TIMEOUT="2",
    )  # fmt: skip
    running.await_ready()
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.mark.parametrize("part", ["server-1", "web-1"])
def test_a_stopped_process_is_replaced_and_waiting_clients_are_served(system, part):
    before = pids(system)[part]
    os.kill(before, signal.SIGSTOP)
    # Accepted by the kernel while nobody serves: the socket belongs to the supervisor, too.
    client = socket.create_connection(("127.0.0.1", system.ports["imap" if part == "server-1" else "web"]), 60)
    if part == "web-1":
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert re.search(r"has been blocked for \d+ s, replacing it", system.await_log(f"event loop of {part}"))
    assert client.recv(10).startswith(b"* OK" if part == "server-1" else b"HTTP/1.1 2")
    assert not os.path.exists(f"/proc/{before}")
    other = "web-1" if part == "server-1" else "server-1"
    assert os.path.exists(f"/proc/{pids(system)[other]}"), "only the process that stands still is replaced"
    assert system.stop() == 0


BLOCKING = """
import asyncio, os, socket, sys, time
import django
django.setup()
from mailcore import conf
from mailcore.servers.runtime import heartbeat
from mailcore.servers.runtime.supervisor import ChildProcess, Supervisor

listening = socket.create_server(("127.0.0.1", 0))
marker = sys.argv[1]

def body(ready):
    async def serve():
        heartbeat.start()
        ready()
        await asyncio.sleep(0)
        if not os.path.exists(marker):
            open(marker, "w").close()
            time.sleep(1000)  # as a pattern that backtracks would
        connection, _ = listening.accept()
        connection.sendall(b"served by another\\n")
        connection.close()
        await asyncio.Event().wait()
    asyncio.run(serve())

class One(Supervisor):
    def _plan_children(self):
        self.parts.append(ChildProcess("server-1", 1, body))

print(listening.getsockname()[1], flush=True)
One(0, 0, 0, ()).run(as_json=False)
"""


@pytest.mark.django_db
def test_a_child_whose_loop_is_blocked_is_replaced(tmp_path):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mailcore.settings",
        "DATA_DIR": str(tmp_path / "data"),
        "MAIL_WATCHDOG_TIMEOUT": "1",
        "MAIL_MAILLOG_FILE": "/dev/stdout",
    }
    environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    process = subprocess.Popen(
        [sys.executable, "-c", BLOCKING, str(tmp_path / "blocked")],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), 60) as client:
            assert client.recv(100) == b"served by another\n"
    finally:
        process.terminate()
    found, _ = process.communicate(timeout=30)
    assert "error: event loop of server-1 has been blocked for" in found
    assert "time.sleep(1000)" in found or "in serve" in found, "the stack says where it stood"
    assert "warning: server-1 ended unexpectedly, starting it again" in found
