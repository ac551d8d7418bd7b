"""A line-based connection: what a session reads and writes, with or without TLS.

Used by servers whose commands are lines (POP3, ManageSieve). One coroutine owns a connection: it reads a line, answers,
reads again. Memory is bounded both ways: reading pauses when lines arrive faster than they are read, and `drain` waits
while the client does not read its responses.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from mailcore.servers.transport.proxy_protocol import Accepted

_READ_AHEAD = 1 << 16  # Bytes of commands buffered while one is executed.


class ConnectionClosed(Exception):
    """The client has closed the connection, or it was closed by the server."""


class IdleTimeout(Exception):
    """The client was idle for too long."""


class LineTooLong(Exception):
    """A line exceeded the limit; it has been skipped to its end."""


class LineConnection(asyncio.Protocol):
    """One connection. `connected` is called once with it when it is ready (TLS included).

    `accepted` is what a `ProxiedListener` knows of it: the client that a proxy in front names, and its count.
    """

    def __init__(self, connected: Callable[["LineConnection"], None], accepted: Accepted | None) -> None:
        self._connected = connected
        self._proxied = accepted.header if accepted is not None else None
        self.counted = accepted.unauthenticated if accepted is not None else None
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[None] | None = None  # Waits for a line.
        self._draining: asyncio.Future[None] | None = None
        self._writable = True
        self._reading = True
        self._ended = False
        self._skipping = False
        self._wants_bytes = False  # Waits for bytes, not for a line.
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    # --- Called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        first = self._transport is None
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not declare that it is one.
        if first:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._waiting is not None and not self._waiting.done():
            if b"\n" in data or self._wants_bytes or len(self._buffer) > _READ_AHEAD:
                self._waiting.set_result(None)
        elif len(self._buffer) > _READ_AHEAD and self._reading:
            self._reading = False
            self._require_transport().pause_reading()

    def eof_received(self) -> bool:
        self._wake_all(ended=True)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._wake_all(ended=True)
        if self._timer is not None:
            self._timer.cancel()

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        if self._draining is not None and not self._draining.done():
            self._draining.set_result(None)

    def _wake_all(self, *, ended: bool) -> None:
        self._ended = self._ended or ended
        for future in (self._waiting, self._draining):
            if future is not None and not future.done():
                future.set_result(None)

    # --- Called by the session ---

    async def read_line(self, limit: int, seconds: float) -> bytes:
        """Return the next line without its line end.

        Raise ConnectionClosed, IdleTimeout (nothing for `seconds`) or LineTooLong (over `limit`).
        """
        waited = False
        while True:
            end = self._buffer.find(b"\n")
            if end >= 0:
                if not waited:
                    # The client sent up to 64 KB of commands ahead: give other connections their turns in between.
                    await asyncio.sleep(0)
                line = bytes(self._buffer[:end])
                del self._buffer[: end + 1]
                if not self._reading and len(self._buffer) < _READ_AHEAD // 2:
                    self._reading = True
                    self._require_transport().resume_reading()
                if self._skipping or end > limit:
                    self._skipping = False
                    raise LineTooLong
                return line.removesuffix(b"\r")
            if len(self._buffer) > limit:
                self._skipping = True
                self._buffer.clear()
            if self._ended:
                raise ConnectionClosed
            waited = True
            await self._wait_for_data(seconds)

    async def read_bytes(self, count: int, seconds: float) -> bytes:
        """Return the next `count` bytes. Raise ConnectionClosed or IdleTimeout (nothing for `seconds`)."""
        data = bytearray()
        while True:
            missing = count - len(data)
            data += self._buffer[:missing]
            del self._buffer[:missing]
            if len(data) == count:
                return bytes(data)
            if self._ended:
                raise ConnectionClosed
            self._wants_bytes = True
            try:
                await self._wait_for_data(seconds)
            finally:
                self._wants_bytes = False

    async def _wait_for_data(self, seconds: float) -> None:
        if not self._reading:
            self._reading = True
            self._require_transport().resume_reading()
        self._deadline = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        self._waiting = self._loop.create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None
        if self._deadline == 0.0:
            raise IdleTimeout

    def _check_deadline(self) -> None:
        """Check the deadline. One timer per connection, moved when it fires early, is cheaper than one per line."""
        self._timer = None
        if self._waiting is None or self._waiting.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_deadline)
        else:
            self._deadline = 0.0
            self._waiting.set_result(None)

    @property
    def has_line(self) -> bool:
        """True if the client has sent its next command already."""
        return b"\n" in self._buffer

    def write(self, *parts: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)

    async def drain(self, seconds: float) -> None:
        """Wait until the client has read most of the output. Raise ConnectionClosed if not within `seconds`."""
        if not self._writable and not self._ended:
            self._draining = self._loop.create_future()
            try:
                async with asyncio.timeout(seconds):
                    await self._draining
            except TimeoutError:
                self.abort()
                raise ConnectionClosed from None
            finally:
                self._draining = None
        if self._ended:
            raise ConnectionClosed

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Start TLS. Input received before is discarded: it was not protected (RFC 2595 §4).

        Raise ConnectionClosed if the handshake fails.
        """
        self._buffer.clear()
        try:
            transport = await self._loop.start_tls(self._require_transport(), self, context, server_side=True)
        except (OSError, ssl.SSLError) as error:
            raise ConnectionClosed from error
        if transport is None:
            raise ConnectionClosed
        self._transport = transport

    @property
    def tls(self) -> ssl.SSLObject | None:
        return self._require_transport().get_extra_info("ssl_object")  # type: ignore[no-any-return]

    @property
    def peer(self) -> str:
        """The client's IP address."""
        if self._proxied is not None:
            return self._proxied.source
        return str((self._require_transport().get_extra_info("peername") or ("",))[0])

    @property
    def local_address(self) -> str:
        """The address the client connected to."""
        if self._proxied is not None:
            return self._proxied.destination
        return str((self._require_transport().get_extra_info("sockname") or ("",))[0])

    def close(self) -> None:
        """Send the buffered output, then close; a waiting `read_line` raises ConnectionClosed."""
        self._wake_all(ended=True)
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _require_transport(self) -> asyncio.Transport:
        if self._transport is None:
            raise ConnectionClosed
        return self._transport
