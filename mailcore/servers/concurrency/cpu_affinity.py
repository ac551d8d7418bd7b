"""CPU affinity of a server process's threads.

The event loop and its threads contend for the GIL many times per message and command. Moving it between processors
costs more than a second processor gains, since only one thread runs Python at a time. So while clients keep a process
busy with several jobs at once, all its threads are pinned to one processor, each server process to its own; with one
job at a time the kernel places them, since then one thread works while the other waits for the disk.
"""

import os
from contextlib import suppress

_BUSY_THRESHOLD = 16  # Jobs per second that were submitted while another was running.


class CpuAffinity:
    """The processor of the server process with this `number` (1, 2, …), out of those the process may use."""

    def __init__(self, number: int) -> None:
        # Linux; on other systems the kernel always places threads.
        self._all = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        self._own = {sorted(self._all)[(number - 1) % len(self._all)]} if self._all else self._all
        self._contentions = 0
        self._pinned = False

    def on_contention(self) -> None:
        """Count a job that was submitted while another is running."""
        self._contentions += 1
        if self._contentions == _BUSY_THRESHOLD and not self._pinned:
            self._set_affinity(self._own)
            self._pinned = True

    def release_if_idle(self) -> None:
        """Unpin the threads if contention is over; call once a second."""
        if self._pinned and self._contentions < _BUSY_THRESHOLD:
            self._set_affinity(self._all)
            self._pinned = False
        self._contentions = 0

    def _set_affinity(self, processors: set[int]) -> None:
        if len(self._all) < 2:
            return
        threads: list[str] = []
        with suppress(OSError):  # A system without /proc.
            threads = os.listdir("/proc/self/task")
        for thread in threads:
            with suppress(OSError):  # The thread has ended, or we lack permission.
                os.sched_setaffinity(int(thread), processors)
