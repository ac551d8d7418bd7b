"""Who waits for news of which mailbox, seen from all processes of one supervisor."""

import os
from collections.abc import Iterator

import pytest

from mailcore import anvil
from mailcore.store import watchers


@pytest.fixture
def child() -> Iterator[None]:
    """This process as the supervisor's child number 5."""
    before = anvil.process()
    anvil.join(5)
    yield
    watchers.clear(5)
    anvil.join(before)


def test_nobody_waits_until_somebody_does(child):
    assert not watchers.somebody([7, 8])
    watchers.watch(8)
    assert watchers.somebody([7, 8])
    assert not watchers.somebody([7])
    watchers.unwatch(8)
    assert not watchers.somebody([7, 8])


def test_mailboxes_that_share_a_place_are_not_forgotten_together(child):
    near, far = 3, 3 + 8192
    watchers.watch(near)
    watchers.watch(far)
    watchers.unwatch(near)
    assert watchers.somebody([far])
    watchers.unwatch(far)
    assert not watchers.somebody([near, far])


def test_accounts_are_always_told(child):
    assert watchers.somebody([-7])


def test_a_process_of_its_own_always_tells():
    assert anvil.process() == 0
    assert watchers.somebody([7])


def test_another_process_sees_it_and_the_supervisor_clears_what_a_dead_one_left(child):
    pid = os.fork()
    if not pid:
        anvil.join(6)
        watchers.watch(11)
        os._exit(0)
    os.waitpid(pid, 0)
    assert watchers.somebody([11])
    watchers.clear(6)
    assert not watchers.somebody([11])
