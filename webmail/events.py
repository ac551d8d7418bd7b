"""News of new mail for pages that stand open: a stream of server-sent events, fed by IMAP's IDLE (RFC 2177).

Runs in the web process's event loop beside the pages, so an open page costs no thread. All pages of one
session in one process share one IMAP connection. Events are hints only ("mail": something came, "change":
something else is different, "end": do not come back); the page asks for itself. Where the server has no
IDLE it is asked once in a while.
"""

import asyncio
import logging
import re
import ssl
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.db import connections
from django.http import HttpRequest, parse_cookie

from webmail import imap, pool, snoozing, visitor
from webmail.criteria import string
from webmail.journey import FULL
from webmail.servers import Server, imap_server, tls_context
from webmail.visitor import Visitor

log = logging.getLogger(__name__)

RENEWED = 1500  # seconds: an IDLE is ended and begun anew before a server would end it
BEATS = 25  # seconds between two signs of life to the browser
ASKED = 60  # seconds between two questions, where the server does not tell by itself
WAKES = 120  # seconds between two looks for snoozed letters
JUDGED = 300  # seconds between two looks whether a session is still good
STREAMS_OF_ONE = 20  # of one session in this process
_LONGEST = 1 << 16  # octets of a line
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_CHANGE = re.compile(rb"\* \d+ (?:EXPUNGE|FETCH)|\* VANISHED")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Over(Exception):
    """The credential is no longer good."""


class _Ear:
    """One IMAP connection that listens for a session, and the streams it feeds."""

    def __init__(self, person: Visitor) -> None:
        self.person = person
        self.streams: set[asyncio.Queue[str]] = set()
        self.listens = False  # from now on what happens is heard
        self.task = asyncio.create_task(self._listen())

    def tell(self, event: str) -> None:
        for stream in self.streams:
            if stream.qsize() < 10:
                stream.put_nowait(event)

    async def _listen(self) -> None:
        pause = 1.0
        waking = asyncio.create_task(self._wake())
        try:
            while True:
                try:
                    await self._connected()
                    pause = 1.0
                except _Over:
                    self.tell("end")
                    return
                except (OSError, EOFError, ssl.SSLError, TimeoutError, ValueError) as fault:
                    log.info("listening for news broke off: %s", type(fault).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60)
        finally:
            waking.cancel()

    async def _wake(self) -> None:
        while True:
            await asyncio.sleep(WAKES)
            with suppress(imap.Refused, imap.Unreachable, imap.BadCredential):
                await asyncio.to_thread(_awaken, self.person)

    async def _connected(self) -> None:
        """One connection from greeting to its end."""
        reader, writer = await _connection(imap_server())
        try:
            await _said(reader, b"*")
            words = (string(self.person.login), string(self.person.secret))
            if any(not word.startswith(b'"') for word in words):
                raise _Over  # a name beyond ASCII; the page asks by itself
            writer.write(b"a LOGIN " + b" ".join(words) + b"\r\n")
            said = (await _said(reader, b"a")).upper()
            if not said.startswith(b"A OK"):
                raise OSError("let in no further") if FULL.search(said.decode("latin-1")) else _Over
            capable: list[bytes] = []
            await _command(reader, writer, b"b CAPABILITY", capable)
            if not await _command(reader, writer, b"c EXAMINE INBOX"):
                return
            idles = any(b" IDLE" in line.upper() for line in capable)
            while True:
                await (self._idle(reader, writer) if idles else self._ask(reader, writer))
        finally:
            self.listens = False
            writer.close()

    async def _idle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"d IDLE\r\n")
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(RENEWED):
                while True:
                    line = await _line(reader)
                    self.listens = self.listens or line.startswith(b"+")
                    self._heard(line)
        writer.write(b"DONE\r\n")
        await _said(reader, b"d", self._heard)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.listens = True
        await asyncio.sleep(ASKED)
        heard: list[bytes] = []
        await _command(reader, writer, b"e NOOP", heard)
        for line in heard:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        if _EXISTS.match(line):
            self.tell("mail")
        elif _CHANGE.match(line):
            self.tell("change")
        elif line.upper().startswith(b"* BYE"):
            raise EOFError("BYE")


_ears: dict[tuple[str, str], _Ear] = {}


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind the address of the event stream."""
    person = await asyncio.to_thread(_visitor, scope)
    if person is None:
        await _answer(send, 204)  # which tells an EventSource not to come back
        return
    key = (person.login, person.secret)
    ear = _ears.get(key)
    if ear is None or ear.task.done():
        ear = _ears[key] = _Ear(person)
    if len(ear.streams) >= STREAMS_OF_ONE:
        await _answer(send, 204)
        return
    stream: asyncio.Queue[str] = asyncio.Queue()
    ear.streams.add(stream)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await _begin(send)
        judge = time.monotonic() + JUDGED
        while not gone.done():
            if time.monotonic() > judge:
                judge = time.monotonic() + JUDGED
                if await asyncio.to_thread(_visitor, scope) is None:
                    stream.put_nowait("end")
            next_event = asyncio.create_task(stream.get())
            await asyncio.wait({next_event, gone}, timeout=BEATS, return_when=asyncio.FIRST_COMPLETED)
            if next_event.done():
                await _body(send, f"event: {next_event.result()}\ndata: 1\n\n")
                if next_event.result() == "end":
                    break
            else:
                next_event.cancel()
                await _body(send, ": \n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:
        pass  # the browser went in the middle of a word
    finally:
        gone.cancel()
        ear.streams.discard(stream)
        if not ear.streams:
            ear.task.cancel()
            if _ears.get(key) is ear:
                del _ears[key]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})


async def _begin(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _body(send, "retry: 5000\n\n")


async def _body(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _visitor(scope: Message) -> Visitor | None:
    """Who asks, by the same session a page would see."""
    cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    request = HttpRequest()
    request.COOKIES = parse_cookie(cookies)
    request.META["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    try:
        request.user = get_user(request)
        return visitor.current(request) if visitor.SEAL in request.session else None
    finally:
        connections.close_all()  # a thread of the loop's own keeps none


def _awaken(person: Visitor) -> None:
    try:
        with pool.borrow(person.login, person.secret) as mail:
            snoozing.awaken(mail, person.address)
    finally:
        connections.close_all()


# --- As much of IMAP as listening needs ---------------------------------------------------------------


async def _connection(server: Server) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = tls_context() if server.tls else None
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context, limit=_LONGEST)
        if not server.tls and not server.near:
            await _said(reader, b"*")
            if not await _command(reader, writer, b"s STARTTLS"):
                raise OSError("no STARTTLS")
            await writer.start_tls(tls_context(), server_hostname=server.host)
            reader.feed_data(b"* OK\r\n")  # stands for the greeting, which comes once
    return reader, writer


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the connection ended")
    return line


async def _said(reader: asyncio.StreamReader, tag: bytes, heard: Callable[[bytes], None] | None = None) -> bytes:
    """The line that begins with this tag; those before it are handed to `heard`."""
    async with asyncio.timeout(30):
        while not (line := await _line(reader)).startswith(tag + b" "):
            if heard is not None:
                heard(line)
    return line


async def _command(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes, heard: list[bytes] | None = None
) -> bool:
    writer.write(command + b"\r\n")
    await writer.drain()
    said = await _said(reader, command.partition(b" ")[0], None if heard is None else heard.append)
    return said.split()[1].upper() == b"OK"
