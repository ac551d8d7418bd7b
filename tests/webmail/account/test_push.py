"""The stream of news: a page that stands open hears of mail, and of nothing once its session is over."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from webmail.account import push
from webmail_fixtures import Browser, PostOffice, make_message

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE = 20  # seconds until a test gives up


class Stream:
    """A browser's end of the stream."""

    def __init__(self, browser: Browser | None) -> None:
        cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in browser.cookies.items()) if browser else ""
        headers = [(b"cookie", cookies.encode())]
        self.scope = {"type": "http", "path": "/events", "headers": headers, "client": ("127.0.0.1", 1)}
        self.heard: asyncio.Queue[dict] = asyncio.Queue()
        self.closed = asyncio.Event()

    async def receive(self) -> dict:
        await self.closed.wait()
        return {"type": "http.disconnect"}

    async def open(self) -> int:
        self.task = asyncio.create_task(push.application(self.scope, self.receive, self.heard.put))
        return (await self.next())["status"]

    async def next(self) -> dict:
        async with asyncio.timeout(PATIENCE):
            return await self.heard.get()

    async def until(self, words: bytes) -> None:
        while words not in (await self.next()).get("body", b""):
            pass

    async def close(self) -> None:
        self.closed.set()
        await self.task


def play(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), PATIENCE * 2))


async def listening() -> None:
    """Until every ear stands in IDLE: news before that would be part of the first look."""
    while not push._listeners or not all(ear.is_listening for ear in push._listeners.values()):
        await asyncio.sleep(0.01)


def test_new_mail_is_told(office: PostOffice, lisi: Browser) -> None:
    async def story() -> None:
        stream = Stream(lisi)
        assert await stream.open() == 200
        await listening()
        await asyncio.to_thread(office.put, make_message("新到"))
        await stream.until(b"event: mail\n")
        await stream.close()
        assert push._listeners == {}

    play(story)


def test_pages_of_one_session_share_an_ear(office: PostOffice, lisi: Browser) -> None:
    async def story() -> None:
        first, second = Stream(lisi), Stream(lisi)
        assert await first.open() == await second.open() == 200
        assert len(push._listeners) == 1
        await listening()
        await first.close()
        await asyncio.to_thread(office.put, make_message("新到"))
        await second.until(b"event: mail\n")
        await second.close()

    play(story)


def test_what_changes_elsewhere_is_told(office: PostOffice, lisi: Browser) -> None:
    office.put(make_message("x"))

    def read_elsewhere() -> None:
        program = office.connect()
        program.select()
        program.store("1", "+FLAGS", "\\Seen")
        program.logout()

    async def story() -> None:
        stream = Stream(lisi)
        await stream.open()
        await listening()
        await asyncio.to_thread(read_elsewhere)
        await stream.until(b"event: change\n")
        await stream.close()

    play(story)


def test_strangers_hear_nothing(office: PostOffice) -> None:
    async def story() -> None:
        assert await Stream(None).open() == 204  # which an EventSource takes for "do not come back"
        assert await Stream(Browser()).open() == 204

    play(story)


def test_after_signing_out_there_is_nothing_to_hear(office: PostOffice, lisi: Browser) -> None:
    lisi.see("/")
    lisi.press("/logout/")

    async def story() -> None:
        assert await Stream(lisi).open() == 204

    play(story)


def test_a_session_that_is_over_ends_the_stream(
    office: PostOffice, lisi: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push, "SESSION_CHECK_SECONDS", 0.05)
    monkeypatch.setattr(push, "HEARTBEAT_SECONDS", 0.05)

    async def story() -> None:
        stream = Stream(lisi)
        await stream.open()
        await listening()
        await asyncio.to_thread(lisi.see, "/")
        await asyncio.to_thread(lisi.press, "/logout/")
        await stream.until(b"event: end\n")
        await stream.close()

    play(story)


def test_a_server_without_idle_is_asked(office: PostOffice, lisi: Browser, monkeypatch) -> None:
    monkeypatch.setattr(push, "POLL_SECONDS", 0.1)
    real = push._run_command

    async def without_idle(reader, writer, command, heard=None):
        said = await real(reader, writer, command, heard)
        if heard is not None:
            heard[:] = [line.replace(b" IDLE", b"") for line in heard]
        return said

    monkeypatch.setattr(push, "_run_command", without_idle)

    async def story() -> None:
        stream = Stream(lisi)
        await stream.open()
        await listening()
        await asyncio.to_thread(office.put, make_message("新到"))
        await stream.until(b"event: mail\n")
        await stream.close()

    play(story)
