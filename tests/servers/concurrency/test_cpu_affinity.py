"""Threads of a crowded process share a processor, each process its own; with one thing at a time they go anywhere."""

import os
import threading
from collections.abc import Iterator

import pytest

from mailcore.servers.concurrency.cpu_affinity import CpuAffinity

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2, reason="there is no choice of processors"
)


@pytest.fixture
def other() -> Iterator[int]:
    """Another thread of this process."""
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    assert thread.native_id is not None
    yield thread.native_id
    done.set()
    thread.join()


def crowd(core: CpuAffinity) -> None:
    for _ in range(100):
        core.on_contention()


def test_a_crowd_keeps_all_threads_together_until_it_is_gone(other):
    everywhere = os.sched_getaffinity(0)
    core = CpuAffinity(1)
    core.on_contention()
    assert os.sched_getaffinity(other) == everywhere
    crowd(core)
    assert os.sched_getaffinity(other) == os.sched_getaffinity(0) == {min(everywhere)}
    core.release_if_idle()
    crowd(core)
    core.release_if_idle()
    assert os.sched_getaffinity(other) == {min(everywhere)}
    core.release_if_idle()
    assert os.sched_getaffinity(other) == os.sched_getaffinity(0) == everywhere


def test_each_process_has_its_own():
    everywhere = sorted(os.sched_getaffinity(0))
    places = []
    for number in range(1, len(everywhere) + 2):
        core = CpuAffinity(number)
        crowd(core)
        places.append(os.sched_getaffinity(0))
        core.release_if_idle()
        core.release_if_idle()
    assert places == [{each} for each in everywhere] + [{everywhere[0]}]
    assert sorted(os.sched_getaffinity(0)) == everywhere
