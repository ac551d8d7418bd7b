"""Transactions that are retried after a deadlock or a serialization failure.

The database aborts one of several conflicting transactions; the aborted one has changed nothing and can be repeated.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, transaction

from mailcore.logs import writer

T = TypeVar("T")

_ATTEMPTS = 5
_SQLSTATES = frozenset(("40001", "40P01", "55P03"))  # PostgreSQL: serialization failure, deadlock, lock not available
_ERROR_NUMBERS = frozenset((1205, 1213))  # MariaDB: lock wait timeout, deadlock


def run_in_transaction(work: Callable[[], T]) -> T:
    """Run `work` in a transaction and return its result, retrying where the database aborted it.

    `work` may be called several times, so it must not rely on state of an earlier call. Inside another transaction the
    error is raised instead: only the outermost one can be retried.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError as error:
            if attempt == _ATTEMPTS or not is_retryable(error) or transaction.get_connection().in_atomic_block:
                raise
            writer.write(
                "qmgr",
                f"warning: transaction retried (deadlock or serialization failure): {' '.join(str(error).split())}",
            )
    raise AssertionError("the last attempt returns or raises")


def is_retryable(error: OperationalError) -> bool:
    """Return True if the database aborted the transaction because of a conflict with another one."""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in _SQLSTATES:
        return True
    return bool(error.args) and error.args[0] in _ERROR_NUMBERS
