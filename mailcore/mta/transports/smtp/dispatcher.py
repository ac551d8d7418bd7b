"""The event loop beside the courier: many hosts are spoken to at once, and a slow one holds up nobody.

Jobs in, settlements out, one for each job as soon as it has ended: what a host has taken is on record before the
next host is waited for.
"""

import asyncio
import os
import select
import threading
from collections import Counter
from collections.abc import Sequence

import uvloop

from mailcore import conf
from mailcore.mta.queue.states import DeliveryResult
from mailcore.mta.transports.smtp.destination import Destination
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.values import MboxFile

_FEW = 64  # destinations that are remembered without looking whether that is worth it


class Dispatch:
    """All methods are for the courier's thread."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="smtp", daemon=True)
        self._started = False
        self._lock = threading.Lock()
        self._under_way: Counter[int] = Counter()  # message → jobs that have not ended
        self._finished: list[DeliveryResult] = []
        self._destinations: dict[object, Destination] = {}
        self._slots: asyncio.Semaphore = asyncio.Semaphore(conf.current().default_process_limit or 1 << 30)
        self.bell, self._ringer = os.pipe()
        os.set_blocking(self.bell, False)

    @property
    def message_count(self) -> list[int]:
        """Messages under way."""
        with self._lock:
            return list(self._under_way)

    def held(self) -> set[int]:
        """Messages under way, or with results that `finished` has not returned yet."""
        with self._lock:
            return {*self._under_way, *(settlement.claim.id for settlement in self._finished)}

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
        if len(self._destinations) > _FEW:
            self._destinations = {k: each for k, each in self._destinations.items() if not each.is_idle}
        for job in jobs:
            destination = self._destinations.get(job.destination)
            if destination is None:
                destination = Destination(self._slots, self._finish, serial=isinstance(job.way, MboxFile))
                self._destinations[job.destination] = destination
            destination.add(job)

    def _finish(self, job: DeliveryJob, results: Results) -> None:
        with self._lock:
            self._under_way[job.claim.id] -= 1
            last = not self._under_way[job.claim.id]
            if last:
                del self._under_way[job.claim.id]
            if not self._finished:
                os.write(self._ringer, b".")
            self._finished.append(DeliveryResult(job.claim, results, last=last))

    def take_finished(self) -> list[DeliveryResult]:
        """Jobs that have ended since the last call."""
        with self._lock:
            done, self._finished = self._finished, []
            if done:
                os.read(self.bell, 1)
        return done

    def wait(self, seconds: float) -> None:
        """Until a job has ended, at most so long."""
        select.select([self.bell], [], [], seconds)

    def stop(self, grace: float) -> None:
        """Begin nothing new and let what is under way end, at most `grace` seconds; `finished` then has the last
        of it, and the messages that are left are the courier's to give back."""
        if self._started:
            asyncio.run_coroutine_threadsafe(self._stop(grace), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._started = False

    async def _stop(self, grace: float) -> None:
        await asyncio.gather(*(each.stop(grace) for each in self._destinations.values()))

    def close(self) -> None:
        """After `stop`."""
        self._loop.close()
        os.close(self._ringer)
        os.close(self.bell)
