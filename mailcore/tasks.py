"""Celery's door to `post`: tasks only wake a courier, the rows are the truth.

Each process of a worker has one courier, which visits the queue when a task comes and keeps its connections to other
hosts in between. A process that is killed needs no second task: what it held is due again at once, when the process
that takes its place starts.
"""

import mmap
import os
import threading

from celery import Task, shared_task
from celery.signals import worker_process_init, worker_process_shutdown, worker_shutdown, worker_shutting_down
from celery.worker.request import Request
from django.db import DatabaseError, connection
from redis import RedisError

from mailcore.logs import writer
from mailcore.mta.queue import queue_ids, states
from mailcore.mta.workers import wake_ups
from mailcore.mta.workers.courier import Courier

_ending = mmap.mmap(-1, 1)  # shared by a worker's processes: not zero when it is shutting down
_visiting = threading.Lock()
_courier: tuple[int, Courier] | None = None  # process id, its courier


class WakeUpRequest(Request):
    """A wake-up never expires. Celery (5) discards expired tasks that wait for a process one inside the other: some
    hundred end the worker with a RecursionError; and what has expired depends on two machines' clocks. We send none
    with a time to live, but the ringer of an earlier version does."""

    def maybe_expire(self) -> bool:
        return False


class WakeUp(Task):
    Request = WakeUpRequest


@shared_task(base=WakeUp, ignore_result=True)
def deliver() -> int:
    """Deliver everything that is due; returns the number of messages moved."""
    try:
        wake_ups.begin()
    except RedisError as error:
        writer.write("qmgr", f"warning: Redis does not answer: {error}")
    if not _visiting.acquire(blocking=False):
        return 0  # another thread of this process is at it, and finds whatever there is
    try:
        return _own_courier().visit(is_ending)
    finally:
        _visiting.release()


def _own_courier() -> Courier:
    global _courier
    if _courier is None or _courier[0] != os.getpid():
        _courier = (os.getpid(), Courier())
    return _courier[1]


def is_ending() -> bool:
    """Is the worker shutting down?"""
    return _ending[0] != 0


@worker_shutting_down.connect
def _end(**_: object) -> None:
    _ending[0] = 1


@worker_process_init.connect
def _begin(**_: object) -> None:
    """In a thread, for Celery takes a process that does not begin at once for dead."""

    def release() -> None:
        try:
            states.release_dead()
        except DatabaseError as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
        finally:
            connection.close()

    threading.Thread(target=release, name="begin", daemon=True).start()


@worker_process_shutdown.connect
@worker_shutdown.connect
def _close(**_: object) -> None:
    global _courier
    if _courier is not None and _courier[0] == os.getpid():
        courier, _courier = _courier[1], None
        try:
            courier.close()
            queue_ids.release()
        except DatabaseError as error:
            writer.write("qmgr", f"warning: the database does not answer: {' '.join(str(error).split())}")
