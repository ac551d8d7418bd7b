"""Messages at their end of data: in their mailboxes first, in the queue's history afterwards."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailcore.logs import writer
from mailcore.models import Message, Queued
from mailcore.mta.queue import content_files
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.smtp.committer import Committer
from mailcore.store import directory
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.values import Client, MessageRecipient, NewMessage
from mailcore.wire.message import trace_headers

pytestmark = pytest.mark.django_db(transaction=True)

BODY = b"Subject: report\r\n\r\nHello.\r\n"


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Executor]:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
    directory.create_domain("benet.com")
    directory.create_account("lisi@benet.com", "secret-password")
    content_files.make_directories()
    made = Executor(1)
    yield made
    made.close()
    write_behind.flush_to_disk()


def message() -> tuple[content_files.ContentFile, NewMessage]:
    file = content_files.ContentFile()
    local = trace_headers.format_delivery_headers("a@client.example", "lisi@benet.com", "lisi@benet.com")
    queued_id = file.open()
    file.write(local + BODY)
    client = Client("192.0.2.1", "unknown", "client.example", "ESMTP")
    recipients = (MessageRecipient("lisi@benet.com"),)
    now = time.time_ns() // 1000
    return file, NewMessage(
        queued_id, "a@client.example", recipients, len(BODY), now, client, len(local), "lisi@benet.com"
    )


async def remembered(executor: Executor, messages: int) -> None:
    """Until the history has so many."""
    async with asyncio.timeout(10):
        while await executor.run_in_pool(Queued.objects.count) < messages:
            pass


def test_a_message_is_in_its_mailbox_when_its_client_is_answered_and_in_the_history_soon(executor):
    async def session() -> None:
        committer = Committer(executor)
        committer.QUIET = 60.0
        _, (first, second) = await committer.submit(*message())
        assert first.endswith("status=sent (delivered to maildir)")
        assert second.endswith(": removed")
        assert await executor.run_in_pool(Message.objects.count) == 1
        assert await executor.run_in_pool(Queued.objects.count) == 0
        committer.record_history()
        committer.QUIET = 0.001
        await committer.submit(*message())
        await remembered(executor, 2)

    asyncio.run(session())


def test_a_message_that_cannot_be_published_is_published_later(executor):
    """The disk refuses the file's last move: that is logged and tried again; reading finds the file meanwhile."""
    folder = Path(maildir_files.folder_directory("lisi@benet.com", ""))
    (folder / "new").rmdir()

    async def session() -> None:
        committer = Committer(executor)
        taken, _ = await committer.submit(*message())
        maillog = Path(writer.log_path())
        warning = f"{taken.queue_id}: warning: cannot publish delivered message; will retry: "
        while not (committer.has_unpublished and maillog.exists() and warning in maillog.read_text()):
            await asyncio.sleep(0)
        [hidden] = (folder / "tmp").iterdir()
        assert maildir_files.read_message(str(folder), hidden.name, 0).endswith(BODY)
        await executor.run_in_pool(committer.publish)
        assert committer.has_unpublished
        (folder / "new").mkdir()
        await executor.run_in_pool(committer.publish)
        assert not committer.has_unpublished
        assert [path.name for path in (folder / "new").iterdir()] == [hidden.name]
        committer.record_history()

    asyncio.run(session())


def test_messages_without_a_break_are_remembered_many_at_once(executor):
    async def session() -> None:
        committer = Committer(executor)
        committer.QUIET = 60.0
        for _ in range(committer.AT_ONCE - 1):
            await committer.submit(*message())
        assert await executor.run_in_pool(Queued.objects.count) == 0
        await committer.submit(*message())
        await remembered(executor, committer.AT_ONCE)

    asyncio.run(session())


def test_messages_that_come_slowly_without_a_break_are_remembered_in_time(executor):
    async def session() -> None:
        committer = Committer(executor)
        committer.LATEST = 0.1
        async with asyncio.timeout(10):
            while not await executor.run_in_pool(Queued.objects.count):
                await committer.submit(*message())

    asyncio.run(session())


def test_what_is_not_remembered_when_the_server_stops_is_then(executor):
    async def session() -> None:
        committer = Committer(executor)
        await committer.submit(*message())
        committer.record_history()

    asyncio.run(session())
    executor.close()
    assert Queued.objects.get().state == "done"
