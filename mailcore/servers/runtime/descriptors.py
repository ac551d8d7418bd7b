"""File descriptors: as many as the system allows, and one in reserve for the moment when there are none left."""

import contextlib
import os
import resource
from socket import socket


def raise_limit() -> int:
    """Let this process and its children open as many files as its hard limit says; return that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # a system may allow less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft


class Reserve:
    """A descriptor kept for a listening socket: without one, a connection that cannot be accepted makes the socket
    readable again and again. (Sockets that libuv listens on have one of libuv's.)"""

    def __init__(self) -> None:
        self._descriptor = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def shed(self, listening: socket) -> None:
        """Accept and close the connections that wait: their clients know at once, and come again."""
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
