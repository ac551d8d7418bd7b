"""The one crossing from asyncio to the sync rooms (store, post).

`run` takes a function and its values to a thread and brings its result back: one protocol command is
one crossing, one function, one transaction. `read` is for short reads: on the embedded database they
run at once on the loop, for a thread hop (about 50 µs) costs more than the query.

The pool's size is the number of database connections of this process. Password checks (`check`) take 20 ms of
a processor each and have a few threads of their own, so that a burst of them leaves the others to mail.
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
    """`met` is called whenever work comes while other work is under way (see `core`). `alone` says whether there is
    one session at most in this process."""

    def __init__(
        self, threads: int = 16, met: Callable[[], None] = _do_nothing, alone: Callable[[], bool] = lambda: False
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bridge")
        self._checks = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="check")
        self._asking = ThreadPoolExecutor(32, thread_name_prefix="asking")
        self._committing = _CommitThread()
        self._inline = connection.vendor == "sqlite"
        self._writing = Batcher(_run_in_one_transaction, self)
        self._under_way = 0
        self.on_contention = met
        self._alone = alone
        # Under a running loop Django keeps one connection for each asyncio task; in a context of their own all
        # short reads share one, which stays open.
        self._context = contextvars.copy_context()
        self._commits: contextvars.Context | None = None  # the same for what the loop commits

    async def run_in_pool(self, function: Callable[..., T], *values: object) -> T:
        """`function(*values)` in a thread; whatever it raises is raised here."""
        if self._under_way:
            self.on_contention()
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _run_job, function, values)
        finally:
            self._under_way -= 1

    async def run_password_check(self, function: Callable[..., T], *values: object) -> T:
        """Like `run`, for what judges a password."""
        return await asyncio.get_running_loop().run_in_executor(self._checks, _run_job, function, values)

    async def run_blocking_network(self, function: Callable[..., T], *values: object) -> T:
        """Like `run`, for what waits for name servers and other hosts: they may be slow, our messages are not."""
        return await asyncio.get_running_loop().run_in_executor(self._asking, _run_job, function, values)

    async def run_write(self, function: Callable[..., T], *values: object) -> T:
        """Like `run`, for a function that is one short transaction and does nothing after it. The embedded database
        lets one write at a time: what has to wait for its turn is done together then, and shares a commit."""
        if not self._inline:
            return await self.run_in_pool(function, *values)
        done: T = await self._writing.submit((function, values))
        return done

    def commit(self, function: Callable[..., object], *values: object) -> None:
        """`function(*values)` in the one thread that takes messages in; it says itself what came of it."""
        self._committing.put(function, values)

    def is_single_session(self) -> bool:
        """May the loop wait for the disk? On a database server, for the network, never."""
        return self._inline and self._alone()

    def run_inline(self, function: Callable[..., T], *values: object) -> T:
        """`function(*values)` on the loop, with a database connection of its own for small transactions."""
        if self._commits is None:
            self._commits = contextvars.copy_context()
            self._commits.run(_prepare_writer)
        return self._commits.run(function, *values)

    async def run_read(self, function: Callable[..., T], *values: object) -> T:
        """Like `run`, for a function that only reads and takes well under a millisecond."""
        if self._inline:
            return self._context.run(function, *values)
        return await self.run_in_pool(function, *values)

    def close(self) -> None:
        self._committing.close()
        self._pool.shutdown(wait=True, cancel_futures=False)
        self._asking.shutdown(wait=False, cancel_futures=True)
        self._checks.shutdown(wait=True, cancel_futures=True)


class _CommitThread:
    """One thread that does one job after the other. An executor hands a job over in twice the time, and
    each message waits for that."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_PendingJob | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def put(self, function: Callable[..., object], values: tuple[object, ...]) -> None:
        if self._closed:
            raise RuntimeError("no more jobs are done")
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
                _logger.exception("in the thread that commits")
        connection.close()

    def close(self) -> None:
        """When all jobs are done; from now on none is taken."""
        self._closed = True
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()
            self._thread = None


# A function and its values.
_PendingJob = tuple[Callable[..., Any], tuple[object, ...]]


def _run_in_one_transaction(jobs: Sequence[_PendingJob]) -> list[Any]:
    """What each of them returns or raises. A job's own transaction is a savepoint where there are several: what goes
    wrong in one undoes only that one; a commit that fails is raised, and nothing was done."""
    if len(jobs) == 1:
        return [_outcome(*jobs[0])]
    with transaction.atomic():
        return [_outcome(function, values) for function, values in jobs]


def _outcome(function: Callable[..., Any], values: tuple[object, ...]) -> Any:
    try:
        return function(*values)
    except Exception as error:
        return error


def _prepare_writer() -> None:
    """This connection is for small transactions: SQLite would map its file anew for each change that another
    process made, which pays only for who reads much of it."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA mmap_size=0")


def _run_job(function: Callable[..., T], values: tuple[object, ...]) -> T:
    if connection.vendor != "sqlite":  # a file is never disconnected
        close_old_connections()
    return function(*values)
