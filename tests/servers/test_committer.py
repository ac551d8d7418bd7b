"""Letters at their end of data: in their mailboxes first, in the queue's history afterwards."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailcore import log
from mailcore.models import Message, Queued
from mailcore.post import files
from mailcore.servers.bridge import Bridge
from mailcore.servers.smtp.content import Committer
from mailcore.store import directory, maildir, unsynced
from mailcore.terms import Client, Letter, LetterRecipient
from mailcore.wire import trace

pytestmark = pytest.mark.django_db(transaction=True)

BODY = b"Subject: report\r\n\r\nHello.\r\n"


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bridge]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", "secret-password")
    files.make_directories()
    made = Bridge(1)
    yield made
    made.close()
    unsynced.settle()


def letter() -> tuple[files.ContentFile, Letter]:
    file = files.ContentFile()
    local = trace.local("a@client.example", "lisi@benet.com", "lisi@benet.com")
    letter_id = file.open()
    file.write(local + BODY)
    client = Client("192.0.2.1", "unknown", "client.example", "ESMTP")
    recipients = (LetterRecipient("lisi@benet.com"),)
    now = time.time_ns() // 1000
    return file, Letter(letter_id, "a@client.example", recipients, len(BODY), now, client, len(local), "lisi@benet.com")


async def remembered(bridge: Bridge, letters: int) -> None:
    """Until the history has so many."""
    async with asyncio.timeout(10):
        while await bridge.run(Queued.objects.count) < letters:
            pass


def test_a_letter_is_in_its_mailbox_when_its_client_is_answered_and_in_the_history_soon(bridge):
    async def session() -> None:
        committer = Committer(bridge)
        committer.QUIET = 60.0
        _, (first, second) = await committer.take_in(*letter())
        assert first.endswith("status=sent (delivered to maildir)")
        assert second.endswith(": removed")
        assert await bridge.run(Message.objects.count) == 1
        assert await bridge.run(Queued.objects.count) == 0
        committer.remember()
        committer.QUIET = 0.001
        await committer.take_in(*letter())
        await remembered(bridge, 2)

    asyncio.run(session())


def test_a_message_that_cannot_be_published_is_published_later(bridge):
    """The disk refuses the file's last move: that is logged and tried again; reading finds the file meanwhile."""
    folder = Path(maildir.directory("lisi@benet.com", ""))
    (folder / "new").rmdir()

    async def session() -> None:
        committer = Committer(bridge)
        taken, _ = await committer.take_in(*letter())
        while not committer.has_hidden:
            await asyncio.sleep(0)
        [hidden] = (folder / "tmp").iterdir()
        assert maildir.read(str(folder), hidden.name, 0).endswith(BODY)
        said = Path(log.path()).read_text()
        assert f"{taken.queue_id}: warning: delivered message is not published yet: " in said
        await bridge.run(committer.publish)
        assert committer.has_hidden
        (folder / "new").mkdir()
        await bridge.run(committer.publish)
        assert not committer.has_hidden
        assert [path.name for path in (folder / "new").iterdir()] == [hidden.name]
        committer.remember()

    asyncio.run(session())


def test_letters_without_a_break_are_remembered_many_at_once(bridge):
    async def session() -> None:
        committer = Committer(bridge)
        committer.QUIET = 60.0
        for _ in range(committer.AT_ONCE - 1):
            await committer.take_in(*letter())
        assert await bridge.run(Queued.objects.count) == 0
        await committer.take_in(*letter())
        await remembered(bridge, committer.AT_ONCE)

    asyncio.run(session())


def test_letters_that_come_slowly_without_a_break_are_remembered_in_time(bridge):
    async def session() -> None:
        committer = Committer(bridge)
        committer.LATEST = 0.1
        async with asyncio.timeout(10):
            while not await bridge.run(Queued.objects.count):
                await committer.take_in(*letter())

    asyncio.run(session())


def test_what_is_not_remembered_when_the_server_stops_is_then(bridge):
    async def session() -> None:
        committer = Committer(bridge)
        await committer.take_in(*letter())
        committer.remember()

    asyncio.run(session())
    bridge.close()
    assert Queued.objects.get().state == "done"
