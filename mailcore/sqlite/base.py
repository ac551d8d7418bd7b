"""SQLite for several processes that write all day.

SQLite lets one transaction write at a time; who comes second sleeps and looks again, up to 100 ms late.
Here writers queue up at a lock file instead, before BEGIN IMMEDIATE, and the kernel wakes the next one
the moment the lock is free. Statements outside a transaction still rely on SQLite's own waiting.

What commits wrote into the log goes into the database's file now and then, some ten thousand pages at a
time. Left to SQLite, the commit that made the log long does that work while its client waits: `checkpoint`
does it beforehand, beside all others.
"""

import fcntl
import os
from typing import IO, Any, cast

from django.db.backends.sqlite3.base import DatabaseWrapper as SqliteWrapper

_LONG = 16_000  # pages in the log from which on it is to begin anew
_LAST = 500  # pages that writers may be kept waiting for
_ROUNDS = 3  # before they are


class DatabaseWrapper(SqliteWrapper):
    # Every integer of SQLite has 64 bits, but only a key declared INTEGER is the row's own number; any other
    # is an index beside the table: a page more to write for each row, and a look-up more to read it.
    data_types = {**SqliteWrapper.data_types, "BigIntegerField": "integer", "PositiveBigIntegerField": "integer"}

    _lock: IO[str] | None = None  # a file object: it closes itself when its thread, and so this wrapper, ends

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        connection = super().get_new_connection(conn_params)
        name = str(self.settings_dict["NAME"])
        if self._lock is None and not self.is_in_memory_db():
            self._lock = open(f"{name}-writers", "a", opener=_private)  # noqa: SIM115  (for the connection's life)
        return connection

    def _start_transaction_under_autocommit(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            # Past Django's cursor, which takes longer than the statement.
            with self.wrap_database_errors:
                self.connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._let_next_in()
            raise

    def _commit(self) -> Any:
        try:
            return super()._commit()
        finally:
            self._let_next_in()

    def _rollback(self) -> Any:
        try:
            return super()._rollback()
        finally:
            self._let_next_in()

    def _close(self) -> Any:
        try:
            return super()._close()
        finally:
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def checkpoint(self) -> None:
        """What the log holds goes into the database's file, while others read and write. Of a log that has become
        long the last pages go while writers wait, so that the next one begins it anew; that takes milliseconds."""
        if self.is_in_memory_db():
            return
        self.ensure_connection()
        for _ in range(_ROUNDS):
            _, pages, moved = self._moved()
            if pages - moved < _LAST or pages < _LONG:
                break
        if pages < _LONG or self._lock is None:
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            self._moved()
        finally:
            self._let_next_in()

    def _moved(self) -> tuple[int, int, int]:
        """One round: (whether another process is at it, pages in the log, pages of those that were moved)."""
        with self.wrap_database_errors:
            row = self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return cast(tuple[int, int, int], row)

    def _let_next_in(self) -> None:
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
