"""A socket as a stream of lines, for the client.

asyncio's own streams hide received data that was not read; after STARTTLS that data must be discarded, since an
attacker on the network could have injected it.
"""

import asyncio
import ssl
from typing import Any, cast

_MAX_LINE = 1 << 16


class ConnectionClosed(Exception):
    """The other side has closed the connection, or sends an endless line."""


class LineStream(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False
        self._lost = False
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # Set in connection_made.

    # --- Called by asyncio ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)

    # --- Called by the session ---

    @property
    def lost(self) -> bool:
        return self._lost or self.transport.is_closing()

    @property
    def has_unread(self) -> bool:
        """True if data was received that no command requested."""
        return bool(self._buffer)

    async def line(self) -> bytes:
        """Return the next line with its end. Raise ConnectionClosed if there is none."""
        while (end := self._buffer.find(b"\n")) < 0:
            if self._lost or len(self._buffer) > _MAX_LINE:
                raise ConnectionClosed
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the write buffer has space. Raise ConnectionClosed."""
        while self._full and not self._lost:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self._lost:
            raise ConnectionClosed

    async def start_tls(self, context: ssl.SSLContext, name: str, timeout: float) -> None:
        """Start TLS. Raise ssl.SSLError or OSError if the handshake fails."""
        self._buffer.clear()
        transport = await asyncio.get_running_loop().start_tls(
            self.transport, self, context, server_hostname=name, ssl_handshake_timeout=timeout
        )
        if transport is None:
            raise ConnectionResetError("connection lost during the handshake")
        self.transport = transport

    def certificate(self) -> dict[str, Any] | None:
        """Return the other side's certificate if it was verified, else None."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        return None if found is None else found.getpeercert()


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
