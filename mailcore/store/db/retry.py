"""Transactions that are tried again when the database chose them to give way to others.

Deadlocks and serialization failures are how databases settle who comes first; whoever lost has done nothing and may
simply do it again.
"""

from collections.abc import Callable
from typing import TypeVar

from django.db import OperationalError, transaction

from mailcore.logs import writer

T = TypeVar("T")

_ATTEMPTS = 5
_SQLSTATES = frozenset(("40001", "40P01", "55P03"))  # PostgreSQL: serialization failure, deadlock, lock not available
_NUMBERS = frozenset((1205, 1213))  # MariaDB: lock wait timeout, deadlock


def run_in_transaction(work: Callable[[], T]) -> T:
    """Run `work` in a transaction; again from the start where the database broke it off. `work` must not keep what
    it did before: it may be called several times. Inside another transaction it is that one's to be tried again."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with transaction.atomic():
                return work()
        except OperationalError as error:
            if attempt == _ATTEMPTS or not is_retryable(error) or transaction.get_connection().in_atomic_block:
                raise
            writer.write("qmgr", f"warning: the database asks to try again: {' '.join(str(error).split())}")
    raise AssertionError("the last attempt returns or raises")


def is_retryable(error: OperationalError) -> bool:
    """Did the database break the transaction off for another's sake?"""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) in _SQLSTATES:
        return True
    return bool(error.args) and error.args[0] in _NUMBERS
