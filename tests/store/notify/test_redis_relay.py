"""Notifications between machines that have one host name."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [
    pytest.mark.skipif(not os.environ.get("TEST_REDIS_URL"), reason="needs a Redis"),
    pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="only root makes namespaces"),
]
LISTEN = """
import select, django
django.setup()
from mailcore.store.notify import notifications
hearing = notifications.open_listener(notifications.SERVERS)
assert notifications._redis_listeners[hearing.fileno()].connected.wait(20)
print("listening", flush=True)
while True:
    assert select.select([hearing], [], [], 20)[0]
    print(hearing.recv(100).decode(), flush=True)
"""
SEND = """
import django
django.setup()
from mailcore.store.notify import notifications
notifications._send_audience(notifications.SERVERS, b"M 7")
"""


def test_containers_with_one_name_and_one_path_hear_of_each_other(tmp_path):
    """The same RUN_DIR, another folder behind it: as two containers made from one image have it."""
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    other.mkdir()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "mailcore.settings",
        "DATA_DIR": str(tmp_path / "data"),
        "RUN_DIR": str(run),
        "REDIS_URL": os.environ["TEST_REDIS_URL"],
        "SECRET_KEY": str(tmp_path),  # channels of this test's own
    }
    script = f'mount --bind {other} {run} && exec "$@"'
    listener = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", LISTEN],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        if listener.stdout.readline() != "listening\n":
            pytest.skip(f"no mount namespaces here: {listener.stderr.read()}")
        subprocess.run([sys.executable, "-c", SEND], cwd=ROOT, env=environment, check=True, timeout=60)
        assert listener.stdout.readline() == "M 7\n"
    finally:
        listener.kill()
        listener.communicate()
