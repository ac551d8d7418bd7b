"""Which processor a server process's threads run on.

The loop and the threads behind it hand Python's lock to each other many times for each message and command. From one
processor to another that costs more than a second processor brings, for only one of them runs Python at a time. So
while clients keep a process busy with several things at once, all its threads share one processor, each server process
its own; with one thing at a time the kernel places them, for then one works while the other waits for the disk.
"""

import os
from contextlib import suppress

_CROWD = 16  # pieces of work in a second that came while another was under way


class CpuAffinity:
    """The processor of the server process of this `number` (1, 2, …), among those that the process may use."""

    def __init__(self, number: int) -> None:
        # Linux; elsewhere the kernel always places threads.
        self._all = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
        self._own = {sorted(self._all)[(number - 1) % len(self._all)]} if self._all else self._all
        self._met = 0
        self._kept = False

    def on_contention(self) -> None:
        """Work has come while other work is under way."""
        self._met += 1
        if self._met == _CROWD and not self._kept:
            self._place(self._own)
            self._kept = True

    def release_if_idle(self) -> None:
        """To be called once a second: is it still crowded?"""
        if self._kept and self._met < _CROWD:
            self._place(self._all)
            self._kept = False
        self._met = 0

    def _place(self, processors: set[int]) -> None:
        if len(self._all) < 2:
            return
        threads: list[str] = []
        with suppress(OSError):  # a system without /proc
            threads = os.listdir("/proc/self/task")
        for thread in threads:
            with suppress(OSError):  # it has just ended, or we may not
                os.sched_setaffinity(int(thread), processors)
