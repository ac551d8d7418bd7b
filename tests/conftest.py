"""Fixtures of every test: its own folders, and empty caches."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache

from mailcore import conf, health, rate_counters
from mailcore.conf import caches
from mailcore.logs import writer


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Use a database in a file: servers under test use several connections, as in production.

    On a database server it is one of this run's own: others may be testing there at the same time.
    """
    database = django_settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        name = str(tmp_path_factory.mktemp("database") / "test.sqlite3")
    else:
        name = f"test_youju_{os.getpid()}"
    database.setdefault("TEST", {})["NAME"] = name


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path: Path) -> None:
    """Mail, queue and sockets lie below this test's directory."""
    settings.DATA_DIR = tmp_path
    for name in ("mail", "queue", "corrupt", "run", "attach", "tls", "log"):
        setattr(settings, f"{name.upper()}_ROOT", tmp_path / name)


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear the caches of the process between tests."""
    cache.clear()
    caches.clear_all()
    rate_counters.reset()
    health.last_result.clear()
    monkeypatch.setattr(conf, "_current", None)


@pytest.fixture
def parameters(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`parameters(message_size_limit="100000")`: in force from now on, in this process."""

    def change(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"MAIL_{name.upper()}", value)
        conf.refresh()

    return change


@pytest.fixture(autouse=True)
def own_log() -> Iterator[None]:
    """The log file is opened anew where this test's folders are."""
    writer.reopen()
    yield
    writer.reopen()


@pytest.fixture
def fits() -> Callable[[str, str], bool]:
    """`fits("250 2.1.5 Ok", "250 …")`: … stands for anything."""
    return lambda text, pattern: re.fullmatch(re.escape(pattern).replace("…", ".*"), text) is not None
