"""SQLite's log of commits: moved into the database while others go on."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connections

from mailcore.sqlite.base import DatabaseWrapper

pytestmark = pytest.mark.django_db

Open = Callable[[], DatabaseWrapper]


@pytest.fixture
def open_database(tmp_path: Path) -> Iterator[Open]:
    """Connections to a database of its own, with the project's settings."""
    if "sqlite" not in settings.DATABASES["default"]["ENGINE"]:
        pytest.skip("not on SQLite")
    opened: list[DatabaseWrapper] = []

    def open_one() -> DatabaseWrapper:
        own = {**connections.settings["default"], "NAME": str(tmp_path / "own.sqlite3")}
        opened.append(DatabaseWrapper(own))
        opened[-1].inc_thread_sharing()
        opened[-1].ensure_connection()
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


def pages_in_log(database: DatabaseWrapper) -> int:
    """After the next commit, which is where a log begins anew."""
    write(database, 1)
    return database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]


def write(database: DatabaseWrapper, pages: int) -> None:
    database._start_transaction_under_autocommit()
    database.connection.executemany("INSERT INTO messages VALUES (?)", [(b"x" * 4000,)] * pages)
    database._commit()


def test_a_short_log_is_moved_and_goes_on(open_database):
    database = open_database()
    database.connection.execute("CREATE TABLE messages (content BLOB)")
    write(database, 100)
    database.checkpoint()
    _, pages, moved = database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    assert pages == moved > 100


def test_a_long_log_begins_anew_though_others_write_all_the_time(open_database):
    database, other = open_database(), open_database()
    database.connection.execute("CREATE TABLE messages (content BLOB)")
    write(database, 17_000)
    stop, wrote = threading.Event(), threading.Event()

    def work() -> None:
        while not stop.is_set():
            write(other, 5)
            wrote.set()

    thread = threading.Thread(target=work)
    thread.start()
    wrote.wait()
    database.checkpoint()
    stop.set()
    thread.join()
    assert pages_in_log(database) < 16_000
    [(pages,)] = database.connection.execute("SELECT count(*) FROM messages")
    assert pages > 17_005


def test_a_reader_keeps_the_log_but_stops_nobody(open_database):
    database, reader = open_database(), open_database()
    database.connection.execute("CREATE TABLE messages (content BLOB)")
    write(database, 10)
    reader.connection.execute("BEGIN")
    assert reader.connection.execute("SELECT count(*) FROM messages").fetchone() == (10,)
    write(database, 17_000)
    database.checkpoint()
    assert pages_in_log(database) > 17_000
    assert reader.connection.execute("SELECT count(*) FROM messages").fetchone() == (10,)
    reader.connection.execute("ROLLBACK")
    database.checkpoint()
    assert pages_in_log(database) < 16_000
