"""What is done when nothing is due: letters are counted, what is too old is forgotten, and letters go on whose
mailboxes are no longer on hold. Called by whoever stands at the couriers' bell: a courier, or the ringer in its place.
"""

from mailcore import conf, log
from mailcore.post import deliver, intake, leftovers, queue, traffic
from mailcore.post.route import route
from mailcore.store import directory, journal, scripts
from mailcore.terms import Local

_EVERY_US = 3600 * queue.MICRO


class Housekeeping:
    def __init__(self) -> None:
        self._done_us = 0

    def step(self) -> None:
        now = queue.now_us()
        traffic.count()
        if now - self._done_us > _EVERY_US:
            self._done_us = now
            recover()
            forgotten, stray = queue.forget_settled(), intake.sweep()
            journal.forget()
            traffic.forget()
            scripts.forget()
            deliver.release()
            if forgotten or stray:
                log.write("qmgr", f"forgot {forgotten} settled letters, removed {stray} stray files")


def recover() -> None:
    """Put back what lost its name in a power failure: when whoever keeps house starts, and before anything is swept."""
    leftovers.recover(deliver.arrival, _account)


def _account(address: str) -> Local | None:
    way = route(address, final=True)
    return way if isinstance(way, Local) else None


def read_settings() -> None:
    """Settings or accounts have changed."""
    conf.refresh()
    directory.forget()
    deliver.release()
