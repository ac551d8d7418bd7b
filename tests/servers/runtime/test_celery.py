"""Delivery by Celery's workers: what it needs is pinned, wake-ups do not pile up, a worker survives a burst of them."""

import importlib.metadata
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.servers.runtime.test_machines import Redis, System, Worker, await_all, each_once
from tests.servers.runtime.test_service_unit import ROOT

LOCK = ROOT / "requirements.lock"
UNIT = ROOT / "docs/systemd/youju-worker.service"
needs_redis = pytest.mark.skipif(not os.environ.get("TEST_REDIS_URL"), reason="needs a Redis")
ENTRY_POINTS = """
import sys, pkgutil, importlib, importlib.metadata as metadata

class Missing:
    names = set(sys.stdin.readline().split())
    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

pinned, version = set(sys.stdin.readline().split()), metadata.version

def pinned_version(name):
    if name.lower().replace("_", "-").replace(".", "-") not in pinned:
        raise metadata.PackageNotFoundError(name)
    return version(name)

metadata.version = pinned_version
sys.meta_path.insert(0, Missing())
import django
django.setup()
import mailcore.celery, mailcore.tasks, mailcore.asgi, mailcore.wsgi, mailcore.servers.runtime.supervisor
mailcore.celery.load_transport()
for package in ("mailcore", "webmail", "mailadmin"):
    for found in pkgutil.walk_packages([package], f"{package}."):
        importlib.import_module(found.name)
print("all imported")
"""


def run(*words: str, given: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    whole = {**os.environ, "DJANGO_SETTINGS_MODULE": "mailcore.settings", **environment}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=whole, input=given, capture_output=True, text=True, timeout=100
    )


def pinned() -> set[str]:
    """The distributions of requirements.lock, as importlib.metadata writes names."""
    names = re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(), re.MULTILINE)
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def test_what_production_imports_is_pinned(tmp_path):
    """Everything is imported where nothing but the packages of requirements.lock can be."""
    missing = [
        name
        for name, distributions in importlib.metadata.packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", each).lower() for each in distributions} & pinned()
    ]
    assert {"pytest", "hypothesis"} <= set(missing)
    given = f"{' '.join(missing)}\n{' '.join(pinned())}\n"
    done = run("-c", ENTRY_POINTS, given=given, DATA_DIR=str(tmp_path), REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (0, "all imported\n"), done.stderr


@pytest.fixture
def without_packaging(tmp_path: Path) -> dict[str, str]:
    """An environment in which Celery's transport for Redis cannot be imported."""
    broken = tmp_path / "broken"
    (broken / "packaging").mkdir(parents=True)
    (broken / "packaging/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'packaging'\")\n")
    return {"PYTHONPATH": str(broken), "DATA_DIR": str(tmp_path / "data"), "REDIS_URL": "redis://127.0.0.1:1/0"}


def test_the_server_does_not_start_where_celery_cannot_deliver(without_packaging):
    done = run("manage.py", "runmailserver", "--demo", **without_packaging)
    assert done.returncode == 1
    assert "REDIS_URL is set, but Celery cannot use it: ModuleNotFoundError: No module named 'packaging'" in (
        done.stderr
    )
    assert "requirements.lock" in done.stderr
    assert "ready" not in done.stdout


def test_without_redis_nobody_needs_celery(without_packaging):
    done = run("manage.py", "check", **{**without_packaging, "REDIS_URL": ""})
    assert "Celery" not in done.stderr


def test_health_tells_of_redis(client, settings, monkeypatch, db):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["redis"] is False


def test_systemd_starts_a_worker_again(tmp_path):
    text = UNIT.read_text()
    assert "\nRestart=always\n" in text
    [command] = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert shlex.split(command)[1:] == ["-m", "celery", "-A", "mailcore", "worker"]
    if shutil.which("systemd-analyze"):
        copy = tmp_path / "youju-worker.service"
        copy.write_text(text.replace("/srv/youju/.venv/bin/python", sys.executable))
        said = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, timeout=60)
        assert (said.returncode, "youju-worker.service" in said.stderr) == (0, False), said.stderr


# --- Wake-ups -------------------------------------------------------------------------------------


@pytest.fixture
def redis() -> Iterator[Redis]:
    running = Redis()
    yield running
    running.kill()


@pytest.fixture
def serve(tmp_path: Path, redis: Redis) -> Iterator[Callable[[], System]]:
    started: list[System] = []

    def start() -> System:
        system = System(
            tmp_path, "--demo", "--no-web", REDIS_URL=redis.url, MAIL_SERVER_PROCESSES="1", MAIL_DIRECT_DELIVERY="no"
        )
        started.append(system)
        system.await_ready()
        return system

    yield start
    for system in started:
        if system.process.poll() is None:
            system.stop()


def client_of(redis: Redis):
    import redis as library

    return library.Redis.from_url(redis.url)


@needs_redis
def test_one_wake_up_at_most_is_under_way(serve, redis, tmp_path):
    """No worker comes for a while: it finds one wake-up, not one for each message or each moment."""
    system, broker = serve(), client_of(redis)
    most = 0
    for number in range(40):
        system.send(f"t{number}")
        most = max(most, broker.llen("youju"))
    while not broker.llen("youju"):
        pass
    assert max(most, broker.llen("youju")) == 1
    worker = Worker(system, tmp_path)
    try:
        assert each_once(await_all(system, 40), 40)
    finally:
        worker.stop()


SEND = """
import django, sys
django.setup()
from mailcore.celery import app
with app.connection_for_write() as connection:
    producer = app.amqp.Producer(connection)
    for _ in range(2000):
        app.send_task("mailcore.tasks.deliver", producer=producer, ignore_result=True, expires=1)
"""


@needs_redis
def test_a_worker_survives_a_burst_of_wake_ups(serve, redis, tmp_path):
    """Wake-ups as earlier versions sent them: with a time to live, while the worker's processes are busy."""
    system = serve()
    worker = Worker(system, tmp_path)
    try:
        system.send("t0")
        assert await_all(system, 1)
        broker = client_of(redis)
        children = worker.children()
        for pid in children:
            os.kill(pid, signal.SIGSTOP)
        environment = {**worker.environment, "DJANGO_SETTINGS_MODULE": "mailcore.settings"}
        subprocess.run([sys.executable, "-c", SEND], cwd=ROOT, env=environment, check=True, timeout=60)
        while broker.llen("youju"):
            pass  # until the worker has all of them in memory
        expired = threading.Event()
        expired.wait(1.5)
        for pid in children:
            os.kill(pid, signal.SIGCONT)
        for number in range(1, 6):
            system.send(f"t{number}")
        assert each_once(await_all(system, 6), 6)
        assert worker.process.poll() is None
        assert "RecursionError" not in worker.log.read_text()
    finally:
        worker.stop()
