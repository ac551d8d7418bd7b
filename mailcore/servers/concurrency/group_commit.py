"""Group commit: jobs submitted while a batch runs form the next batch and share its cost.

Used for incoming messages and for short writes. The work is done in a thread; only if no other session would have to
wait does the loop do it itself: two thread switches take a tenth of a message's time.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

J = TypeVar("J")


class BatchExecutor(Protocol):
    """The part of `Executor` that a batcher uses."""

    def is_single_session(self) -> bool:
        """Return True if this process has one session only, and the loop may wait for the disk."""

    def run_inline(self, function: Callable[..., Any], *values: object) -> Any:
        """Call the function on the loop."""

    def commit(self, function: Callable[..., object], *values: object) -> None:
        """Call the function in the commit thread."""

    def on_contention(self) -> None:
        """Report that jobs wait for each other."""


class Batcher(Generic[J]):
    """Runs jobs in batches.

    `work` runs a batch of jobs and returns the result of each in order: a value, or an exception for its submitter.
    `afterwards` does the work that no submitter waits for.
    """

    def __init__(
        self,
        work: Callable[[Sequence[J]], Sequence[Any]],
        executor: BatchExecutor,
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._executor = executor
        self._afterwards = afterwards
        self._lock = threading.Lock()
        self._waiting: list[tuple[J, asyncio.Future[Any]]] = []
        self._running = False

    def submit(self, job: J) -> "asyncio.Future[Any]":
        """Submit a job from the loop. Cancelling the returned future does not cancel the job."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._running and self._executor.is_single_session():
            _resolve_futures([future], self._executor.run_inline(self._run_batch, [job]))
            loop.call_soon(self._executor.run_inline, self._afterwards)
            return future
        with self._lock:
            self._waiting.append((job, future))
            idle, self._running = not self._running, True
        if idle:
            self._executor.commit(self._run_batches, loop)
        else:
            self._executor.on_contention()
        return future

    def _run_batches(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                group, self._waiting = self._waiting, []
                if not group:
                    self._running = False
                    return
            outcomes = self._run_batch([job for job, _ in group])
            loop.call_soon_threadsafe(_resolve_futures, [future for _, future in group], outcomes)
            self._afterwards()

    def _run_batch(self, jobs: Sequence[J]) -> Sequence[Any]:
        try:
            return self._work(jobs)
        except Exception as error:  # Every submitter must get the exception.
            return [error] * len(jobs)


def _resolve_futures(futures: "Sequence[asyncio.Future[Any]]", outcomes: Sequence[Any]) -> None:
    for future, outcome in zip(futures, outcomes, strict=True):
        if future.done():  # The submitter was cancelled.
            continue
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)
