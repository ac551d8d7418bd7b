"""With REDIS_URL, Celery's workers deliver, on any machine; `runmailserver` only wakes them.

The ringer stands where couriers would: it hears the couriers' bell, looks for what has fallen due, and sends the
task `mailcore.tasks.deliver`, never one a message and never a second one before a worker has begun with the first
(`wake_ups`): a visit goes on until nothing is due. While Redis is away messages wait in the queue; the next look after
its return finds them.
"""

import select
import socket
from time import monotonic, sleep

from django.db import Error, close_old_connections, connection
from kombu.exceptions import KombuError
from redis import RedisError

from mailcore.celery import app
from mailcore.logs import writer
from mailcore.mta.queue import states
from mailcore.mta.workers import housekeeping, wake_ups
from mailcore.mta.workers.housekeeping import Housekeeping
from mailcore.store.notify import notifications

_GATHER = 0.05  # seconds between two looks
_LOOK_AGAIN = 5.0  # seconds: a missed bell is found out after this at the latest
_SOON = 1.0  # seconds until what is due still, or Redis and the database when they are away, is looked at again
_LONG = 60.0  # seconds after which messages that nobody takes are worth a line in the log


class CeleryTrigger:
    """`run` until `stop`."""

    def __init__(self) -> None:
        self._stopping = False
        self._housekeeping = Housekeeping()
        self._changed = False  # settings or accounts have
        self._started = False
        self._due_since: float | None = None  # something has been due at every look since then

    def stop(self) -> None:
        self._stopping = True

    def run(self, bell: socket.socket, parent: int) -> None:
        """Wake workers whenever the bell (a `news.listen(COURIERS)` socket) rings or something is due, until `stop`, or
        until `parent` (a pipe's reading end) says that the supervisor is gone."""
        while not self._stopping:
            close_old_connections()
            began = monotonic()
            timeout = self._look()
            ready, _, _ = select.select([bell.fileno(), parent], [], [], timeout)
            if parent in ready:
                return
            if ready:
                self._changed |= bool(
                    notifications.read_notifications(bell) & {notifications.SETTINGS, notifications.EVERYTHING}
                )
                sleep(max(0.0, began + _GATHER - monotonic()))

    def _look(self) -> float:
        """Send a wake-up if something is due. Returns how long to wait for the bell."""
        try:
            if not self._started:
                housekeeping.recover()
                self._started = True
            if self._changed:
                housekeeping.read_settings()
                self._changed = False
            due = states.seconds_until_due()
            if due == 0 or states.has_expired_lease():
                self._complain()
                wake_up()
                return _SOON
            self._due_since = None
            states.release_dead()
            self._housekeeping.step()
        except Error as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
            connection.close()
            return _SOON
        except (KombuError, RedisError, OSError) as error:
            writer.write("qmgr", f"warning: Celery's broker does not answer: {' '.join(str(error).split())}")
            return _SOON
        return _LOOK_AGAIN if due is None else min(due, _LOOK_AGAIN)

    def _complain(self) -> None:
        """Say now and then that no worker comes."""
        now = monotonic()
        if self._due_since is None:
            self._due_since = now
        elif now - self._due_since > _LONG:
            self._due_since = now
            writer.write("qmgr", f"warning: messages have been due for {_LONG:.0f} s; is a Celery worker running?")


def wake_up() -> bool:
    """Send a wake-up unless one is under way. KombuError, RedisError, OSError: the broker does not answer."""
    if not wake_ups.reserve():
        return False
    try:
        app.send_task("mailcore.tasks.deliver", ignore_result=True, retry=False)
    except BaseException:
        wake_ups.begin()
        raise
    return True
