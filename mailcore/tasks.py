"""Celery tasks that start deliveries: a task only wakes a courier, the queue's rows are authoritative.

Each process of a worker has one courier, which works on the queue when a task arrives and keeps its connections to
other hosts in between. A process that is killed needs no second task: its messages are due again at once when the
process that replaces it starts.
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

_shutdown_flag = mmap.mmap(-1, 1)  # shared by a worker's processes: not zero during shutdown
_visit_lock = threading.Lock()
_courier: tuple[int, Courier] | None = None  # process id, its courier


class WakeUpRequest(Request):
    """A request that never expires.

    Celery (5) discards expired tasks that wait for a process recursively: some hundred end the worker with a
    RecursionError; and expiry depends on the clocks of two machines. Current versions send none with a time to live,
    but earlier ones did.
    """

    def maybe_expire(self) -> bool:
        return False


class WakeUp(Task):
    """Base class of the tasks, which sets their request class."""

    Request = WakeUpRequest


@shared_task(base=WakeUp, ignore_result=True)
def deliver() -> int:
    """Deliver everything that is due and return the number of messages processed."""
    try:
        wake_ups.begin()
    except RedisError as error:
        writer.write("qmgr", f"warning: Redis does not answer: {error}")
    if not _visit_lock.acquire(blocking=False):
        return 0  # another thread of this process delivers, and finds all due messages
    try:
        return _own_courier().visit(is_ending)
    finally:
        _visit_lock.release()


def _own_courier() -> Courier:
    global _courier
    if _courier is None or _courier[0] != os.getpid():
        _courier = (os.getpid(), Courier())
    return _courier[1]


def is_ending() -> bool:
    """Return True if the worker is shutting down."""
    return _shutdown_flag[0] != 0


@worker_shutting_down.connect
def _end(**_: object) -> None:
    _shutdown_flag[0] = 1


@worker_process_init.connect
def _begin(**_: object) -> None:
    """Release the claims of dead processes, in a thread: Celery declares a process that starts slowly dead."""

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
