"""Server-sent events about new mail for open pages, fed by IMAP's IDLE (RFC 2177).

Runs in the web process's event loop beside the pages, so an open page occupies no thread. All pages of one session in
one process share one IMAP connection. Events are hints only ("mail": a message arrived, "change": something else
changed, "end": do not reconnect); the page then requests the details. A server without IDLE is polled.
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

IDLE_RENEW_SECONDS = 1500  # seconds after which an IDLE is renewed, before a server would end it
HEARTBEAT_SECONDS = 25  # seconds between two comments that keep the stream open
POLL_SECONDS = 60  # seconds between two polls of a server without IDLE
SNOOZE_CHECK_SECONDS = 120  # seconds between two checks for snoozed messages that are due
SESSION_CHECK_SECONDS = 300  # seconds between two checks that the session is still valid
MAX_STREAMS = 20  # per session and process
_LONGEST = 1 << 16  # bytes of a line
_EXISTS = re.compile(rb"\* (\d+) EXISTS")
_CHANGE = re.compile(rb"\* \d+ (?:EXPUNGE|FETCH)|\* VANISHED")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _CredentialExpired(Exception):
    """The credential is no longer valid."""


class IdleListener:
    """One IMAP connection that listens for a session, and the event streams it feeds."""

    def __init__(self, person: WebmailUser) -> None:
        self.person = person
        self.streams: set[asyncio.Queue[str]] = set()
        self.is_listening = False  # set once notifications are received
        self.task = asyncio.create_task(self._listen())

    def publish(self, event: str) -> None:
        for stream in self.streams:
            if stream.qsize() < 10:
                stream.put_nowait(event)

    async def _listen(self) -> None:
        pause = 1.0
        snooze_task = asyncio.create_task(self._wake_snoozed_periodically())
        try:
            while True:
                try:
                    await self._run_connection()
                    pause = 1.0
                except _CredentialExpired:
                    self.publish("end")
                    return
                except (OSError, EOFError, ssl.SSLError, TimeoutError, ValueError) as fault:
                    log.info("IMAP connection for push events lost: %s", type(fault).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 60)
        finally:
            snooze_task.cancel()

    async def _wake_snoozed_periodically(self) -> None:
        while True:
            await asyncio.sleep(SNOOZE_CHECK_SECONDS)
            with suppress(imap_client.CommandRefused, imap_client.ServerUnreachable, imap_client.InvalidCredential):
                await asyncio.to_thread(_wake_snoozed, self.person)

    async def _run_connection(self) -> None:
        """Run one connection from its greeting to its end."""
        reader, writer = await _open_connection(imap_address())
        try:
            await _read_tagged(reader, b"*")
            credentials = (format_string(self.person.login), format_string(self.person.secret))
            if any(not word.startswith(b'"') for word in credentials):
                raise _CredentialExpired  # LOGIN takes no name beyond ASCII; the page polls by itself
            writer.write(b"a LOGIN " + b" ".join(credentials) + b"\r\n")
            reply = (await _read_tagged(reader, b"a")).upper()
            if not reply.startswith(b"A OK"):
                raise (
                    OSError("connection limit reached")
                    if LIMIT_CODES.search(reply.decode("latin-1"))
                    else _CredentialExpired
                )
            capability_lines: list[bytes] = []
            await _run_command(reader, writer, b"b CAPABILITY", capability_lines)
            if not await _run_command(reader, writer, b"c EXAMINE INBOX"):
                return
            supports_idle = any(b" IDLE" in line.upper() for line in capability_lines)
            while True:
                await (self._idle(reader, writer) if supports_idle else self._poll(reader, writer))
        finally:
            self.is_listening = False
            writer.close()

    async def _idle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"d IDLE\r\n")
        await writer.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(IDLE_RENEW_SECONDS):
                while True:
                    line = await _read_line(reader)
                    self.is_listening = self.is_listening or line.startswith(b"+")
                    self._on_line(line)
        writer.write(b"DONE\r\n")
        await _read_tagged(reader, b"d", self._on_line)

    async def _poll(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.is_listening = True
        await asyncio.sleep(POLL_SECONDS)
        lines: list[bytes] = []
        await _run_command(reader, writer, b"e NOOP", lines)
        for line in lines:
            self._on_line(line)

    def _on_line(self, line: bytes) -> None:
        if _EXISTS.match(line):
            self.publish("mail")
        elif _CHANGE.match(line):
            self.publish("change")
        elif line.upper().startswith(b"* BYE"):
            raise EOFError("BYE")


_listeners: dict[tuple[str, str], IdleListener] = {}


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application behind the URL of the event stream."""
    person = await asyncio.to_thread(_session_user, scope)
    if person is None:
        await _send_response(send, 204)  # 204 tells an EventSource not to reconnect
        return
    key = (person.login, person.secret)
    listener = _listeners.get(key)
    if listener is None or listener.task.done():
        listener = _listeners[key] = IdleListener(person)
    if len(listener.streams) >= MAX_STREAMS:
        await _send_response(send, 204)
        return
    stream: asyncio.Queue[str] = asyncio.Queue()
    listener.streams.add(stream)
    disconnected = asyncio.create_task(_disconnected(receive))
    try:
        await _send_headers(send)
        next_check = time.monotonic() + SESSION_CHECK_SECONDS
        while not disconnected.done():
            if time.monotonic() > next_check:
                next_check = time.monotonic() + SESSION_CHECK_SECONDS
                if await asyncio.to_thread(_session_user, scope) is None:
                    stream.put_nowait("end")
            next_event = asyncio.create_task(stream.get())
            await asyncio.wait(
                {next_event, disconnected}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if next_event.done():
                await _send_body(send, f"event: {next_event.result()}\ndata: 1\n\n")
                if next_event.result() == "end":
                    break
            else:
                next_event.cancel()
                await _send_body(send, ": \n\n")
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    except OSError:
        pass  # the browser disconnected while we were sending
    finally:
        disconnected.cancel()
        listener.streams.discard(stream)
        if not listener.streams:
            listener.task.cancel()
            if _listeners.get(key) is listener:
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
    """Return the logged-in user of the request's session, as a page would find it."""
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
        connections.close_all()  # a thread of the event loop's executor must not keep a database connection


def _wake_snoozed(person: WebmailUser) -> None:
    try:
        with connection_pool.borrow_connection(person.login, person.secret) as mail:
            snooze.wake_due(mail, person.address)
    finally:
        connections.close_all()


# --- As much of IMAP as listening needs ---------------------------------------------------------------


async def _open_connection(server: ServerAddress) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    context = tls_context() if server.tls else None
    async with asyncio.timeout(15):
        reader, writer = await asyncio.open_connection(server.host, server.port, ssl=context, limit=_LONGEST)
        if not server.tls and not server.is_local:
            await _read_tagged(reader, b"*")
            if not await _run_command(reader, writer, b"s STARTTLS"):
                raise OSError("no STARTTLS")
            await writer.start_tls(tls_context(), server_hostname=server.host)
            reader.feed_data(b"* OK\r\n")  # replaces the greeting, which a server sends only once
    return reader, writer


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    if not line.endswith(b"\n"):
        raise EOFError("connection closed")
    return line


async def _read_tagged(
    reader: asyncio.StreamReader, tag: bytes, on_line: Callable[[bytes], None] | None = None
) -> bytes:
    """Return the line that begins with this tag, passing those before it to `on_line`."""
    async with asyncio.timeout(30):
        while not (line := await _read_line(reader)).startswith(tag + b" "):
            if on_line is not None:
                on_line(line)
    return line


async def _run_command(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: bytes, lines: list[bytes] | None = None
) -> bool:
    writer.write(command + b"\r\n")
    await writer.drain()
    reply = await _read_tagged(reader, command.partition(b" ")[0], None if lines is None else lines.append)
    return reply.split()[1].upper() == b"OK"
