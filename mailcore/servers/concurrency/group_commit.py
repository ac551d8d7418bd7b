"""Work that is done in turn and shares what it costs: what has come while some is under way is done together next.
Group commit, for messages that come in and for short writes.

The work is a thread's. Only where there is nobody else whom it could keep waiting the loop does it itself: two
changes of thread take as long as a tenth of a message's way.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

J = TypeVar("J")


class BatchExecutor(Protocol):
    """What `executor.Bridge` is to work that waits its turn."""

    def is_single_session(self) -> bool:
        """Is the session that asks the only one of this process, and may the loop wait for the disk?"""

    def run_inline(self, function: Callable[..., Any], *values: object) -> Any:
        """Run it on the loop."""

    def commit(self, function: Callable[..., object], *values: object) -> None:
        """Run it in the thread that commits."""

    def on_contention(self) -> None:
        """Jobs wait for each other."""


class Batcher(Generic[J]):
    """`work` does a group of jobs and returns, in their order, what each comes to: a value, or an exception
    for whoever waits for it; `afterwards` does what nobody waits for."""

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
        """Called on the loop. Who stops waiting changes nothing."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        if not self._running and self._executor.is_single_session():
            _resolve_futures([answer], self._executor.run_inline(self._outcomes, [job]))
            loop.call_soon(self._executor.run_inline, self._afterwards)
            return answer
        with self._lock:
            self._waiting.append((job, answer))
            idle, self._running = not self._running, True
        if idle:
            self._executor.commit(self._go_on, loop)
        else:
            self._executor.on_contention()
        return answer

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                group, self._waiting = self._waiting, []
                if not group:
                    self._running = False
                    return
            outcomes = self._outcomes([job for job, _ in group])
            loop.call_soon_threadsafe(_resolve_futures, [answer for _, answer in group], outcomes)
            self._afterwards()

    def _outcomes(self, jobs: Sequence[J]) -> Sequence[Any]:
        try:
            return self._work(jobs)
        except Exception as error:  # whoever waits must hear of it
            return [error] * len(jobs)


def _resolve_futures(answers: "Sequence[asyncio.Future[Any]]", outcomes: Sequence[Any]) -> None:
    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
