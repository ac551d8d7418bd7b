"""A socket as lines, for a client that asks and waits.

asyncio's own streams hide what has arrived unread; after STARTTLS exactly that must be thrown away, for whoever
sits on the line could have put it there.
"""

import asyncio
import ssl
from typing import Any, cast

_LONGEST = 1 << 16


class ConnectionClosed(Exception):
    """The other side has closed the connection, or sends lines without end."""


class LineStream(asyncio.Protocol):
    def __init__(self) -> None:
        self._buffer = bytearray()
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False
        self._lost = False
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)  # from connection_made on

    # --- What asyncio calls ---

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

    # --- What the session calls ---

    @property
    def lost(self) -> bool:
        return self._lost or self.transport.is_closing()

    @property
    def has_unread(self) -> bool:
        """Has something come that nobody asked for?"""
        return bool(self._buffer)

    async def line(self) -> bytes:
        """The next line with its end. Gone: there will be none."""
        while (end := self._buffer.find(b"\n")) < 0:
            if self._lost or len(self._buffer) > _LONGEST:
                raise ConnectionClosed
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        return line

    def write(self, octets: bytes) -> None:
        self.transport.write(octets)

    async def drain(self) -> None:
        """Until there is room for more. Gone: there will be none."""
        while self._full and not self._lost:
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self._lost:
            raise ConnectionClosed

    async def start_tls(self, context: ssl.SSLContext, name: str, timeout: float) -> None:
        """ssl.SSLError, OSError: no agreement with the other side."""
        self._buffer.clear()
        transport = await asyncio.get_running_loop().start_tls(
            self.transport, self, context, server_hostname=name, ssl_handshake_timeout=timeout
        )
        if transport is None:
            raise ConnectionResetError("connection lost during the handshake")
        self.transport = transport

    def certificate(self) -> dict[str, Any] | None:
        """The other side's, where it was verified; None without."""
        found: ssl.SSLObject | None = self.transport.get_extra_info("ssl_object")
        return None if found is None else found.getpeercert()


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
