"""The names of processes, and what can be known of those that bear them."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import wait_until

from mailcore.models import Queued
from mailcore.mta.workers.courier import Courier
from mailcore.store.notify import notifications
from mailcore.store.processes import instance

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = "from mailcore.store.processes import instance; print(instance.name(), flush=True); input()"


def start(*before: str) -> tuple[subprocess.Popen[str], str]:
    """A process that says its name and waits."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_process_is_alive_until_it_is_dead():
    process, name = start()
    assert not instance.is_dead(name)
    end(process)
    assert instance.is_dead(name)


def test_names_fit_their_column_and_differ_from_start_to_start():
    assert len(instance.numbered()) <= Queued._meta.get_field("courier").max_length
    names = []
    for _ in range(3):
        process, name = start()
        end(process)
        names.append(name)
    assert len(set(names)) == 3
    assert instance.name() == instance.name()
    assert instance.numbered() != instance.numbered()


def test_a_forked_child_has_a_name_of_its_own():
    reading, writing = os.pipe()
    before = instance.name()
    if not os.fork():
        os.write(writing, instance.name().encode())
        os._exit(0)
    os.wait()
    assert os.read(reading, 100).decode() != before


def test_of_another_place_nothing_is_known():
    """Another machine, another container, or this machine before it was started anew; and names of earlier versions."""
    place, rest = instance.name().split("/", 1)
    for other in (f"{'0' * 16}/{rest}", f"{'0' * 16}/1/1/00000000", "mail/4711/1", "", "anna", f"{place}/4194304"):
        assert not instance.is_dead(other)


def test_a_process_id_that_another_process_has_now():
    place, pid, _, chance = instance.name().split("/")
    assert instance.is_dead(f"{place}/{pid}/1/{chance}")


def test_a_process_that_nobody_reaps_is_dead():
    process, name = start()
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert instance.is_dead(name)
    process.wait()


@pytest.mark.skipif(os.getuid() != 0 or not shutil.which("unshare"), reason="only root makes PID namespaces")
def test_containers_with_one_host_name_do_not_take_each_other_for_dead():
    process, name = start("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if not name:
        pytest.skip("no PID namespaces here")
    try:
        assert name.split("/")[1] == "1"
        assert name.split("/")[0] != instance.place()
        assert not instance.is_dead(name)
    finally:
        end(process)


@pytest.mark.django_db(transaction=True)
def test_a_courier_takes_back_what_the_dead_of_its_place_held_and_nothing_else(transactional_db):
    dead, name_of_dead = start()
    end(dead)
    living, name_of_living = start()
    held = {
        1: f"{name_of_dead}.1",
        2: f"{name_of_living}.1",
        3: f"{'0' * 16}/{os.getpid()}/1/00000000.1",  # somebody else's, who has our host name and our process id
        4: f"{instance.name()}.999",  # a courier of this process that is no more
    }
    for number, courier in held.items():
        Queued.objects.create(
            id=number, state="active", courier=courier, lease_us=1 << 60, due_us=1, received_us=1, size=1
        )
    courier = Courier()
    courier._release_stale_claims()
    assert set(Queued.objects.filter(state="active").values_list("id", flat=True)) == {2, 3}
    assert set(Queued.objects.filter(state="deferred").values_list("id", flat=True)) == {1, 4}
    courier.close()
    end(living)


@pytest.mark.django_db(transaction=True)
def test_a_running_courier_takes_back_what_is_left_of_a_process_that_ends_late(settings):
    settings.QUEUE_ROOT.mkdir()
    living, name = start()
    Queued.objects.create(
        id=1, state="active", courier=f"{name}.1", lease_us=1 << 60, due_us=1, received_us=1, size=1
    )  # fmt: skip
    courier, (parent, supervisor) = Courier(), os.pipe()
    listener = notifications.open_listener(notifications.COURIERS)
    thread = threading.Thread(target=courier.run, args=(listener, parent))
    thread.start()
    try:
        wait_until(lambda: courier._released > 0)
        assert Queued.objects.get().courier == f"{name}.1"
        end(living)
        wait_until(lambda: Queued.objects.get().courier != f"{name}.1")
    finally:
        os.close(supervisor)
        thread.join()
        notifications.close_listener(listener, notifications.COURIERS)
        os.close(parent)
