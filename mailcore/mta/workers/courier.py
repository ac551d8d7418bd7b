"""The courier: claims messages, delivers them, and repeats this until it is stopped.

It runs in a process of its own under `runmailserver` (`run`), or in the processes of Celery's workers, which process
the queue whenever a task wakes them (`visit`); both take the same steps. Local messages are delivered in the courier's
own thread, batch by batch; messages for other hosts are passed to an event loop beside it (`smtp.dispatcher`), so that
a slow host never delays other messages.
"""

import select
import socket
from collections.abc import Callable, Collection
from time import monotonic, sleep

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from mailcore import conf
from mailcore.conf import caches
from mailcore.logs import writer
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import queue_ids, states
from mailcore.mta.queue.claim import DeliveryResult
from mailcore.mta.transports.smtp.dispatcher import Dispatch
from mailcore.mta.workers import housekeeping
from mailcore.mta.workers.housekeeping import Housekeeping
from mailcore.mta.workers.lease_renewal import LeaseRenewer
from mailcore.store.db.retry import run_in_transaction
from mailcore.store.notify import notifications
from mailcore.store.processes import instance
from mailcore.values import TemporaryFault

_POLL_INTERVAL = 5.0  # Seconds after which a lost notification is noticed at the latest.
_BUSY_POLL_INTERVAL = 1.0  # Seconds between checks for new messages while others are in progress.
_GRACE = 10.0  # Seconds that connections to other hosts have to end when the courier stops.
# A batch costs about 2 ms before its first message. Under load the courier lets messages gather for this long; a single
# message is claimed at once.
_BATCH_DELAY = 0.02  # Seconds.


_DATABASE_RETRY_INTERVAL = 1.0  # Seconds until a database that does not answer is tried again.
_own_couriers: set[str] = set()  # The couriers of this process.


class Courier:
    """A delivery worker: `run` until `stop`; or call `visit` repeatedly, then `close`.

    While the database is down both wait for it and keep the results of other hosts in memory.
    """

    def __init__(self) -> None:
        self.name = instance.numbered()
        _own_couriers.add(self.name)
        self._dispatch = Dispatch()
        self._unrecorded: list[DeliveryResult] = []  # Results from other hosts that are not in the database yet.
        self._batch: Collection[int] = ()  # The batch being delivered.
        self._lease = LeaseRenewer(self.name, lambda: {*self._batch, *self._remote()})
        self._interrupted = False  # The courier may have claims that it does not work on.
        self._stopping = False
        self._cleanup = PendingCleanup()
        self._housekeeping = Housekeeping()
        self._released = 0.0  # When stale claims were released last, by the monotonic clock.

    def stop(self) -> None:
        """Finish the current batch, then release the other claims. May be called from a signal handler."""
        self._stopping = True

    def run(self, wake_socket: socket.socket, parent: int) -> None:
        """Deliver on notifications and when messages are due, until `stop` or the supervisor's death.

        `wake_socket` receives the couriers' notifications; `parent` is the reading end of a pipe that becomes readable
        when the supervisor dies.
        """
        while not self._stopping and self._retry_until_database(self._recover):
            pass
        while not self._stopping:
            close_old_connections()
            began = monotonic()
            self._retry_until_database(self._run_periodic_work)
            if self._retry_until_database(self.step):
                sleep(max(0.0, began + _BATCH_DELAY - monotonic()))
                self._drain_notifications(wake_socket)  # Settings must reach a courier that is never idle, too.
            else:
                self._retry_until_database(self._run_housekeeping)
                self._wait(wake_socket, parent)
        self.close()

    def run_until_idle(self) -> int:
        """Call `visit`, then `close`; return the number of messages claimed."""
        total = self.visit()
        self.close()
        return total

    def visit(self, is_over: Callable[[], bool] = lambda: False) -> int:
        """Deliver everything that is due now; return the number of messages claimed.

        Ends early when `is_over` returns True; reads changed settings every few seconds.
        """
        self._retry_until_database(self._release_stale_claims)
        conf.refresh()
        caches.clear(caches.Source.DATABASE)
        total, read = 0, monotonic()
        while not (self._stopping or is_over()) and (count := self._retry_until_database(lambda: self.step(wait=True))):
            total += count
            self._retry_until_database(self._run_periodic_work)
            if monotonic() - read > _POLL_INTERVAL:
                self._retry_until_database(_read_settings)
                read = monotonic()
        self._cleanup.clear()
        return total

    def _release_stale_claims(self) -> int:
        """Release the claims of killed couriers of this host without waiting for their leases to expire."""
        queue_ids.reserve_ahead()
        states.release_dead(_own_couriers)
        self._released = monotonic()
        return 0

    def _recover(self) -> int:
        """Release stale claims, and restore messages whose names were lost in a power failure."""
        self._release_stale_claims()
        housekeeping.recover()
        return 0

    def _run_periodic_work(self) -> int:
        """Do the periodic work besides deliveries.

        Stale claims are looked for again and again: a killed process may still be ending when its successor starts.
        """
        if self._cleanup.due:
            self._cleanup.clear()
        queue_ids.reserve_ahead()
        if monotonic() - self._released > _POLL_INTERVAL:
            self._release_stale_claims()
        return 0

    def _retry_until_database(self, work: Callable[[], int]) -> int:
        """Call `work`; while the database is down, wait and return 1, so that the caller tries again."""
        try:
            if self._interrupted:
                states.release_claims(self.name, keep=self._remote())
                self._interrupted = False
            return work()
        except (OperationalError, InterfaceError, TemporaryFault) as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
            connection.close()
            self._interrupted = True
            sleep(_DATABASE_RETRY_INTERVAL)
            return 1

    def close(self) -> None:
        """Let running deliveries to other hosts end, then release all other claims."""
        self._dispatch.stop(_GRACE)
        self._record_remote_results()
        self._dispatch.close()
        self._cleanup.clear()
        self._lease.stop()
        states.release_claims(self.name)
        _own_couriers.discard(self.name)

    def step(self, *, wait: bool = False) -> int:
        """Process one batch. Return how many messages it moved; 0 if none is due or in progress."""
        recorded = self._record_remote_results()
        under_way = self._dispatch.message_ids
        free_slots = conf.current().qmgr_message_active_limit - len(under_way)
        claims = states.claim_due(self.name, min(conf.current().courier_batch, free_slots)) if free_slots > 0 else []
        if claims:
            self._batch = [claim.id for claim in claims]
            self._lease.start()
            try:
                self._dispatch.submit(deliver.deliver(self.name, claims, self._cleanup))
            except deliver.LeaseLost as lost:
                writer.write("qmgr", f"warning: lease lost to another courier: {lost}")
                states.release_claims(self.name, keep=self._remote())
            finally:
                self._batch = ()
        elif wait and under_way:
            self._dispatch.wait(_BUSY_POLL_INTERVAL)
            return self._record_remote_results() or 1
        return len(claims) + recorded

    def _remote(self) -> set[int]:
        """Return the ids of messages in progress at other hosts, or with results that are not in the database yet."""
        return {*self._dispatch.held(), *(result.claim.id for result in tuple(self._unrecorded))}

    def _record_remote_results(self) -> int:
        """Record the results of other hosts.

        They stay in memory until committed: a lost one would cause a second delivery.
        """
        self._unrecorded = [*self._unrecorded, *self._dispatch.take_finished()]
        results = self._unrecorded
        if results:
            run_in_transaction(lambda: deliver.record_results(self.name, results))
            self._unrecorded = []
            self._cleanup.add(results, ())
        return len(results)

    def _wait(self, wake_socket: socket.socket, parent: int) -> None:
        due = states.seconds_until_due()
        timeout = _POLL_INTERVAL if due is None else min(due, _POLL_INTERVAL)
        if self._cleanup.waiting:
            timeout = min(timeout, 0.2)
        descriptors = [wake_socket.fileno(), self._dispatch.wake_fd, parent]
        ready, _, _ = select.select(descriptors, [], [], timeout)
        if parent in ready:
            self._stopping = True
        if wake_socket.fileno() in ready:
            self._drain_notifications(wake_socket)

    def _drain_notifications(self, wake_socket: socket.socket) -> None:
        if notifications.read_notifications(wake_socket) & {notifications.SETTINGS, notifications.EVERYTHING}:
            self._retry_until_database(_read_settings)

    def _run_housekeeping(self) -> int:
        self._housekeeping.step()
        return 0


def _read_settings() -> int:
    housekeeping.read_settings()
    return 0
