"""Watchers of mailboxes, seen from all processes of one supervisor."""

import os
from collections.abc import Iterator

import pytest

from mailcore import rate_counters
from mailcore.store.notify import watchers


@pytest.fixture
def child() -> Iterator[None]:
    """Make this process the supervisor's child number 5."""
    before = rate_counters.current_process()
    rate_counters.join_as(5)
    yield
    watchers.clear_process(5)
    rate_counters.join_as(before)


def test_nobody_waits_until_somebody_does(child):
    assert not watchers.has_watcher([7, 8])
    watchers.watch(8)
    assert watchers.has_watcher([7, 8])
    assert not watchers.has_watcher([7])
    watchers.unwatch(8)
    assert not watchers.has_watcher([7, 8])


def test_mailboxes_that_share_a_place_are_not_forgotten_together(child):
    near, far = 3, 3 + 8192
    watchers.watch(near)
    watchers.watch(far)
    watchers.unwatch(near)
    assert watchers.has_watcher([far])
    watchers.unwatch(far)
    assert not watchers.has_watcher([near, far])


def test_accounts_are_always_told(child):
    assert watchers.has_watcher([-7])


def test_a_process_of_its_own_always_tells():
    assert rate_counters.current_process() == 0
    assert watchers.has_watcher([7])


def test_another_process_sees_it_and_the_supervisor_clears_what_a_dead_one_left(child):
    pid = os.fork()
    if not pid:
        rate_counters.join_as(6)
        watchers.watch(11)
        os._exit(0)
    os.waitpid(pid, 0)
    assert watchers.has_watcher([11])
    watchers.clear_process(6)
    assert not watchers.has_watcher([11])
