"""Queue ids: dealt once, whatever clocks say; files and rows of others are left alone where one is taken all the same."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from mailcore.models import Message, Queued, QueueIdRange
from mailcore.mta.delivery import direct
from mailcore.mta.queue import content_files, enqueue, queue_ids, states
from mailcore.mta.queue.content_files import ContentFile
from mailcore.mta.queue.queue_ids import Generator
from mailcore.store import directory
from mailcore.values import Client, MessageRecipient, NewMessage, TemporaryFault
from mailcore.wire.message import trace_headers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROOT = Path(__file__).resolve().parents[3]
NOON = 1_795_000_000.0
CLIENT = Client("192.0.2.1", "unknown", "client.example", "ESMTP")


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def deal(generator: Generator, count: int) -> list[int]:
    dealt = []
    for _ in range(count):
        if generator.is_low():
            generator.reserve()
        found = generator.take()
        assert found is not None
        dealt.append(found)
    return dealt


def test_ids_look_like_postfixs_and_rise_with_time():
    clock = Clock()
    generator = Generator(clock)
    first = deal(generator, 3)
    clock.now += 1
    second = deal(generator, 3)
    assert sorted(first + second) == first + second
    assert all(len(f"{each:X}") == 12 for each in first + second)
    assert (
        queue_ids.first_id_at(int(NOON * 1_000_000))
        <= first[0]
        < queue_ids.first_id_at(int((NOON + 1) * 1_000_000))
        <= second[0]
    )


def test_generators_with_equal_clocks_share_nothing():
    generators = [Generator(lambda: NOON) for _ in range(20)]
    dealt = [each for generator in generators for each in deal(generator, 200)]
    assert len(set(dealt)) == len(dealt)


def test_threads_of_one_process_share_nothing():
    generator = Generator(lambda: NOON)
    generator.reserve()
    dealt: list[list[int | None]] = [[] for _ in range(4)]

    def work(own: list[int | None]) -> None:
        own.extend(generator.take() for _ in range(5000))

    threads = [threading.Thread(target=work, args=(own,)) for own in dealt]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    flat = [each for own in dealt for each in own]
    assert None not in flat
    assert len(set(flat)) == len(flat)


@pytest.mark.parametrize("step", [-86400.0, -1.0, 3600.0])
@pytest.mark.parametrize("restart", [False, True])
def test_a_clock_that_steps_makes_no_id_twice(step, restart):
    """Also for a process that leases the same number afterwards."""
    clock = Clock()
    generator, dealt = Generator(clock), []
    for _ in range(4):
        dealt += deal(generator, 50)
        clock.now += step
        if restart:
            QueueIdRange.objects.exclude(reserved_until=0).update(holder="")
            generator.release()
            generator = Generator(clock)
    assert len(set(dealt)) == len(dealt)


def test_a_killed_process_leaves_its_ids_to_nobody(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(queue_ids, "NUMBERS", 2)  # as if all others were leased
    killed = deal(Generator(clock), 50)
    others = [each for _ in range(5) for each in deal(Generator(clock), 50)]
    assert len(set(killed + others)) == 300


def test_more_processes_than_numbers():
    generators = [Generator(lambda: NOON) for _ in range(queue_ids.NUMBERS + 20)]
    dealt = [each for _ in range(3) for generator in generators for each in deal(generator, 2)]
    assert len(set(dealt)) == len(dealt)


def test_a_process_whose_number_was_taken_over_goes_on_with_another_range():
    clock = Clock()
    slow = Generator(clock)
    dealt = deal(slow, 10)
    clock.now += 3600  # it was stopped, and its number is free for others
    [row] = QueueIdRange.objects.all()
    assert queue_ids._move(row.number, row.reserved_until, row.reserved_until + queue_ids.NUMBERS * 1000)
    taken_over = range(row.reserved_until, row.reserved_until + queue_ids.NUMBERS * 1000)
    dealt = deal(slow, 10)
    assert not set(dealt) & {each for each in taken_over if each % queue_ids.NUMBERS == row.number}


def test_without_the_database_an_event_loop_gets_no_id_and_does_not_wait(monkeypatch):
    monkeypatch.setattr(queue_ids, "_generator", Generator())
    with pytest.raises(TemporaryFault):
        ContentFile().open(reserved=True)


def test_an_id_dealt_inside_a_transaction_that_is_undone_is_never_used_twice(benet, monkeypatch):
    monkeypatch.setattr(queue_ids, "_generator", Generator())
    seen = []
    for _ in range(3):
        with transaction.atomic():
            file = ContentFile()
            file.open()
            file.write(b"Subject: x\r\n\r\n")
            file.finish()
            seen.append(file.id)
            transaction.set_rollback(True)
    assert len(set(seen)) == 3


_PROGRAM = """
import os, sys, django
django.setup()
from mailcore.mta.queue.queue_ids import Generator
generator = Generator(lambda: 1_795_000_000.0)
sys.stdin.readline()
for _ in range(2000):
    if generator.is_low():
        generator.reserve()
    print(generator.take())
"""


def test_processes_with_equal_clocks_on_one_database(tmp_path):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "mailcore.settings", "DATA_DIR": str(tmp_path)}
    environment.pop("DATABASE_URL", None)
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], cwd=ROOT, env=environment, check=True)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    dealt = [int(line) for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert len(dealt) == len(set(dealt)) == 8000


# --- A queue id that is taken all the same --------------------------------------------------------


def collide(monkeypatch: pytest.MonkeyPatch, taken: int) -> None:
    """The next queue id that this process deals is this one."""
    generator = Generator()
    generator.reserve()
    generator._last, generator._number = (
        taken - taken % queue_ids.NUMBERS - queue_ids.NUMBERS,
        taken % queue_ids.NUMBERS,
    )
    generator._clock = lambda: NOON
    monkeypatch.setattr(queue_ids, "_generator", generator)


def test_the_loser_of_a_collision_goes_on_under_another_id(benet, monkeypatch):
    winner = ContentFile()
    winner.open()
    winner.write(b"the first\r\n")
    winner.finish()
    collide(monkeypatch, winner.id)
    loser = ContentFile()
    assert loser.open() == winner.id
    loser.write(b"the second\r\n")
    loser.finish()
    assert loser.id != winner.id
    assert Path(content_files.content_path(winner.id)).read_bytes() == b"the first\r\n"
    assert Path(content_files.content_path(loser.id)).read_bytes() == b"the second\r\n"


@pytest.mark.parametrize("written", [False, True])
def test_clean_up_leaves_what_others_made(benet, monkeypatch, written):
    winner = ContentFile()
    winner.open()
    winner.write(b"the first\r\n")
    winner.finish()
    collide(monkeypatch, winner.id)
    loser = ContentFile()
    assert loser.open() == winner.id
    loser.write(b"the second\r\n")
    if written:
        loser.flush()
    loser.discard()
    assert Path(content_files.content_path(winner.id)).read_bytes() == b"the first\r\n"
    assert list(content_files.stored_ids()) == [winner.id]


def test_a_row_with_the_same_id_makes_the_second_choose_another(post, monkeypatch):
    first = post("lisi")
    content_files.remove_content(first.id)  # such as a message of the direct lane: a row without a content file
    collide(monkeypatch, first.id)
    second = post("xiaoqi")
    assert second.id != first.id
    assert Queued.objects.count() == 2
    assert Path(content_files.content_path(second.id)).exists()
    assert [claim.id for claim in states.claim_due("anna", 10)] == [first.id, second.id]


def test_one_collision_does_not_keep_a_group_out_of_the_history():
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", "secret-password")
    content_files.make_directories()
    local = trace_headers.format_delivery_headers("a@client.example", "lisi@benet.com", "lisi@benet.com")
    group = []
    for _ in range(5):
        file = ContentFile()
        number = file.open()
        file.write(local + b"Subject: x\r\n\r\n")
        recipients = (MessageRecipient("lisi@benet.com"),)
        one = NewMessage(
            number, "a@client.example", recipients, 14, states.now_us(), CLIENT, len(local), "lisi@benet.com"
        )
        group.append((file, one))
    delivered = direct.deliver_directly(group)
    assert Message.objects.count() == 5
    Queued.objects.create(id=group[2][1].id, state="hold", due_us=1, received_us=1, size=1)
    direct.record_history(delivered.values())
    assert Queued.objects.filter(state="done").count() == 4


def test_a_group_with_a_taken_id_is_entered_whole(benet):
    """As the SMTP server does it."""
    from mailcore.servers.smtp import committer

    group = []
    for _ in range(3):
        file = ContentFile()
        file.open()
        file.write(b"Subject: x\r\n\r\n")
        recipients = (MessageRecipient("lisi@benet.com"),)
        group.append((file, NewMessage(file.id, "a@client.example", recipients, 14, states.now_us(), CLIENT)))
    Queued.objects.create(id=group[1][1].id, state="hold", due_us=1, received_us=1, size=1)
    answers = committer._enqueue_group(group)
    entered = [answers[one.id][0] for _, one in group]
    assert [each.id == one.id for each, (_, one) in zip(entered, group, strict=True)] == [True, False, True]
    for each in entered:
        assert Queued.objects.get(id=each.id).checksum == each.checksum
        assert Path(content_files.content_path(each.id)).exists()


def test_a_commit_without_an_answer_keeps_the_files(benet):
    """Then the messages may be there, and these are their files."""
    if connection.vendor == "sqlite":
        pytest.skip("a commit in the same process always answers")
    file = ContentFile()
    local = trace_headers.format_delivery_headers("a@client.example", "lisi@benet.com", "lisi@benet.com")
    number = file.open()
    file.write(local + b"Subject: x\r\n\r\n")
    one = NewMessage(
        number, "a@client.example", (MessageRecipient("lisi@benet.com"),), 14, states.now_us(), CLIENT,
        len(local), "lisi@benet.com",
    )  # fmt: skip
    real = connection._commit

    def commit_and_lose() -> None:
        real()
        connection.close()
        raise OperationalError("server closed the connection")

    connection._commit = commit_and_lose
    try:
        with pytest.raises(TemporaryFault):
            direct.deliver_directly([(file, one)])
    finally:
        connection._commit = real
    assert Message.objects.count() == 1
    assert list(Path(settings.MAIL_ROOT).glob("benet.com/lisi/Maildir/tmp/*.Q*"))


def test_sweeping_leaves_the_files_of_messages_that_are_done(post):
    done = post("lisi")
    Queued.objects.filter(id=done.id).update(state="done", settled_us=states.now_us())
    os.utime(content_files.content_path(done.id), (0, 0))
    assert enqueue.remove_orphaned_files() == 0
    assert Path(content_files.content_path(done.id)).exists()


def test_a_second_link_to_an_old_message_is_not_taken_for_a_stray_file(post):
    old = post("lisi")
    os.utime(content_files.content_path(old.id), (0, 0))
    new_id = content_files.copy(old.id)
    assert new_id not in list(content_files.orphaned_ids())


def test_removing_waits_for_the_commit(post):
    message = post("lisi")
    with transaction.atomic():
        states.remove([message.id])
        assert Path(content_files.content_path(message.id)).exists()
        transaction.set_rollback(True)
    assert Path(content_files.content_path(message.id)).exists()
