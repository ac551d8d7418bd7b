"""The jobs of one next hop: how many connections it gets, which are cached, and when it is suspended.

Postfix's scheduler (SCHEDULER_README): a destination begins with initial_destination_concurrency connections, gets one
more for each round of successful messages, up to default_destination_concurrency_limit, and one less for each failed
round. After whole rounds of failures it is dead: its messages are deferred without a try for minimal_backoff_time, or
until one of them is flushed.
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
    """The scheduler of one destination: `add` jobs; `finish` is called with the results of each, on the event loop."""

    def __init__(
        self, slots: asyncio.Semaphore, finish: Callable[[DeliveryJob, Results], None], *, serial: bool
    ) -> None:
        self._slots = slots  # Connections of all destinations.
        self._finish = finish
        self._serial = serial  # One job at a time: file locks do not exclude threads of one process.
        self._jobs: deque[DeliveryJob] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()  # Workers with a cached connection and no job.
        self._workers: set[asyncio.Task[None]] = set()
        self._window = float(conf.current().initial_destination_concurrency)
        self._failures = 0.0  # Failed rounds.
        self._dead_until = 0.0
        self._fault: Outcome | None = None  # The reason why it is dead.
        self._stopping = False

    @property
    def is_idle(self) -> bool:
        """True if there are no jobs, no connections, and it is not dead."""
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
        """Start no new job; running ones have `grace` seconds to end, then they are cancelled."""
        self._stopping = True
        self._jobs.clear()
        while self._idle:
            _wake(self._idle.popleft())
        if self._workers:
            _, unfinished = await asyncio.wait(self._workers, timeout=grace)
            for worker in unfinished:
                worker.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

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
                    result = await self._serve(job, session)
                session = result.session
                self._update_concurrency(result.fault)
                self._finish(job, result.results)
                if session is not None and not session.is_usable:
                    session.quit()
                    session = None
                if delay := conf.current().default_destination_rate_delay:
                    await asyncio.sleep(delay)
        finally:
            # Without delay, so that a new job sees that no worker is left.
            self._workers.discard(asyncio.current_task())
            if session is not None:
                session.quit()

    async def _has_work(self, session: Session | None) -> bool:
        """Return True if there is a job; with a connection open, wait for one."""
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
            match job.route:
                case Command(command=command):
                    outcome = await pipe.run_command(command, job.claim, job.pending[0].original)
                case MboxFile(path=path):
                    outcome = await asyncio.to_thread(
                        mbox_file.append_message, path, job.claim, job.pending[0].original
                    )
                case next_hop:
                    return await attempt_delivery(job, next_hop, session)
        except Exception as error:  # A fault of our own must not lose the message.
            writer.write("smtp", f"{job.claim.queue_id}: warning: {type(error).__name__}: {error}")
            outcome = deferred_outcome("4.3.0", "internal error")
        return AttemptResult([(recipient, outcome) for recipient in job.pending])

    # --- Destination state ---

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
        self._finish(job, [(recipient, outcome) for recipient in job.pending])

    def _retry_later(self) -> None:
        self._fault = None
        self._dead_until = self._failures = 0.0
        self._window = float(conf.current().initial_destination_concurrency)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
