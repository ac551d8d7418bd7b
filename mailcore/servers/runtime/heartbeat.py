"""Heartbeats of event loops, in shared memory: the supervisor's watchdog replaces processes without one.

`start` is called once by the coroutine of a server or web process; the supervisor checks `silence` and replaces a
process after watchdog_timeout. A blocked loop serves no client, and nothing else would end it: its sockets stay open
and clients wait.
"""

import asyncio
import faulthandler
import mmap
import signal
import struct
import time

from mailcore import rate_counters

INTERVAL = 1.0  # Seconds between two heartbeats.
_BEAT = struct.Struct("<d")  # Seconds on the machine's monotonic clock; 0 if no loop runs yet.

_memory = mmap.mmap(-1, rate_counters.PROCESSES * _BEAT.size)


def start() -> None:
    """Start the heartbeat of the running loop; SIGUSR2 makes the process write all stacks to standard error."""
    faulthandler.register(signal.SIGUSR2, all_threads=True)
    loop, offset = asyncio.get_running_loop(), rate_counters.current_process() * _BEAT.size

    def beat() -> None:
        _BEAT.pack_into(_memory, offset, time.monotonic())
        loop.call_later(INTERVAL, beat)

    beat()


def silence(process: int) -> float:
    """Return the seconds since the last heartbeat of a child; 0 if it has had none."""
    last: float = _BEAT.unpack_from(_memory, process * _BEAT.size)[0]
    return time.monotonic() - last if last else 0.0


def clear(process: int) -> None:
    """Clear the heartbeat of a child that has ended."""
    _BEAT.pack_into(_memory, process * _BEAT.size, 0.0)
