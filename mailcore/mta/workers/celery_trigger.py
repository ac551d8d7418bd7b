"""The trigger of Celery's workers: with REDIS_URL they deliver, on any machine, and `runmailserver` only wakes them.

It runs in place of a courier: it receives the couriers' notifications, checks which messages are due, and sends the
task `mailcore.tasks.deliver`, never one per message and never a second one before a worker has started the first
(`wake_ups`): a worker goes on until no message is due. While Redis is down messages wait in the queue; the first check
after its return finds them.
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

_BATCH_DELAY = 0.05  # Seconds between two checks.
_POLL_INTERVAL = 5.0  # Seconds after which a lost notification is noticed at the latest.
_RETRY_INTERVAL = 1.0  # Seconds until the next check if messages are still due, or Redis or the database is down.
_WARN_AFTER = 60.0  # Seconds that messages may be due before a warning is logged.


class CeleryTrigger:
    """The process that sends wake-ups: `run` until `stop`."""

    def __init__(self) -> None:
        self._stopping = False
        self._housekeeping = Housekeeping()
        self._changed = False  # Settings or accounts have changed.
        self._started = False
        self._due_since: float | None = None  # Messages have been due at every check since then.

    def stop(self) -> None:
        self._stopping = True

    def run(self, wake_socket: socket.socket, parent: int) -> None:
        """Wake workers on notifications and when messages are due, until `stop` or the supervisor's death.

        `wake_socket` receives the couriers' notifications; `parent` is the reading end of a pipe that becomes readable
        when the supervisor dies.
        """
        while not self._stopping:
            close_old_connections()
            began = monotonic()
            timeout = self._check_queue()
            ready, _, _ = select.select([wake_socket.fileno(), parent], [], [], timeout)
            if parent in ready:
                return
            if ready:
                self._changed |= bool(
                    notifications.read_notifications(wake_socket) & {notifications.SETTINGS, notifications.EVERYTHING}
                )
                sleep(max(0.0, began + _BATCH_DELAY - monotonic()))

    def _check_queue(self) -> float:
        """Send a wake-up if messages are due. Return the seconds to wait for a notification."""
        try:
            if not self._started:
                housekeeping.recover()
                self._started = True
            if self._changed:
                housekeeping.read_settings()
                self._changed = False
            due = states.seconds_until_due()
            if due == 0 or states.has_expired_lease():
                self._warn_if_overdue()
                wake_up()
                return _RETRY_INTERVAL
            self._due_since = None
            states.release_dead()
            self._housekeeping.step()
        except Error as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
            connection.close()
            return _RETRY_INTERVAL
        except (KombuError, RedisError, OSError) as error:
            writer.write("qmgr", f"warning: Celery's broker does not answer: {' '.join(str(error).split())}")
            return _RETRY_INTERVAL
        return _POLL_INTERVAL if due is None else min(due, _POLL_INTERVAL)

    def _warn_if_overdue(self) -> None:
        """Log a warning now and then if no worker starts."""
        now = monotonic()
        if self._due_since is None:
            self._due_since = now
        elif now - self._due_since > _WARN_AFTER:
            self._due_since = now
            writer.write(
                "qmgr", f"warning: messages have been due for {_WARN_AFTER:.0f} s; is a Celery worker running?"
            )


def wake_up() -> bool:
    """Send a wake-up unless one is pending. Raise KombuError, RedisError or OSError if the broker does not answer."""
    if not wake_ups.reserve():
        return False
    try:
        app.send_task("mailcore.tasks.deliver", ignore_result=True, retry=False)
    except BaseException:
        wake_ups.begin()
        raise
    return True
