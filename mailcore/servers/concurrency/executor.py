"""The executor: the one crossing from asyncio to synchronous code (store, mta).

`run_in_pool` calls a function in a thread and returns its result: one protocol command is one crossing, one function,
one transaction. `run_read` is for short reads: on SQLite they run on the loop, since a thread switch (about 50 µs)
costs more than the query.

The pool's size is the number of database connections of this process. Password checks take 20 ms of CPU each and have a
few threads of their own, so that a burst of them leaves the pool to mail.
"""

import asyncio
import contextvars
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, TypeVar

from django.db import close_old_connections, connection, transaction

from mailcore.servers.concurrency.group_commit import Batcher

_logger = logging.getLogger("mailcore.servers")

T = TypeVar("T")


def _do_nothing() -> None:
    pass


class Executor:
    """The thread pools and the commit thread of a server process.

    `on_contention` is called when a job is submitted while another is running (see `cpu_affinity`); `is_single_session`
    returns True if the process has at most one session.
    """

    def __init__(
        self,
        threads: int = 16,
        on_contention: Callable[[], None] = _do_nothing,
        is_single_session: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="pool")
        self._password_pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="password")
        self._network_pool = ThreadPoolExecutor(32, thread_name_prefix="network")
        self._commit_thread = _CommitThread()
        self._inline = connection.vendor == "sqlite"
        self._write_batcher = Batcher(_run_in_one_transaction, self)
        self._running = 0
        self.on_contention = on_contention
        self._has_single_session = is_single_session
        # Under a running loop Django keeps one connection per asyncio task; in a context of their own all short reads
        # share one, which stays open.
        self._read_context = contextvars.copy_context()
        self._write_context: contextvars.Context | None = None  # The context of writes on the loop.

    async def run_in_pool(self, function: Callable[..., T], *values: object) -> T:
        """Call `function(*values)` in a thread of the pool; return its result or raise its exception."""
        if self._running:
            self.on_contention()
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _run_job, function, values)
        finally:
            self._running -= 1

    async def run_password_check(self, function: Callable[..., T], *values: object) -> T:
        """Call a function that checks a password, in threads of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._password_pool, _run_job, function, values)

    async def run_blocking_network(self, function: Callable[..., T], *values: object) -> T:
        """Call a function that waits for name servers or other hosts, in threads of its own, since they may be slow."""
        return await asyncio.get_running_loop().run_in_executor(self._network_pool, _run_job, function, values)

    async def run_write(self, function: Callable[..., T], *values: object) -> T:
        """Call a function that is one short write transaction and nothing else.

        SQLite allows one writer at a time: writes that must wait are run together and share a commit.
        """
        if not self._inline:
            return await self.run_in_pool(function, *values)
        result: T = await self._write_batcher.submit((function, values))
        return result

    def commit(self, function: Callable[..., object], *values: object) -> None:
        """Call `function(*values)` in the commit thread; the function reports its result itself."""
        self._commit_thread.put(function, values)

    def is_single_session(self) -> bool:
        """Return True if the loop may wait for the disk; on a database server, and so the network, it never may."""
        return self._inline and self._has_single_session()

    def run_inline(self, function: Callable[..., T], *values: object) -> T:
        """Call `function(*values)` on the loop, with a database connection of its own for small transactions."""
        if self._write_context is None:
            self._write_context = contextvars.copy_context()
            self._write_context.run(_prepare_writer)
        return self._write_context.run(function, *values)

    async def run_read(self, function: Callable[..., T], *values: object) -> T:
        """Call a function that only reads and takes well under a millisecond."""
        if self._inline:
            return self._read_context.run(function, *values)
        return await self.run_in_pool(function, *values)

    def close(self) -> None:
        self._commit_thread.close()
        self._pool.shutdown(wait=True, cancel_futures=False)
        self._network_pool.shutdown(wait=False, cancel_futures=True)
        self._password_pool.shutdown(wait=True, cancel_futures=True)


class _CommitThread:
    """One thread that runs jobs one after the other.

    ThreadPoolExecutor dispatch costs twice as much, and each message waits for it.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_PendingJob | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, function: Callable[..., object], values: tuple[object, ...]) -> None:
        if self._closed:
            raise RuntimeError("executor is closed")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="commit")
            self._thread.start()
        self._jobs.put((function, values))

    def _work(self) -> None:
        _prepare_writer()
        while job := self._jobs.get():
            try:
                _run_job(*job)
            except Exception:
                _logger.exception("unhandled exception in commit thread")
        connection.close()

    def close(self) -> None:
        """Wait until all jobs are done; no new job is accepted."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None


# A function and its values.
_PendingJob = tuple[Callable[..., Any], tuple[object, ...]]


def _run_in_one_transaction(jobs: Sequence[_PendingJob]) -> list[Any]:
    """Run jobs in one transaction, and return the result or exception of each.

    With several jobs the transaction of each is a savepoint: an error undoes only that one. If the commit fails the
    exception is raised and nothing was done.
    """
    if len(jobs) == 1:
        return [_result_of(*jobs[0])]
    with transaction.atomic():
        return [_result_of(function, values) for function, values in jobs]


def _result_of(function: Callable[..., Any], values: tuple[object, ...]) -> Any:
    try:
        return function(*values)
    except Exception as error:
        return error


def _prepare_writer() -> None:
    """Prepare this connection for small transactions.

    With mmap, SQLite maps its file again after each change by another process, which pays only for large reads.
    """
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA mmap_size=0")


def _run_job(function: Callable[..., T], values: tuple[object, ...]) -> T:
    if connection.vendor != "sqlite":  # A connection to a file needs no reconnecting.
        close_old_connections()
    return function(*values)
