"""Renewal of a courier's leases, in a thread of its own.

However long a delivery, a slow host or a command takes, no other courier claims the messages while this one lives.
"""

import threading
from collections.abc import Callable, Collection
from time import monotonic

from django.db import Error, close_old_connections, connection

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import states

_POLL_INTERVAL = 5.0  # Seconds between checks, since courier_lease_time may change.


class LeaseRenewer:
    """A thread that renews the leases of the messages `held` returns, every third of courier_lease_time."""

    def __init__(self, courier: str, held: Callable[[], Collection[int]]) -> None:
        self._courier, self._held = courier, held
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        renewed = monotonic()
        while True:
            interval = max(conf.current().courier_lease_time / 3, 0.1)
            if self._ended.wait(max(0.0, min(renewed + interval - monotonic(), _POLL_INTERVAL))):
                break
            if monotonic() - renewed >= interval:
                renewed = monotonic()
                self._renew()
        connection.close()

    def _renew(self) -> None:
        ids = self._held()
        if not ids:
            return
        try:
            close_old_connections()
            states.renew_lease(self._courier, ids)
        except Error as error:
            writer.write("qmgr", f"warning: cannot renew leases: {' '.join(str(error).split())}")
            connection.close()
