"""Signs of life from event loops: shared memory in which every child of the supervisor notes when its loop last turned.

`start` is called once by the coroutine a server or web process runs; the supervisor asks `silence` and replaces a
process that has been silent for watchdog_timeout. A loop that stands still serves nobody, and nothing else would end
it: its sockets stay open and clients wait.
"""

import asyncio
import faulthandler
import mmap
import signal
import struct
import time

from mailcore import rate_counters

INTERVAL = 1.0  # seconds between two notes
_NOTE = struct.Struct("<d")  # seconds on the machine's monotonic clock; 0: no loop has turned yet

_memory = mmap.mmap(-1, rate_counters.PROCESSES * _NOTE.size)


def start() -> None:
    """Note from now on that the running loop turns. SIGUSR2 writes to standard error what every thread is doing."""
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    loop, place = asyncio.get_running_loop(), rate_counters.current_process() * _NOTE.size

    def beat() -> None:
        _NOTE.pack_into(_memory, place, time.monotonic())
        loop.call_later(INTERVAL, beat)

    beat()


def silence(process: int) -> float:
    """Seconds since the loop of the child with this number turned; 0 if it has none, or none yet."""
    last: float = _NOTE.unpack_from(_memory, process * _NOTE.size)[0]
    return time.monotonic() - last if last else 0.0


def clear(process: int) -> None:
    """Forget a child that has ended."""
    _NOTE.pack_into(_memory, process * _NOTE.size, 0.0)
