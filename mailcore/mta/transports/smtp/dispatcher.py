"""The event loop beside the courier, which talks to many hosts at once, so that a slow one delays no other.

Jobs in, results out, one for each job as soon as it has ended: a delivery is recorded before the next host is waited
for.
"""

import asyncio
import os
import select
import threading
from collections import Counter
from collections.abc import Sequence

import uvloop

from mailcore import conf
from mailcore.mta.queue.claim import DeliveryResult
from mailcore.mta.transports.smtp.destination import Destination
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.values import MboxFile

_PRUNE_ABOVE = 64  # Above this number, idle destinations are dropped.


class Dispatch:
    """The jobs of a courier, on an event loop in a thread of its own. All methods are for the courier's thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._started = False
        self._lock = threading.Lock()
        self._under_way: Counter[int] = Counter()  # Message → jobs that have not ended.
        self._finished: list[DeliveryResult] = []
        self._destinations: dict[object, Destination] = {}
        self._slots: asyncio.Semaphore = asyncio.Semaphore(conf.current().default_process_limit or 1 << 30)
        self.wake_fd, self._wake_writer = os.pipe()
        os.set_blocking(self.wake_fd, False)

    @property
    def message_ids(self) -> list[int]:
        """Ids of the messages in progress."""
        with self._lock:
            return list(self._under_way)

    def held(self) -> set[int]:
        """Return the ids of messages in progress, or with results that `take_finished` has not returned yet."""
        with self._lock:
            return {*self._under_way, *(result.claim.id for result in self._finished)}

    def submit(self, jobs: Sequence[DeliveryJob]) -> None:
        if not jobs:
            return
        if not self._started:
            self._thread.start()
            self._started = True
        with self._lock:
            self._under_way.update(job.claim.id for job in jobs)
        self._loop.call_soon_threadsafe(self._add, jobs)

    def _add(self, jobs: Sequence[DeliveryJob]) -> None:
        if len(self._destinations) > _PRUNE_ABOVE:
            self._destinations = {k: each for k, each in self._destinations.items() if not each.is_idle}
        for job in jobs:
            destination = self._destinations.get(job.destination)
            if destination is None:
                destination = Destination(self._slots, self._finish, serial=isinstance(job.route, MboxFile))
                self._destinations[job.destination] = destination
            destination.add(job)

    def _finish(self, job: DeliveryJob, results: Results) -> None:
        with self._lock:
            self._under_way[job.claim.id] -= 1
            is_last = not self._under_way[job.claim.id]
            if is_last:
                del self._under_way[job.claim.id]
            if not self._finished:
                os.write(self._wake_writer, b".")
            self._finished.append(DeliveryResult(job.claim, results, is_last=is_last))

    def take_finished(self) -> list[DeliveryResult]:
        """Return the results of jobs that have ended since the last call."""
        with self._lock:
            done, self._finished = self._finished, []
            if done:
                os.read(self.wake_fd, 1)
        return done

    def wait(self, seconds: float) -> None:
        """Wait until a job has ended, at most `seconds`."""
        select.select([self.wake_fd], [], [], seconds)

    def stop(self, grace: float) -> None:
        """Start no new job and let running ones end, for at most `grace` seconds.

        `take_finished` then returns the last results; the courier releases the messages that are left.
        """
        if self._started:
            asyncio.run_coroutine_threadsafe(self._stop(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._started = False

    async def _stop(self, grace: float) -> None:
        await asyncio.gather(*(each.stop(grace) for each in self._destinations.values()))

    def close(self) -> None:
        """Close the event loop; call after `stop`."""
        self._loop.close()
        os.close(self._wake_writer)
        os.close(self.wake_fd)
