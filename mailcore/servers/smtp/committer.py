"""Group commit of received messages: those that are ready while a transaction runs share the next one.

Called by `receive` at the end of each message, once per process (`worker_process`).
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import replace

from mailcore.mta.delivery import direct
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.content_files import ContentFile
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.concurrency.group_commit import Batcher
from mailcore.values import NewMessage, TemporaryFault

# A message as it was inserted, and the lines to log about its delivery.
Committed = tuple[NewMessage, tuple[str, ...]]


class Committer:
    """Commits messages in groups, by the commit thread, or by the loop while it serves one session only.

    The commit thread inserts all messages, since its connection has the database's pages as it left them
    (see `group_commit`). Queue rows of directly delivered messages are written together: when no message came for
    QUIET seconds, or, under steady load, for every AT_ONCE messages or LATEST seconds.
    """

    AT_ONCE = 250
    QUIET = 0.05
    LATEST = 1.0

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._batcher = Batcher(self._commit, executor, self._afterwards)
        self._lock = threading.Lock()  # Guards the two below.
        self._unpublished: list[direct.DirectDelivery] = []
        self._unrecorded: list[direct.DirectDelivery] = []  # Without rows in the queue.
        self._timer: asyncio.TimerHandle | None = None
        self._first = self._last = 0.0  # Times (of the loop) of the first and last unrecorded message.
        self._has_unrecorded = False

    def submit(self, file: ContentFile, message: NewMessage) -> "asyncio.Future[Committed]":
        """Submit a message with its content file; the returned future is done when the message is committed.

        Its result is the message as it was inserted (with another queue id if its own was in use) and the lines to log
        if it was delivered as well. It raises TemporaryFault if the message was not committed; its file is deleted
        then. Cancelling the future does not cancel the commit.
        """
        future = self._batcher.submit((file, message))
        loop = asyncio.get_running_loop()
        self._has_unrecorded, self._last = True, loop.time()
        if self._timer is None:
            self._first, self._timer = self._last, loop.call_later(self.QUIET, self._check_timer, loop)
        return future

    def _check_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if now - self._last < self.QUIET and now - self._first < self.LATEST:
            self._timer = loop.call_later(self.QUIET, self._check_timer, loop)
        else:
            self.record_history()

    def record_history(self) -> None:
        """Write the queue's history of all messages delivered so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._has_unrecorded:
            self._has_unrecorded = False
            self._executor.commit(self._write_history)  # After the jobs in progress.

    def _commit(self, group: Sequence[tuple[ContentFile, NewMessage]]) -> list[Committed | Exception]:
        """Commit messages: deliver them, or make them durable and enqueue them; return results or exceptions."""
        try:
            delivered = direct.deliver_directly(group)
        except TemporaryFault as fault:
            for file, _ in group:
                _discard(file)
            return [fault] * len(group)
        with self._lock:
            self._unpublished += delivered.values()
            self._unrecorded += delivered.values()
        outcomes: dict[int, Committed | Exception] = {
            key: (each.message, each.log_lines) for key, each in delivered.items()
        }
        remaining = [(file, message) for file, message in group if message.id not in outcomes]
        outcomes |= _enqueue_group(remaining)
        for file, message in remaining:
            if isinstance(outcomes[message.id], Exception):
                _discard(file)
        return [outcomes[message.id] for _, message in group]

    def _afterwards(self) -> None:
        self.publish()
        with self._lock:
            is_large = len(self._unrecorded) >= self.AT_ONCE
        if is_large:
            self._write_history()

    @property
    def has_unpublished(self) -> bool:
        """True if there are files to `publish`, such as some for which that has just failed."""
        return bool(self._unpublished)

    def publish(self) -> None:
        """Publish the files of inserted messages; those for which that fails are tried again next time."""
        with self._lock:
            unpublished, self._unpublished = self._unpublished, []
        if failed := direct.publish(unpublished):
            with self._lock:
                self._unpublished += failed

    def _write_history(self) -> None:
        with self._lock:
            delivered, self._unrecorded = self._unrecorded, []
        direct.record_history(delivered)


def _discard(file: ContentFile) -> None:
    with contextlib.suppress(OSError):
        file.discard()


def _enqueue_group(group: Sequence[tuple[ContentFile, NewMessage]]) -> dict[int, Committed | Exception]:
    """Enqueue messages for the couriers; return results or exceptions by the ids the messages came with."""
    outcomes: dict[int, Committed | Exception] = {}
    errors = content_files.finish_files([file for file, _ in group])
    finished: list[tuple[ContentFile, NewMessage]] = []
    for file, message in group:
        if file in errors:
            outcomes[message.id] = TemporaryFault(f"queue file write error: {errors[file]}")
        else:
            finished.append((file, message))
    messages = [replace(message, id=file.id, checksum=file.checksum) for file, message in finished]
    try:
        enqueue.enqueue(messages)
    except TemporaryFault:
        # The fault of one message must not affect the others: each is tried alone.
        return outcomes | {message.id: _enqueue_each(file, message) for file, message in finished}
    inserted = zip(finished, messages, strict=True)
    return outcomes | {submitted.id: (message, ()) for (_, submitted), message in inserted}


def _enqueue_each(file: ContentFile, message: NewMessage) -> Committed | Exception:
    try:
        return enqueue.enqueue_file(file, message), ()
    except TemporaryFault as fault:
        return fault
