"""Counters that all processes share."""

import os
from collections.abc import Callable

from mailcore import anvil


def in_another_process(number: int, body: Callable[[], None]) -> None:
    """Run `body` in a child that has joined under `number`, and wait for its end."""
    child = os.fork()
    if not child:
        anvil.join(number)
        body()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_what_is_held_at_once_is_counted_over_processes():
    assert anvil.enter("connections", "192.0.2.1") == 1
    in_another_process(1, lambda: anvil.enter("connections", "192.0.2.1") and None)
    assert anvil.enter("connections", "192.0.2.1") == 3
    assert anvil.enter("connections", "192.0.2.2") == 1
    anvil.leave("connections", "192.0.2.1")
    assert anvil.enter("connections", "192.0.2.1") == 3


def test_a_dead_process_holds_nothing():
    def take_three() -> None:
        for _ in range(3):
            anvil.enter("connections", "192.0.2.1")

    in_another_process(7, take_three)
    anvil.enter("connections", "192.0.2.1")
    anvil.clear(7)
    assert anvil.enter("connections", "192.0.2.1") == 2


def test_leaving_more_than_was_entered_changes_nothing_for_others():
    in_another_process(1, lambda: anvil.enter("connections", "192.0.2.1") and None)
    anvil.leave("connections", "192.0.2.1")
    assert anvil.enter("connections", "192.0.2.1") == 2


def test_events_are_counted_in_a_window():
    assert [anvil.rate("messages", "192.0.2.1", 3600) for _ in range(3)] == [1, 2, 3]
    assert anvil.rate("messages", "192.0.2.1", 3600, events=10) == 13
    assert anvil.rate("messages", "192.0.2.1", 3600, events=0) == 13
    assert anvil.rate("recipients", "192.0.2.1", 3600) == 1


def test_a_window_that_is_over_begins_anew():
    anvil.rate("messages", "192.0.2.1", 3600)
    assert anvil.rate("messages", "192.0.2.1", 0) == 1


def test_a_right_password_forgives_the_wrong_ones():
    for _ in range(5):
        anvil.rate("failures", "xiaoqi@benet.com", 3600)
    anvil.forgive("failures", "xiaoqi@benet.com")
    assert anvil.rate("failures", "xiaoqi@benet.com", 3600, events=0) == 0


def test_a_flood_of_keys_neither_fails_nor_refuses():
    for number in range(40_000):
        assert anvil.rate("messages", f"2001:db8::{number:x}", 3600) == 1
    assert anvil.enter("connections", "192.0.2.1") == 1


def test_a_flood_of_keys_does_not_drive_out_what_has_many_events_or_is_held():
    for _ in range(5):
        anvil.rate("failures", "xiaoqi@benet.com", 3600)
    anvil.enter("connections", "192.0.2.1")
    for number in range(40_000):
        anvil.rate("failures", f"user{number}@benet.com", 3600)
    assert anvil.rate("failures", "xiaoqi@benet.com", 3600, events=0) == 5
    assert anvil.enter("connections", "192.0.2.1") == 2


def test_the_oldest_of_those_with_few_events_goes():
    for number in range(40_000):
        anvil.rate("failures", f"user{number}@benet.com", 3600)
    kept = [number for number in range(40_000) if anvil.rate("failures", f"user{number}@benet.com", 3600, events=0)]
    assert len(kept) > 30_000
    assert set(kept) >= set(range(39_000, 40_000))


def test_where_everything_is_held_there_is_no_room():
    seen = [anvil.enter("connections", f"2001:db8::{number:x}") for number in range(40_000)]
    assert set(seen) == {1, anvil.NO_ROOM}


def test_processes_count_together_without_losing_any():
    def count() -> None:
        for _ in range(2_000):
            anvil.rate("messages", "192.0.2.1", 3600)

    children = []
    for number in range(1, 4):
        child = os.fork()
        if not child:
            anvil.join(number)
            count()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert anvil.rate("messages", "192.0.2.1", 3600, events=0) == 6_000
