"""With REDIS_URL, Celery's workers deliver, on any machine; `runmailserver` only rings for them.

The ringer stands where couriers would: it hears the couriers' bell, looks for what has fallen due, and sends the
task `mailcore.tasks.deliver`, never one a letter: a visit goes on until nothing is due. While Redis is away letters
wait in the queue; the next look after its return finds them.
"""

import select
import socket
from time import monotonic, sleep

from django.db import Error, close_old_connections, connection
from kombu.exceptions import KombuError

from mailcore import log
from mailcore.celery import app
from mailcore.post import housekeeping, queue
from mailcore.post.housekeeping import Housekeeping
from mailcore.store import news

_GATHER = 0.05  # seconds between two rings
_LOOK_AGAIN = 5.0  # seconds: a missed bell is found out after this at the latest
_SOON = 1.0  # seconds until what is due still, or Redis and the database when they are away, is looked at again
_STALE = 30  # seconds after which a task that nobody took is worth nothing: another will have come


class Ringer:
    """`run` until `stop`."""

    def __init__(self) -> None:
        self._stopping = False
        self._housekeeping = Housekeeping()
        self._changed = False  # settings or accounts have

    def stop(self) -> None:
        self._stopping = True

    def run(self, bell: socket.socket, parent: int) -> None:
        """Ring whenever the bell (a `news.listen(COURIERS)` socket) does or something is due, until `stop`, or
        until `parent` (a pipe's reading end) says that the supervisor is gone."""
        while not self._stopping:
            close_old_connections()
            began = monotonic()
            timeout = self._look()
            ready, _, _ = select.select([bell.fileno(), parent], [], [], timeout)
            if parent in ready:
                return
            if ready:
                self._changed |= bool(news.drain(bell) & {news.SETTINGS, news.EVERYTHING})
                sleep(max(0.0, began + _GATHER - monotonic()))

    def _look(self) -> float:
        """Ring if something is due. Returns how long to wait for the bell."""
        try:
            if self._changed:
                housekeeping.read_settings()
                self._changed = False
            due = queue.seconds_until_due()
            if due == 0 or queue.is_abandoned():
                app.send_task("mailcore.tasks.deliver", expires=_STALE, ignore_result=True, retry=False)
                return _SOON
            self._housekeeping.step()
        except Error as error:
            log.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
            connection.close()
            return _SOON
        except (KombuError, OSError) as error:
            log.write("qmgr", f"warning: Celery's broker does not answer: {' '.join(str(error).split())}")
            return _SOON
        return _LOOK_AGAIN if due is None else min(due, _LOOK_AGAIN)
