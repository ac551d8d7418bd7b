"""Work that one thread does and that shares what it costs: what has come while some is under way is done together next.
Group commit, for letters that come in and for short writes.
"""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

J = TypeVar("J")


class Turns(Generic[J]):
    """`work` does a group of jobs in a thread and returns, in their order, what each comes to: a value, or an exception
    for whoever waits for it; `afterwards` does there what nobody waits for. `submit` runs a function in that thread;
    `met` is called when jobs wait for each other."""

    def __init__(
        self,
        work: Callable[[Sequence[J]], Sequence[Any]],
        submit: Callable[..., None],
        met: Callable[[], None],
        afterwards: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._submit = submit
        self._met = met
        self._afterwards = afterwards
        self._lock = threading.Lock()
        self._waiting: list[tuple[J, asyncio.Future[Any]]] = []
        self._running = False

    def do(self, job: J) -> "asyncio.Future[Any]":
        """Called on the loop. Who stops waiting changes nothing."""
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        with self._lock:
            self._waiting.append((job, answer))
            idle, self._running = not self._running, True
        if idle:
            self._submit(self._go_on, loop)
        else:
            self._met()
        return answer

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        while True:
            with self._lock:
                group, self._waiting = self._waiting, []
                if not group:
                    self._running = False
                    return
            outcomes: Sequence[Any]
            try:
                outcomes = self._work([job for job, _ in group])
            except Exception as error:  # whoever waits must hear of it
                outcomes = [error] * len(group)
            loop.call_soon_threadsafe(_hand_out, [answer for _, answer in group], outcomes)
            self._afterwards()


def _hand_out(answers: "Sequence[asyncio.Future[Any]]", outcomes: Sequence[Any]) -> None:
    for answer, outcome in zip(answers, outcomes, strict=True):
        if answer.done():  # whoever asked has gone
            continue
        if isinstance(outcome, Exception):
            answer.set_exception(outcome)
        else:
            answer.set_result(outcome)
