"""Everybody who waits for one next hop: how many connections it gets, which are kept, and when it is left alone.

Postfix's scheduler (SCHEDULER_README): a destination begins with initial_destination_concurrency connections,
gets one more for each round of messages that went well, up to default_destination_concurrency_limit, and one less
for each that did not. Whole rounds of nothing but failures make it dead: its messages are deferred without another
try for minimal_backoff_time, or until somebody flushes one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.transports import mbox_file, pipe
from mailcore.mta.transports.smtp.attempt import AttemptResult, attempt_delivery
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.mta.transports.smtp.session import Session
from mailcore.values import Command, MboxFile, Outcome, deferred_outcome


class Destination:
    """`add` jobs; `finish` is called with the results of each. All on the event loop."""

    def __init__(
        self, slots: asyncio.Semaphore, finish: Callable[[DeliveryJob, Results], None], *, serial: bool
    ) -> None:
        self._slots = slots  # connections of all destinations
        self._finish = finish
        self._serial = serial  # one after the other: locks do not part threads of one process
        self._jobs: deque[DeliveryJob] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()  # workers with a connection and nothing to do
        self._workers: set[asyncio.Task[None]] = set()
        self._window = float(conf.current().initial_destination_concurrency)
        self._failures = 0.0  # rounds
        self._dead_until = 0.0
        self._fault: Outcome | None = None  # why it is dead
        self._stopping = False

    @property
    def is_idle(self) -> bool:
        """Nobody waits, nothing is open, and there is nothing bad to remember."""
        return not self._workers and not self._jobs and monotonic() >= self._dead_until

    def add(self, job: DeliveryJob) -> None:
        if self._fault is not None:
            if monotonic() < self._dead_until and not job.claim.is_flushed:
                self._defer(job, self._fault)
                return
            self._retry_later()
        self._jobs.append(job)
        if self._idle:
            _wake(self._idle.popleft())
        elif len(self._workers) < self._concurrency:
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)

    async def stop(self, grace: float) -> None:
        """Begin nothing new; what is under way has `grace` seconds to end, then it is cut off."""
        self._stopping = True
        self._jobs.clear()
        while self._idle:
            _wake(self._idle.popleft())
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=grace)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- Workers: each has at most one connection ---

    @property
    def _concurrency(self) -> int:
        parameters = conf.current()
        if self._serial or parameters.default_destination_rate_delay:
            return 1
        return max(1, min(int(self._window), parameters.default_destination_concurrency_limit))

    async def _work(self) -> None:
        session: Session | None = None
        try:
            while await self._has_work(session):
                job = self._jobs.popleft()
                async with self._slots:
                    ended = await self._serve(job, session)
                session = ended.session
                self._update_concurrency(ended.fault)
                self._finish(job, ended.results)
                if session is not None and not session.is_usable:
                    session.quit()
                    session = None
                if delay := conf.current().default_destination_rate_delay:
                    await asyncio.sleep(delay)
        finally:
            # At once, so that a job that comes now finds that nobody is there for it.
            self._workers.discard(asyncio.current_task())
            if session is not None:
                session.quit()

    async def _has_work(self, session: Session | None) -> bool:
        """A job; with a connection in hand one is worth waiting for."""
        if not self._jobs and session is not None and not self._stopping and not self._slots.locked():
            waiting = asyncio.get_running_loop().create_future()
            self._idle.append(waiting)
            try:
                await asyncio.wait_for(waiting, conf.current().smtp_connection_cache_time_limit)
            except TimeoutError:
                if waiting in self._idle:
                    self._idle.remove(waiting)
        return bool(self._jobs) and len(self._workers) <= self._concurrency

    async def _serve(self, job: DeliveryJob, session: Session | None) -> AttemptResult:
        try:
            match job.way:
                case Command(command=command):
                    outcome = await pipe.run_command(command, job.claim, job.pending[0].original)
                case MboxFile(path=path):
                    outcome = await asyncio.to_thread(
                        mbox_file.append_message, path, job.claim, job.pending[0].original
                    )
                case next_hop:
                    return await attempt_delivery(job, next_hop, session)
        except Exception as error:  # a fault of ours must not lose the message
            writer.write("smtp", f"{job.claim.queue_id}: warning: {type(error).__name__}: {error}")
            outcome = deferred_outcome("4.3.0", "internal error")
        return AttemptResult([(duty, outcome) for duty in job.pending])

    # --- What we know of it ---

    def _update_concurrency(self, fault: Outcome | None) -> None:
        parameters = conf.current()
        if fault is None:
            self._failures = 0.0
            self._window = min(self._window + 1 / self._window, parameters.default_destination_concurrency_limit)
            return
        self._failures += 1 / self._window
        self._window = max(1.0, self._window - 1)
        limit = parameters.default_destination_concurrency_failed_cohort_limit
        if limit and self._failures >= limit:
            self._dead_until = monotonic() + parameters.minimal_backoff_time
            self._fault = fault
            jobs, self._jobs = self._jobs, deque()
            for job in jobs:
                self._defer(job, fault)

    def _defer(self, job: DeliveryJob, fault: Outcome) -> None:
        outcome = deferred_outcome(fault.dsn, f"delivery temporarily suspended: {fault.text}")
        self._finish(job, [(duty, outcome) for duty in job.pending])

    def _retry_later(self) -> None:
        self._fault = None
        self._dead_until = self._failures = 0.0
        self._window = float(conf.current().initial_destination_concurrency)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
