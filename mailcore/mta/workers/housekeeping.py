"""Housekeeping when no message is due: statistics, deletion of old rows, and release of held mailboxes.

Called by the process that receives the couriers' notifications: a courier, or the Celery trigger in its place.
"""

from time import monotonic

from mailcore import conf
from mailcore.conf import caches
from mailcore.logs import writer
from mailcore.mta.delivery import crash_recovery, deliver
from mailcore.mta.history import statistics
from mailcore.mta.queue import enqueue, states
from mailcore.mta.routing.route import route_address
from mailcore.store.access import sieve_scripts
from mailcore.store.db import event_log
from mailcore.values import Local

_INTERVAL = 3600.0


class Housekeeping:
    def __init__(self) -> None:
        self._next = 0.0  # monotonic: the clock may be set back

    def step(self) -> None:
        statistics.count_log()
        if monotonic() >= self._next:
            self._next = monotonic() + _INTERVAL
            recover()
            if corrected := states.correct_future_times():
                writer.write("qmgr", f"warning: {corrected} messages were due in the far future: the clock was ahead")
            deleted, orphans = states.delete_old_history(), enqueue.remove_orphaned_files()
            event_log.delete_old_events()
            statistics.delete_old_counts()
            sieve_scripts.delete_expired()
            deliver.release_held_mailboxes()
            if deleted or orphans:
                writer.write("qmgr", f"deleted history of {deleted} messages, removed {orphans} orphaned files")


def recover() -> None:
    """Restore messages whose names were lost in a power failure: at start, and before old rows are deleted."""
    crash_recovery.recover_after_crash(deliver.build_arrival, _account)


def _account(address: str) -> Local | None:
    route = route_address(address, final=True)
    return route if isinstance(route, Local) else None


def read_settings() -> None:
    """Read changed settings and accounts."""
    conf.refresh()
    caches.clear(caches.Source.DATABASE)
    deliver.release_held_mailboxes()
