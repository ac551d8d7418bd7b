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

from webmail.account import session, snooze
from webmail.account.session import WebmailUser
from webmail.mailserver import connection_pool, imap_client
from webmail.mailserver.pipeline import LIMIT_CODES
from webmail.mailserver.server_addresses import ServerAddress, imap_address, tls_context
from webmail.values.search_keys import format_string

log = logging.getLogger("webmail.push")

IDLE_RENEW_SECONDS = 1500  # seconds: an IDLE is ended and begun anew before a server would end it
HEARTBEAT_SECONDS = 25  # seconds between two signs of life to the browser
ASKED = 60  # seconds between two questions, where the server does not tell by itself
WAKES = 120  # seconds between two looks for snoozed messages
JUDGED = 300  # seconds between two looks whether a session is still good
STREAMS_OF_ONE = 20  # of one session in this process
_LONGEST = 1 << 16  # bytes of a line
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_CHANGE = re.compile(rb"\* \d+ (?:EXPUNGE|FETCH)|\* VANISHED")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _CredentialExpired(Exception):
    """The credential is no longer good."""


class IdleListener:
    """One IMAP connection that listens for a session, and the streams it feeds."""

    def __init__(self, person: WebmailUser) -> None:
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
                except _CredentialExpired:
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
            with suppress(imap_client.CommandRefused, imap_client.ServerUnreachable, imap_client.InvalidCredential):
                await asyncio.to_thread(_wake_snoozed, self.person)

    async def _connected(self) -> None:
        """One connection from greeting to its end."""
        reader, writer = await _connection(imap_address())
        try:
            await _read_tagged(reader, b"*")
            words = (format_string(self.person.login), format_string(self.person.secret))
            if any(not word.startswith(b'"') for word in words):
                raise _CredentialExpired  # a name beyond ASCII; the page asks by itself
            writer.write(b"a LOGIN " + b" ".join(words) + b"\r\n")
            said = (await _read_tagged(reader, b"a")).upper()
            if not said.startswith(b"A OK"):
                raise OSError("let in no further") if LIMIT_CODES.search(said.decode("latin-1")) else _CredentialExpired
            capable: list[bytes] = []
            await _run_command(reader, writer, b"b CAPABILITY", capable)
            if not await _run_command(reader, writer, b"c EXAMINE INBOX"):
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
            async with asyncio.timeout(IDLE_RENEW_SECONDS):
                while True:
                    line = await _read_line(reader)
                    self.listens = self.listens or line.startswith(b"+")
                    self._heard(line)
        writer.write(b"DONE\r\n")
        await _read_tagged(reader, b"d", self._heard)

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.listens = True
        await asyncio.sleep(ASKED)
        heard: list[bytes] = []
        await _run_command(reader, writer, b"e NOOP", heard)
        for line in heard:
            self._heard(line)

    def _heard(self, line: bytes) -> None:
        if _EXISTS.match(line):
            self.tell("mail")
        elif _CHANGE.match(line):
            self.tell("change")
        elif line.upper().startswith(b"* BYE"):
            raise EOFError("BYE")


_listeners: dict[tuple[str, str], IdleListener] = {}


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind the address of the event stream."""
    person = await asyncio.to_thread(_session_user, scope)
    if person is None:
        await _send_response(send, 204)  # which tells an EventSource not to come back
        return
    key = (person.login, person.secret)
    ear = _listeners.get(key)
    if ear is None or ear.task.done():
        ear = _listeners[key] = IdleListener(person)
    if len(ear.streams) >= STREAMS_OF_ONE:
        await _send_response(send, 204)
        return
    stream: asyncio.Queue[str] = asyncio.Queue()
    ear.streams.add(stream)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await _send_headers(send)
        judge = time.monotonic() + JUDGED
        while not gone.done():
            if time.monotonic() > judge:
                judge = time.monotonic() + JUDGED
                if await asyncio.to_thread(_session_user, scope) is None:
                    stream.put_nowait("end")
            next_event = asyncio.create_task(stream.get())
            await asyncio.wait({next_event, gone}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if next_event.done():
                await _send_body(send, f"event: {next_event.result()}\ndata: 1\n\n")
                if next_event.result() == "end":
                    break
            else:
                next_event.cancel()
                await _send_body(send, ": \n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:
        pass  # the browser went in the middle of a word
    finally:
        gone.cancel()
        ear.streams.discard(stream)
        if not ear.streams:
            ear.task.cancel()
            if _listeners.get(key) is ear:
                del _listeners[key]


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send_response(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b""})


async def _send_headers(send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await _send_body(send, "retry: 5000\n\n")


async def _send_body(send: Send, text: str) -> None:
    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


def _session_user(scope: Message) -> WebmailUser | None:
    """Who asks, by the same session a page would see."""
    cookies = b"; ".join(value for name, value in scope["headers"] if name == b"cookie").decode("latin-1")
    request = HttpRequest()
    request.COOKIES = parse_cookie(cookies)
    request.META["REMOTE_ADDR"] = (scope.get("client") or ("",))[0]
    engine = import_module(settings.SESSION_ENGINE)
    request.session = engine.SessionStore(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    try:
        request.user = get_user(request)
        return session.current_user(request) if session.CREDENTIAL_COOKIE in request.session else None
    finally:
        connections.close_all()  # a thread of the loop's own keeps none


def _wake_snoozed(person: WebmailUser) -> None:
    try:
        with connection_pool.borrow_connection(person.login, person.secret) as mail:
            snooze.wake_due(mail, person.address)
    finally:
        connections.close_all()


# --- As much of IMAP as listening needs ---------------------------------------------------------------


async def _connection(server: ServerAddress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = tls_context() if server.tls else None
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context, limit=_LONGEST)
        if not server.tls and not server.near:
            await _read_tagged(reader, b"*")
            if not await _run_command(reader, writer, b"s STARTTLS"):
                raise OSError("no STARTTLS")
            await writer.start_tls(tls_context(), server_hostname=server.host)
            reader.feed_data(b"* OK\r\n")  # stands for the greeting, which comes once
    return reader, writer


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the connection ended")
    return line


async def _read_tagged(reader: asyncio.StreamReader, tag: bytes, heard: Callable[[bytes], None] | None = None) -> bytes:
    """The line that begins with this tag; those before it are handed to `heard`."""
    async with asyncio.timeout(30):
        while not (line := await _read_line(reader)).startswith(tag + b" "):
            if heard is not None:
                heard(line)
    return line


async def _run_command(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes, heard: list[bytes] | None = None
) -> bool:
    writer.write(command + b"\r\n")
    await writer.drain()
    said = await _read_tagged(reader, command.partition(b" ")[0], None if heard is None else heard.append)
    return said.split()[1].upper() == b"OK"
