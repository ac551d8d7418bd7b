"""File descriptors: as many as the system allows, and a spare one for when none is left."""

import contextlib
import os
import resource
from socket import socket


def raise_limit() -> int:
    """Raise the soft limit of open files to the hard limit, for this process and its children; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # A system may allow less than it reports.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


class Reserve:
    """A spare descriptor for a listening socket.

    Without it, a connection that cannot be accepted makes the socket readable again and again. (Sockets that libuv
    listens on have libuv's own spare.)
    """

    def __init__(self) -> None:
        self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def shed(self, listening: socket) -> None:
        """Accept and close the waiting connections, so that their clients know at once and retry."""
        self.close()
        with contextlib.suppress(OSError):
            while True:
                listening.accept()[0].close()
        with contextlib.suppress(OSError):
            self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
