"""Connections that a proxy passes on, with a PROXY header before anything else, TLS included.

Used by a server in the place of `loop.create_server` where its parameters name proxies: Postfix's for SMTP
(smtpd_upstream_proxy_…), Dovecot's for IMAP and POP3 (haproxy_…). Only they are believed, and from them the
header must come; everybody else is an ordinary client, whose header is a command like any other.
"""

import asyncio
import errno
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from socket import socket

from mailcore import conf, log
from mailcore.post.networks import in_networks
from mailcore.servers.descriptors import Reserve
from mailcore.servers.strangers import Stranger
from mailcore.wire import proxy as grammar
from mailcore.wire.proxy import Header, ProxyFault

__all__ = ["Header", "ProxiedListener", "Proxies", "of_access", "of_nobody", "of_smtp"]


@dataclass(frozen=True, slots=True)
class Proxies:
    """Who is believed, and the seconds there are for the header."""

    networks: tuple[str, ...]
    timeout: float


def of_smtp() -> Proxies:
    parameters = conf.current()
    return Proxies(parameters.smtpd_upstream_proxy_networks, parameters.smtpd_upstream_proxy_timeout)


def of_access() -> Proxies:
    """Of IMAP and POP3."""
    parameters = conf.current()
    return Proxies(parameters.haproxy_trusted_networks, parameters.haproxy_timeout)


def of_nobody() -> Proxies:
    """No proxy stands in front."""
    return Proxies((), 0)


class ProxiedListener:
    """Accepts on one socket; `make(header)` is the protocol of a connection, header None for a direct one.
    `proxies` is asked for each connection, so that changed settings hold at once. Used where TLS begins at once as
    well: connections count as their address's (`strangers`) while they shake hands."""

    def __init__(
        self,
        make: Callable[[Header | None], asyncio.BaseProtocol],
        sock: socket,
        tls: ssl.SSLContext | None,
        proxies: Callable[[], Proxies],
    ) -> None:
        self._make = make
        self._socket = sock
        self._tls = tls
        self._proxies = proxies
        self._loop = asyncio.get_running_loop()
        self._greeting: set[asyncio.Task[None]] = set()
        self._reserve = Reserve()
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        self._accepting.cancel()
        for task in self._greeting:
            task.cancel()
        self._socket.close()
        self._reserve.close()

    async def _accept(self) -> None:
        while True:
            try:
                connection, peer = await self._loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE):
                    self._reserve.shed(self._socket)
                log.write("master", f"warning: accept: {error}")
                await asyncio.sleep(1)  # those that end meanwhile make room
                continue
            task = self._loop.create_task(self._pass_on(connection, str(peer[0])))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _pass_on(self, connection: socket, peer: str) -> None:
        try:
            header = await self._header_from(connection, peer)
            await self._begin(connection, header, peer)
        except (ProxyFault, OSError, TimeoutError) as error:
            if in_networks(peer, self._proxies().networks):
                log.write("master", f"warning: connection by proxy {peer}: {error or 'no PROXY header in time'}")
            connection.close()
        except asyncio.CancelledError:  # turned away, or the server ends
            connection.close()
            raise

    async def _header_from(self, connection: socket, peer: str) -> Header | None:
        proxies = self._proxies()
        if not in_networks(peer, proxies.networks):
            return None
        async with asyncio.timeout(proxies.timeout):
            return await self._header(connection)

    async def _begin(self, connection: socket, header: Header | None, peer: str) -> None:
        """The handshake, if there is one; then the session counts by itself."""
        task = asyncio.current_task()
        assert task is not None

        def drop(_: str) -> None:
            task.cancel()

        stranger = Stranger(header.source if header else peer, drop)
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(header), connection, ssl=self._tls)
        finally:
            stranger.release()

    async def _header(self, connection: socket) -> Header | None:
        """Exactly the header is read: what follows may be TLS. No header is shorter than FIRST octets."""
        head = await self._exactly(connection, grammar.FIRST)
        if head == grammar.SIGNATURE:
            head += await self._exactly(connection, 16 - len(head))
            return grammar.parse_binary(head, await self._exactly(connection, grammar.length(head)))
        while not head.endswith(b"\n") and len(head) < grammar.LONGEST_LINE:
            head += await self._exactly(connection, 1)
        return grammar.parse_line(head)

    async def _exactly(self, connection: socket, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = await self._loop.sock_recv(connection, size - len(octets))
            if not more:
                raise ProxyFault("it ended before its PROXY header")
            octets += more
        return octets
