"""A courier: claims messages, delivers them, and goes on until told to stop.

Run by `runmailserver` in a process of its own (`run`), or in the processes of Celery's workers, which visit the queue
whenever a task wakes them (`visit`); both do the same steps. Local messages are
delivered in the courier's own thread, batch by batch; messages for other hosts are handed to an event
loop beside it (`smtp.dispatch`), so that a slow host never holds up anybody else.
"""

import select
import socket
from collections.abc import Callable, Collection
from time import monotonic, sleep

from django.db import InterfaceError, OperationalError, close_old_connections, connection

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import queue_ids, states
from mailcore.mta.queue.states import DeliveryResult
from mailcore.mta.transports.smtp.dispatcher import Dispatch
from mailcore.mta.workers import housekeeping
from mailcore.mta.workers.housekeeping import Housekeeping
from mailcore.mta.workers.lease_renewal import LeaseKeeper
from mailcore.store import directory
from mailcore.store.db.retry import run_in_transaction
from mailcore.store.notify import notifications
from mailcore.store.processes import instance
from mailcore.values import TemporaryFault

_LOOK_AGAIN = 5.0  # seconds: a missed bell is found out after this at the latest
_LOOK_SOON = 1.0  # seconds: for new messages, while others are under way
_GRACE = 10.0  # seconds that conversations with other hosts have to end when the courier stops
# A batch costs about 2 ms before its first message. While messages pour in, the courier lets them gather
# this long; a message that comes alone is taken at once.
_GATHER = 0.02  # seconds


_DATABASE_AGAIN = 1.0  # seconds until a database that does not answer is asked again
_own_couriers: set[str] = set()  # the couriers of this process


class Courier:
    """`run` until `stop`; or `visit` now and then, and `close`.

    While the database is away both wait for it, with what other hosts have said in mind.
    """

    def __init__(self) -> None:
        self.name = instance.numbered()
        _own_couriers.add(self.name)
        self._dispatch = Dispatch()
        self._unsettled: list[DeliveryResult] = []  # what other hosts said and the database does not know yet
        self._at_hand: Collection[int] = ()  # the batch being delivered
        self._lease = LeaseKeeper(self.name, lambda: {*self._at_hand, *self._remote()})
        self._interrupted = False  # messages may be ours that nobody works on
        self._stopping = False
        self._leftovers = PendingCleanup()
        self._housekeeping = Housekeeping()

    def stop(self) -> None:
        """Finish the batch at hand, then give back what is left. May be called from a signal handler."""
        self._stopping = True

    def run(self, bell: socket.socket, parent: int) -> None:
        """Work whenever the bell (a `news.listen(COURIERS)` socket) rings or something falls due, until
        `stop`, or until `parent` (a pipe's reading end) says that the supervisor is gone."""
        while not self._stopping and self._retry_until_database(self._recover):
            pass
        while not self._stopping:
            close_old_connections()
            began = monotonic()
            self._retry_until_database(self._keep_up)
            if self._retry_until_database(self.step):
                sleep(max(0.0, began + _GATHER - monotonic()))
                self._drain_notifications(bell)  # settings change for a courier that is never idle, too
            else:
                self._retry_until_database(self._run_housekeeping)
                self._wait(bell, parent)
        self.close()

    def run_until_idle(self) -> int:
        """`visit`, and `close`."""
        total = self.visit()
        self.close()
        return total

    def visit(self, is_over: Callable[[], bool] = lambda: False) -> int:
        """Deliver everything that is due now; returns the number of messages claimed. Ends early when `is_over`, and
        hears of changed settings every few seconds."""
        self._retry_until_database(self._release_stale_claims)
        conf.refresh()
        directory.clear_cache()
        total, read = 0, monotonic()
        while not (self._stopping or is_over()) and (count := self._retry_until_database(lambda: self.step(wait=True))):
            total += count
            self._retry_until_database(self._keep_up)
            if monotonic() - read > _LOOK_AGAIN:
                self._retry_until_database(_read_settings)
                read = monotonic()
        self._leftovers.clear()
        return total

    def _release_stale_claims(self) -> int:
        """What a courier of this place held when it was killed is due at once, without waiting for its lease to
        end."""
        queue_ids.reserve_ahead()
        states.release_dead(_own_couriers)
        return 0

    def _recover(self) -> int:
        """`_begin`; and what lost its name in a power failure is put back."""
        self._release_stale_claims()
        housekeeping.recover()
        return 0

    def _keep_up(self) -> int:
        """What is due beside deliveries."""
        if self._leftovers.due:
            self._leftovers.clear()
        queue_ids.reserve_ahead()
        return 0

    def _retry_until_database(self, work: Callable[[], int]) -> int:
        """Do it; while the database is away, wait and say that there is more to do."""
        try:
            if self._interrupted:
                states.release_claims(self.name, keep=self._remote())
                self._interrupted = False
            return work()
        except (OperationalError, InterfaceError, TemporaryFault) as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
            connection.close()
            self._interrupted = True
            sleep(_DATABASE_AGAIN)
            return 1

    def close(self) -> None:
        """What other hosts are hearing just now may end; everything else is given back."""
        self._dispatch.stop(_GRACE)
        self._record_remote_results()
        self._dispatch.close()
        self._leftovers.clear()
        self._lease.stop()
        states.release_claims(self.name)
        _own_couriers.discard(self.name)

    def step(self, *, wait: bool = False) -> int:
        """One batch. Returns how many messages it moved; 0 when nothing is due and nothing is under way."""
        settled = self._record_remote_results()
        under_way = self._dispatch.message_count
        room = conf.current().qmgr_message_active_limit - len(under_way)
        claims = states.claim_due(self.name, min(conf.current().courier_batch, room)) if room > 0 else []
        if claims:
            self._at_hand = [claim.id for claim in claims]
            self._lease.start()
            try:
                self._dispatch.submit(deliver.deliver(self.name, claims, self._leftovers))
            except deliver.LeaseLost as lost:
                writer.write("qmgr", f"warning: another courier has begun with {lost}")
                states.release_claims(self.name, keep=self._remote())
            finally:
                self._at_hand = ()
        elif wait and under_way:
            self._dispatch.wait(_LOOK_SOON)
            return self._record_remote_results() or 1
        return len(claims) + settled

    def _remote(self) -> set[int]:
        """Messages that other hosts are hearing, or have answered while the database does not know it yet."""
        return {*self._dispatch.held(), *(settlement.claim.id for settlement in tuple(self._unsettled))}

    def _record_remote_results(self) -> int:
        """What has been said is kept until the database has it: it would be delivered again else."""
        self._unsettled = [*self._unsettled, *self._dispatch.take_finished()]
        settlements = self._unsettled
        if settlements:
            run_in_transaction(lambda: deliver.record_results(self.name, settlements))
            self._unsettled = []
            self._leftovers.add(settlements, ())
        return len(settlements)

    def _wait(self, bell: socket.socket, parent: int) -> None:
        due = states.seconds_until_due()
        timeout = _LOOK_AGAIN if due is None else min(due, _LOOK_AGAIN)
        if self._leftovers.waiting:
            timeout = min(timeout, 0.2)
        descriptors = [bell.fileno(), self._dispatch.bell, parent]
        ready, _, _ = select.select(descriptors, [], [], timeout)
        if parent in ready:
            self._stopping = True
        if bell.fileno() in ready:
            self._drain_notifications(bell)

    def _drain_notifications(self, bell: socket.socket) -> None:
        if notifications.read_notifications(bell) & {notifications.SETTINGS, notifications.EVERYTHING}:
            self._retry_until_database(_read_settings)

    def _run_housekeeping(self) -> int:
        self._housekeeping.step()
        return 0


def _read_settings() -> int:
    housekeeping.read_settings()
    return 0
