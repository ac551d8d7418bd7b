"""What is done when nothing is due: messages are counted, what is too old is forgotten, and messages go on whose
mailboxes are no longer on hold. Called by whoever stands at the couriers' bell: a courier, or the ringer in its place.
"""

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.delivery import crash_recovery, deliver
from mailcore.mta.history import statistics
from mailcore.mta.queue import enqueue, states
from mailcore.mta.routing.route import route_address
from mailcore.store import directory
from mailcore.store.access import sieve_scripts
from mailcore.store.db import event_log
from mailcore.values import Local

_EVERY_US = 3600 * states.MICRO


class Housekeeping:
    def __init__(self) -> None:
        self._done_us = 0

    def step(self) -> None:
        now = states.now_us()
        statistics.count_log()
        if now - self._done_us > _EVERY_US:
            self._done_us = now
            recover()
            forgotten, stray = states.delete_old_history(), enqueue.remove_orphaned_files()
            event_log.delete_old_events()
            statistics.delete_old_counts()
            sieve_scripts.delete_expired()
            deliver.release_held_mailboxes()
            if forgotten or stray:
                writer.write("qmgr", f"forgot {forgotten} settled messages, removed {stray} stray files")


def recover() -> None:
    """Put back what lost its name in a power failure: when whoever keeps house starts, and before anything is swept."""
    crash_recovery.recover_after_crash(deliver.build_arrival, _account)


def _account(address: str) -> Local | None:
    way = route_address(address, final=True)
    return way if isinstance(way, Local) else None


def read_settings() -> None:
    """Settings or accounts have changed."""
    conf.refresh()
    directory.clear_cache()
    deliver.release_held_mailboxes()
