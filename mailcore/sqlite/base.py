"""SQLite backend for several processes that write all day.

SQLite has one writer at a time; a second one polls, up to 100 ms late. Here writers queue at a lock file instead,
before BEGIN IMMEDIATE, and the kernel wakes the next one as soon as the lock is free. Statements outside a transaction
still rely on SQLite's own waiting.

The write-ahead log is checkpointed some ten thousand pages at a time. Left to SQLite, the commit that made the log long
does that work while its client waits; `checkpoint` does it beforehand, in parallel to other connections.
"""

import fcntl
import os
from typing import IO, Any, cast

from django.db.backends.sqlite3.base import DatabaseWrapper as SqliteWrapper

_RESTART_PAGES = 16_000  # pages in the log from which on it should be restarted
_MAX_BLOCKING_PAGES = 500  # pages that may be copied while writers wait
_PASSIVE_ROUNDS = 3  # passive checkpoints before writers are blocked


class DatabaseWrapper(SqliteWrapper):
    """SQLite connection with a fair write lock and explicit checkpoints."""

    # Every integer of SQLite has 64 bits, but only a key declared INTEGER is the row id itself; any other is an index
    # beside the table: one more page to write for each row, and one more lookup to read it.
    data_types = {**SqliteWrapper.data_types, "BigIntegerField": "integer", "PositiveBigIntegerField": "integer"}

    _lock: IO[str] | None = None  # a file object: it is closed when its thread, and so this wrapper, ends

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        name = str(self.settings_dict["NAME"])
        if not self.is_in_memory_db():
            _make_private(name)
        connection = super().get_new_connection(conn_params)
        if self._lock is None and not self.is_in_memory_db():
            self._lock = open(f"{name}-writers", "a", opener=_private)  # noqa: SIM115  (open as long as the connection)
        return connection

    def _start_transaction_under_autocommit(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            # Without Django's cursor, which takes longer than the statement.
            with self.wrap_database_errors:
                self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._release_write_lock()
            raise

    def _commit(self) -> Any:
        try:
            return super()._commit()
        finally:
            self._release_write_lock()

    def _rollback(self) -> Any:
        try:
            return super()._rollback()
        finally:
            self._release_write_lock()

    def _close(self) -> Any:
        try:
            return super()._close()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def checkpoint(self) -> None:
        """Copy the write-ahead log into the database file, in parallel to readers and writers.

        The last pages of a long log are copied while writers wait, for some milliseconds, so that the next writer
        restarts it.
        """
        if self.is_in_memory_db():
            return
        self.ensure_connection()
        for _ in range(_PASSIVE_ROUNDS):
            _, pages, copied = self._checkpoint_passive()
            if pages - copied < _MAX_BLOCKING_PAGES or pages < _RESTART_PAGES:
                break
        if pages < _RESTART_PAGES or self._lock is None:
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._checkpoint_passive()
        finally:
            self._release_write_lock()

    def _checkpoint_passive(self) -> tuple[int, int, int]:
        """Run one passive checkpoint; return (True if another process runs one, pages in the log, pages copied)."""
        with self.wrap_database_errors:
            row = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return cast(tuple[int, int, int], row)

    def _release_write_lock(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _make_private(name: str) -> None:
    """Let only the owner read the database, whatever its folder allows; its log and index take the same mode.

    A database that exists is never opened here: closing it would drop the locks that SQLite holds on it in this process
    (https://www.sqlite.org/howtocorrupt.html §2.2).
    """
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        status = os.stat(name)
        if status.st_mode & 0o077 and status.st_uid == os.geteuid():
            os.chmod(name, 0o600)
    except OSError:
        return  # connecting reports what is wrong


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
