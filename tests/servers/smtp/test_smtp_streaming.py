"""Large messages pass through: whatever their size, a session holds a small part of them."""

import tracemalloc

import pytest

from mailcore.models import Queued
from smtp_talk import extended

pytestmark = pytest.mark.django_db(transaction=True)

MEGABYTE = 1 << 20
SIZE = 100 * MEGABYTE
LINE = b"x" * 1022 + b"\r\n"


@pytest.fixture
def large(parameters) -> None:
    parameters(message_size_limit=str(SIZE + MEGABYTE), mailbox_size_limit="0", virtual_mailbox_limit="0")


def pour(client, data: int) -> None:
    block = LINE * 64
    for _ in range(data // len(block)):
        client.send(block)


@pytest.mark.parametrize("way", ["DATA", "BDAT"])
def test_a_hundred_megabytes(smtp, large, way):
    client = extended(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …")
    tracemalloc.start()
    try:
        if way == "DATA":
            client.talk("C: DATA\nS: 354 …")
            pour(client, SIZE)
            client.send(b".\r\n")
        else:
            client.say(f"BDAT {SIZE} LAST")
            pour(client, SIZE)
        client.talk("S: 250 2.0.0 Ok: queued as …")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert Queued.objects.get().size > SIZE
    assert peak < 8 * MEGABYTE


def test_what_is_refused_is_not_kept_either(smtp, parameters):
    parameters(message_size_limit="100000")
    client = extended(smtp())
    client.talk("C: MAIL FROM:<>\nS: 250 …\nC: RCPT TO:<lisi@benet.com>\nS: 250 …\nC: DATA\nS: 354 …")
    tracemalloc.start()
    try:
        pour(client, SIZE // 4)
        client.send(b".\r\n")
        client.talk("S: 552 5.3.4 Error: message file too big")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE


def test_a_line_without_end_is_not_kept(smtp):
    client = extended(smtp())
    tracemalloc.start()
    try:
        for _ in range(64):
            client.send(b"x" * MEGABYTE)
        client.talk("C:\nS: 500 5.5.2 Error: bad syntax\nC: NOOP\nS: 250 2.0.0 Ok")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MEGABYTE
