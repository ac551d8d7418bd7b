"""docs/systemd/youju.service: systemd reads it, and what it says starts, reloads and stops the system, without root's powers."""

import configparser
import os
import pwd
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.servers.runtime.test_supervisor import ROOT, System

UNIT = ROOT / "docs/systemd/youju.service"


@pytest.fixture
def unit() -> configparser.SectionProxy:
    read = configparser.ConfigParser(interpolation=None)
    read.optionxform = str  # type: ignore[assignment]
    read.read_string(UNIT.read_text())
    return read["Service"]


def test_systemd_understands_it(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd is not here")
    copy = tmp_path / "youju.service"
    copy.write_text(UNIT.read_text().replace("/srv/youju/.venv/bin/python", sys.executable))
    said = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
    assert (said.returncode, "youju.service" in said.stderr) == (0, False), said.stderr


def test_what_it_starts_reloads_and_stops(unit, tmp_path):
    words = shlex.split(unit["ExecStart"])
    assert Path(words[0]).relative_to(unit["WorkingDirectory"]) == Path(".venv/bin/python")
    assert words[1] == "manage.py"
    assert (ROOT / "manage.py").exists()
    folder = tmp_path / "data"
    folder.mkdir(mode=0o750)
    environment = {**os.environ, "DATA_DIR": str(folder)}
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True, timeout=100)
    system = System(tmp_path, *words[3:], MAIL_MAIL_OWNER=pwd.getpwuid(os.getuid()).pw_name)
    try:
        system.await_ready()
        assert unit["ExecReload"].split() == ["/bin/kill", "-HUP", "$MAINPID"]
        system.process.send_signal(signal.SIGHUP)
        with urllib.request.urlopen(f"http://127.0.0.1:{system.ports['web']}/healthz", timeout=30) as answer:
            assert answer.status == 200
    finally:
        assert system.stop() == 0


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("setpriv"), reason="only root hands on capabilities")
def test_its_capabilities_are_enough_for_low_ports(unit, tmp_path):
    """Bound as somebody who is not root and has nothing but what the unit gives."""
    [capability] = unit["AmbientCapabilities"].split()
    assert unit["CapabilityBoundingSet"] == capability
    name = f"+{capability.removeprefix('CAP_').lower()}"
    bind = "import socket; socket.create_server(('127.0.0.77', 25)); print('bound')"
    python = shutil.which("python3", path="/usr/bin:/bin")
    if python is None:
        pytest.skip("no python3 that others than root may start")
    done = subprocess.run(
        ["setpriv", "--reuid=nobody", "--clear-groups", "--bounding-set=-all," + name, "--inh-caps=" + name,
         "--ambient-caps=" + name, python, "-c", bind],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == "bound\n", done.stderr
