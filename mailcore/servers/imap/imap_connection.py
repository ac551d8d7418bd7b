"""One IMAP socket: input becomes framing events for the session, its output is sent in order.

An idle connection has no task and no buffers. Commands are processed by one task that lives as long as there are any;
input waits while it works (reading pauses when too much is buffered), output waits while the client does not read.
"""

import asyncio
import contextlib
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, Any, cast

from mailcore.servers.transport.proxy_protocol import Accepted
from mailcore.wire.imap.framing import Event, Framer

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Session

_READ_AHEAD = 1 << 18  # Bytes of buffered input at which reading pauses.
_WRITE_TOGETHER = 1 << 16  # Bytes of output gathered before they are passed to the transport.
_INFLATE_STEP = 1 << 18
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only.


class ConnectionClosed(Exception):
    """The client has closed the connection, or it was closed by the server."""


class ImapConnection(asyncio.Protocol):
    __slots__ = (
        "_again",
        "_deflate",
        "_deflated",
        "_drained",
        "_framer",
        "_inflate",
        "_line_limit",
        "_loop",
        "_out",
        "_out_size",
        "_paused",
        "_proxied",
        "_session",
        "_task",
        "_transport",
        "_waiter",
        "_writable",
        "counted",
        "last_heard",
        "local",
        "lost",
        "peer",
    )

    def __init__(self, line_limit: int, accepted: Accepted | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._line_limit = line_limit
        self._proxied = accepted.header if accepted is not None else None  # Of a proxy in front: names the client.
        self.counted = accepted.unauthenticated if accepted is not None else None  # What the listener counted.
        self._framer = Framer(line_limit)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._writable = True
        self._paused = False
        self._again = False  # Input or a notification arrived while the session was working.
        self._out: list[bytes] = []
        self._out_size = 0
        self._inflate: Any = None
        self._deflate: Any = None
        self._deflated = b""  # Compressed input not inflated yet.
        self.lost = False
        self.last_heard = self._loop.time()
        self.peer = self.local = ""

    def attach(self, session: "Session") -> None:
        self._session = session

    # --- Called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = self._transport is None
        self._transport = cast(asyncio.Transport, transport)
        if first and self._session is not None:
            proxied = self._proxied
            self.peer = proxied.source if proxied else _host(transport.get_extra_info("peername"))
            self.local = proxied.destination if proxied else _host(transport.get_extra_info("sockname"))
            self._session.begin()

    def data_received(self, data: bytes) -> None:
        self.last_heard = self._loop.time()
        if self._inflate is not None:
            self._inflate_some(data)
        else:
            self._framer.feed(data)
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
        else:
            self.start()
        if self._framer.buffered_bytes > _READ_AHEAD and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _inflate_some(self, data: bytes) -> None:
        """Inflate input (RFC 4978). A packet can grow a thousandfold: what exceeds the buffer stays compressed."""
        self._deflated += data
        try:
            while self._deflated and self._framer.buffered_bytes <= _READ_AHEAD:
                self._framer.feed(self._inflate.decompress(self._deflated, _INFLATE_STEP))
                self._deflated = self._inflate.unconsumed_tail
        except zlib.error:
            self._deflated = b""
            self.abort()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._wake()
        if self._session is not None and self._task is None:
            self._session.end()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def _wake(self) -> None:
        for future in (self._waiter, self._drained):
            if future is not None and not future.done():
                future.set_result(None)

    # --- Input ---

    @property
    def working(self) -> bool:
        return self._task is not None

    @property
    def reading(self) -> bool:
        """True if the session waits for the client within a command."""
        return self._waiter is not None

    def start(self) -> None:
        """Let the session process its input: now, or again after its current work."""
        self._again = True
        if self._task is None and not self.lost:
            self._task = self._loop.create_task(self._work())

    async def _work(self) -> None:
        assert self._session is not None
        try:
            while self._again:
                self._again = False
                await self._session.work()
                await self.flush()
        except ConnectionClosed:
            pass
        finally:
            self._task = None
            if self.lost:
                self._session.end()

    def next_event(self) -> Event | None:
        """Return the next event if it is available."""
        event = self._framer.next()
        while event is None and self._deflated:
            self._inflate_some(b"")
            event = self._framer.next()
        if self._paused and self._framer.buffered_bytes < _READ_AHEAD // 2 and not self.lost:
            self._paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return event

    async def event(self) -> Event:
        """Wait for the next event. Raise ConnectionClosed."""
        while True:
            event = self.next_event()
            if event is not None:
                return event
            if self.lost:
                raise ConnectionClosed
            await self.flush()
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def command_text(self) -> bytes:
        """Return the running command's text up to the last announced literal."""
        return self._framer.text()

    def keep_literal(self) -> None:
        self._framer.keep_literal()

    def stream_literal(self) -> None:
        self._framer.stream_literal()

    def refuse_literal(self, waits: bool) -> None:
        self._framer.refuse_literal(waits)

    def abandon_literal(self) -> None:
        self._framer.abandon()

    # --- Output ---

    def write(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)
        if self._out_size > _WRITE_TOGETHER:
            self._send()

    def _send(self) -> None:
        if not self._out or self._transport is None:
            return
        data = b"".join(self._out) if len(self._out) > 1 else self._out[0]
        self._out = []
        self._out_size = 0
        if self._deflate is not None:
            data = self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        if not self.lost:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client reads; gathered output is not sent yet, so that a short response goes out in one piece.

        Raise ConnectionClosed.
        """
        if not self._writable or self.lost:
            await self.flush()

    async def flush(self) -> None:
        """Send everything and wait until the client reads. Raise ConnectionClosed."""
        self._send()
        while not self._writable and not self.lost:
            self._drained = self._loop.create_future()
            await self._drained
        if self.lost:
            raise ConnectionClosed

    def acknowledge_at_once(self) -> None:
        """Disable the delayed acknowledgement (TCP_QUICKACK) after a continuation request.

        A client then sends a literal, and (imaplib for one) its line end separately; with Nagle's algorithm on its side
        and a delayed acknowledgement on ours that takes 40 ms.
        """
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def flush_now(self) -> None:
        """Pass the output to the transport without waiting."""
        self._send()

    # --- TLS and compression ---

    @property
    def tls(self) -> bool:
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    @property
    def compressed(self) -> bool:
        return self._deflate is not None

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Start TLS (RFC 9051 §6.2.1). Cleartext input received before is discarded: it could be injected."""
        assert self._transport is not None
        self._framer = Framer(self._line_limit)
        try:
            transport = await self._loop.start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=30
            )
        except (OSError, ssl.SSLError):
            self.lost = True
            raise ConnectionClosed from None
        if transport is None:
            raise ConnectionClosed
        self._transport = transport

    def start_compression(self) -> None:
        """Start raw DEFLATE in both directions (RFC 4978)."""
        self._inflate = zlib.decompressobj(-15)
        self._inflate_some(self._framer.take_unread())
        self._deflate = zlib.compressobj(3, zlib.DEFLATED, -15)

    def close(self) -> None:
        """Close after the output has been sent."""
        if self._transport is not None:
            self._send()
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _host(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) and address else ""
