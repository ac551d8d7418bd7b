"""Renewing the leases of a courier, in a thread of its own: however long a delivery, a slow host or a command takes,
nobody else begins with the same messages while the courier lives."""

import threading
from collections.abc import Callable, Collection
from time import monotonic

from django.db import Error, close_old_connections, connection

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import states

_LOOK_AGAIN = 5.0  # seconds: courier_lease_time may have been changed


class LeaseKeeper:
    """Renews every third of courier_lease_time what `held` names; `start` and `stop` it."""

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
            every = max(conf.current().courier_lease_time / 3, 0.1)
            if self._ended.wait(max(0.0, min(renewed + every - monotonic(), _LOOK_AGAIN))):
                break
            if monotonic() - renewed >= every:
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
            writer.write("qmgr", f"warning: leases are not renewed: {' '.join(str(error).split())}")
            connection.close()
