"""Counters that all processes share."""

import os
from collections.abc import Callable

from mailcore import rate_counters


def in_another_process(number: int, body: Callable[[], None]) -> None:
    """Run `body` in a child that has joined under `number`, and wait for its end."""
    child = os.fork()
    if not child:
        rate_counters.join_as(number)
        body()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status == 0


def test_what_is_held_at_once_is_counted_over_processes():
    assert rate_counters.increment_held("connections", "192.0.2.1") == 1
    in_another_process(1, lambda: rate_counters.increment_held("connections", "192.0.2.1") and None)
    assert rate_counters.increment_held("connections", "192.0.2.1") == 3
    assert rate_counters.increment_held("connections", "192.0.2.2") == 1
    rate_counters.decrement_held("connections", "192.0.2.1")
    assert rate_counters.increment_held("connections", "192.0.2.1") == 3


def test_a_dead_process_holds_nothing():
    def take_three() -> None:
        for _ in range(3):
            rate_counters.increment_held("connections", "192.0.2.1")

    in_another_process(7, take_three)
    rate_counters.increment_held("connections", "192.0.2.1")
    rate_counters.clear_process(7)
    assert rate_counters.increment_held("connections", "192.0.2.1") == 2


def test_leaving_more_than_was_entered_changes_nothing_for_others():
    in_another_process(1, lambda: rate_counters.increment_held("connections", "192.0.2.1") and None)
    rate_counters.decrement_held("connections", "192.0.2.1")
    assert rate_counters.increment_held("connections", "192.0.2.1") == 2


def test_events_are_counted_in_a_window():
    assert [rate_counters.count_events("messages", "192.0.2.1", 3600) for _ in range(3)] == [1, 2, 3]
    assert rate_counters.count_events("messages", "192.0.2.1", 3600, events=10) == 13
    assert rate_counters.count_events("messages", "192.0.2.1", 3600, events=0) == 13
    assert rate_counters.count_events("recipients", "192.0.2.1", 3600) == 1


def test_a_window_that_is_over_begins_anew():
    rate_counters.count_events("messages", "192.0.2.1", 3600)
    assert rate_counters.count_events("messages", "192.0.2.1", 0) == 1


def test_a_right_password_forgives_the_wrong_ones():
    for _ in range(5):
        rate_counters.count_events("failures", "xiaoqi@benet.com", 3600)
    rate_counters.clear_events("failures", "xiaoqi@benet.com")
    assert rate_counters.count_events("failures", "xiaoqi@benet.com", 3600, events=0) == 0


def test_a_flood_of_keys_neither_fails_nor_refuses():
    for number in range(40_000):
        assert rate_counters.count_events("messages", f"2001:db8::{number:x}", 3600) == 1
    assert rate_counters.increment_held("connections", "192.0.2.1") == 1


def test_a_flood_of_keys_does_not_drive_out_what_has_many_events_or_is_held():
    for _ in range(5):
        rate_counters.count_events("failures", "xiaoqi@benet.com", 3600)
    rate_counters.increment_held("connections", "192.0.2.1")
    for number in range(40_000):
        rate_counters.count_events("failures", f"user{number}@benet.com", 3600)
    assert rate_counters.count_events("failures", "xiaoqi@benet.com", 3600, events=0) == 5
    assert rate_counters.increment_held("connections", "192.0.2.1") == 2


def test_the_oldest_of_those_with_few_events_goes():
    for number in range(40_000):
        rate_counters.count_events("failures", f"user{number}@benet.com", 3600)
    kept = [
        number
        for number in range(40_000)
        if rate_counters.count_events("failures", f"user{number}@benet.com", 3600, events=0)
    ]
    assert len(kept) > 30_000
    assert set(kept) >= set(range(39_000, 40_000))


def test_where_everything_is_held_there_is_no_room():
    seen = [rate_counters.increment_held("connections", f"2001:db8::{number:x}") for number in range(40_000)]
    assert set(seen) == {1, rate_counters.NO_ROOM}


def test_processes_count_together_without_losing_any():
    def count() -> None:
        for _ in range(2_000):
            rate_counters.count_events("messages", "192.0.2.1", 3600)

    children = []
    for number in range(1, 4):
        child = os.fork()
        if not child:
            rate_counters.join_as(number)
            count()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert rate_counters.count_events("messages", "192.0.2.1", 3600, events=0) == 6_000
