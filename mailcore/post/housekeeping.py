"""What is done when nothing is due: letters are counted, what is too old is forgotten, and letters go on whose
mailboxes are no longer on hold. Called by whoever stands at the couriers' bell: a courier, or the ringer in its place.
"""

from mailcore import conf, log
from mailcore.post import deliver, intake, queue, traffic
from mailcore.store import directory, journal, scripts

_EVERY_US = 3600 * queue.MICRO


class Housekeeping:
    def __init__(self) -> None:
        self._done_us = 0

    def step(self) -> None:
        now = queue.now_us()
        traffic.count()
        if now - self._done_us > _EVERY_US:
            self._done_us = now
            forgotten, stray = queue.forget_settled(), intake.sweep()
            journal.forget()
            traffic.forget()
            scripts.forget()
            deliver.release()
            if forgotten or stray:
                log.write("qmgr", f"forgot {forgotten} settled letters, removed {stray} stray files")


def read_settings() -> None:
    """Settings or accounts have changed."""
    conf.refresh()
    directory.forget()
    deliver.release()
