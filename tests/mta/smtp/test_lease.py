"""A courier that is at work longer than a lease lasts, and one beside it that would like its messages."""

import threading
from collections.abc import Callable, Iterator

import pytest
from django.db import connection

from mailcore.models import Queued, Recipient
from mailcore.mta.delivery import deliver
from mailcore.mta.delivery.crash_recovery import PendingCleanup
from mailcore.mta.queue import states
from mailcore.mta.workers.courier import Courier
from tests.mta.smtp.remote_host import POLITE, FarHost

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


class SlowHost(FarHost):
    """A host that says nothing to the message's end until it may."""

    def __init__(self) -> None:
        self.asked, self.may_answer = threading.Event(), threading.Event()
        super().__init__(POLITE)

    def answer(self, connection, verb, command) -> bool:
        if verb == ".":
            self.asked.set()
            assert self.may_answer.wait(60)
        return super().answer(connection, verb, command)


@pytest.fixture
def slow(parameters) -> Iterator[SlowHost]:
    host = SlowHost()
    parameters(relayhost=host.hop, courier_lease_time="1s")
    yield host
    host.may_answer.set()
    host.close()


def in_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.parametrize("way", ["a worker's", "runmailserver's"])
def test_a_lease_is_renewed_while_its_courier_is_at_work(post, slow, way):
    import os

    from mailcore.store.notify import notifications

    message = post("a@far.example")
    first, second = Courier(), Courier()
    if way == "a worker's":
        thread = in_thread(first.run_until_idle)
    else:
        bell = notifications.open_listener(notifications.COURIERS)
        parent, alive = os.pipe()
        thread = in_thread(lambda: first.run(bell, parent))
    assert slow.asked.wait(30)
    begun = Queued.objects.get(id=message.id).lease_us
    while Queued.objects.get(id=message.id).lease_us < begun + 3_000_000:  # three leases
        assert second.step() == 0
        assert Queued.objects.get(id=message.id).courier == first.name
    slow.may_answer.set()
    if way != "a worker's":
        while Recipient.objects.get().state != "delivered":
            pass
        first.stop()
        os.close(alive)
    thread.join(30)
    assert not thread.is_alive()
    if way != "a worker's":
        notifications.close_listener(bell, notifications.COURIERS)
        os.close(parent)
    second.close()
    assert Recipient.objects.get().state == "delivered"
    assert len(slow.messages) == 1


def test_a_courier_that_stops_renewing_loses_its_messages(post, slow):
    """The renewing is what kept them: without it another one begins."""
    message = post("a@far.example")
    first, second = Courier(), Courier()
    thread = in_thread(first.run_until_idle)
    assert slow.asked.wait(30)
    first._lease.stop()
    while not second.step():
        pass
    assert Queued.objects.get(id=message.id).courier == second.name
    slow.may_answer.set()
    thread.join(30)
    second.run_until_idle()


def test_a_local_pass_whose_messages_another_courier_took_does_nothing(post, inbox):
    """It was stopped for longer than a lease: what it had prepared is the other one's to do."""
    post("lisi")
    slow, other = Courier(), Courier()
    claims = states.claim_due(slow.name, 10)
    claims[0].claimed_us -= 3600 * states.MICRO
    Queued.objects.update(lease_us=1)
    taken = states.claim_due(other.name, 10)
    with pytest.raises(deliver.LeaseLost):
        deliver.deliver(slow.name, claims, PendingCleanup())
    assert inbox("lisi") == []
    deliver.deliver(other.name, taken, PendingCleanup())
    slow.close()
    other.close()
    assert len(inbox("lisi")) == 1


def test_a_slow_pass_that_has_its_messages_still_goes_on(post, inbox):
    post("lisi")
    slow = Courier()
    claims = states.claim_due(slow.name, 10)
    claims[0].claimed_us -= 3600 * states.MICRO
    deliver.deliver(slow.name, claims, PendingCleanup())
    slow.close()
    assert len(inbox("lisi")) == 1
