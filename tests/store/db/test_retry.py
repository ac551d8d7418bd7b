"""Two transactions that wait for each other: the database breaks one off, and both are done in the end."""

import threading

import pytest
from django.db import connection
from django.db.models import F

from mailcore.models import Domain
from mailcore.store.db.retry import run_in_transaction

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


NAMES = ("a.example", "b.example")


def test_a_deadlock():
    if connection.vendor == "sqlite":
        pytest.skip("writers wait their turn at BEGIN: they cannot wait for each other")
    for name in NAMES:
        Domain.objects.create(name=name, max_accounts=0)
    both = threading.Barrier(2)
    attempts: list[str] = []

    def write(first: str, second: str) -> None:
        def work() -> None:
            attempts.append(first)
            Domain.objects.filter(name=first).update(max_accounts=F("max_accounts") + 1)
            if len(attempts) <= 2:
                both.wait(30)
            Domain.objects.filter(name=second).update(max_accounts=F("max_accounts") + 1)

        run_in_transaction(work)
        connection.close()

    other = threading.Thread(target=write, args=NAMES[::-1])
    other.start()
    write(*NAMES)
    other.join()
    assert list(Domain.objects.order_by("name").values_list("max_accounts", flat=True)) == [2, 2]
    assert len(attempts) == 3
