"""One IMAP socket: bytes become framing events for the session, what it writes goes out in order.

An idle connection has no task and no buffers. Commands are worked off by one task that lives as long as
there are any; input waits while it works (reading pauses when too much is waiting), output waits while
the client does not take it.
"""

import asyncio
import contextlib
import socket
import ssl
import zlib
from typing import TYPE_CHECKING, Any, cast

from mailcore.servers.transport.proxy_protocol import ProxyHeader
from mailcore.wire.imap.framing import Event, Framer

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Session

_READ_AHEAD = 1 << 18  # bytes of input waiting before reading pauses
_WRITE_TOGETHER = 1 << 16  # bytes of output gathered before they are handed to the transport
_INFLATE_STEP = 1 << 18
_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux has it


class ConnectionClosed(Exception):
    """The client has gone, or was sent away."""


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
        "last_heard",
        "local",
        "lost",
        "peer",
    )

    def __init__(self, line_limit: int, proxied: ProxyHeader | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._line_limit = line_limit
        self._proxied = proxied  # what a proxy in front says of the client
        self._framer = Framer(line_limit)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._writable = True
        self._paused = False
        self._again = False  # something came while the session was at work
        self._out: list[bytes] = []
        self._out_size = 0
        self._inflate: Any = None
        self._deflate: Any = None
        self._deflated = b""  # waiting to be inflated
        self.lost = False
        self.last_heard = self._loop.time()
        self.peer = self.local = ""

    def attach(self, session: "Session") -> None:
        self._session = session

    # --- asyncio's side ---

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
        """RFC 4978. A packet can grow to a thousand times its size: what there is no room for waits as it came."""
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

    # --- Working off what came ---

    @property
    def working(self) -> bool:
        return self._task is not None

    @property
    def reading(self) -> bool:
        """The session waits for the client in the middle of a command."""
        return self._waiter is not None

    def start(self) -> None:
        """Let the session work off what is waiting: now, or once more when it is done with what it works on."""
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
        """The next event if it is there."""
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
        """The next event, waited for. Gone: there will be none."""
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
        """The running command up to the literal that was announced last."""
        return self._framer.text()

    def keep_literal(self) -> None:
        self._framer.keep_literal()

    def stream_literal(self) -> None:
        self._framer.stream_literal()

    def refuse_literal(self, waits: bool) -> None:
        self._framer.refuse_literal(waits)

    def abandon_literal(self) -> None:
        self._framer.abandon()

    # --- Writing ---

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
        """The client takes what it was sent; what is gathered still waits for more, so that a short answer goes out
        in one piece. Gone: it does not any more."""
        if not self._writable or self.lost:
            await self.flush()

    async def flush(self) -> None:
        """Everything written is with the transport, and the client takes it. Gone: it does not any more."""
        self._send()
        while not self._writable and not self.lost:
            self._drained = self._loop.create_future()
            await self._drained
        if self.lost:
            raise ConnectionClosed

    def acknowledge_at_once(self) -> None:
        """A client that was told to go on sends a literal, then (imaplib for one) its line end by itself; with
        Nagle's algorithm on its side and a delayed acknowledgement on ours that takes 40 ms."""
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is not None and _QUICKACK is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)

    def flush_now(self) -> None:
        """Hand over what was written, without waiting."""
        self._send()

    # --- Changing the transport ---

    @property
    def tls(self) -> bool:
        return self._transport is not None and self._transport.get_extra_info("ssl_object") is not None

    @property
    def compressed(self) -> bool:
        return self._deflate is not None

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """RFC 9051 §6.2.1. What came before the handshake is forgotten, or it could be somebody else's."""
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
        """RFC 4978: raw DEFLATE both ways from now on."""
        self._inflate = zlib.decompressobj(-15)
        self._inflate_some(self._framer.take_unread())
        self._deflate = zlib.compressobj(3, zlib.DEFLATED, -15)

    def close(self) -> None:
        """After what was written has gone out."""
        if self._transport is not None:
            self._send()
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _host(address: Any) -> str:
    return str(address[0]) if isinstance(address, tuple) and address else ""
