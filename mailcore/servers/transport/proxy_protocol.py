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

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.policy.networks import in_networks
from mailcore.servers.runtime.descriptors import Reserve
from mailcore.servers.transport.unauthenticated import Stranger
from mailcore.wire import proxy_header as grammar
from mailcore.wire.proxy_header import ProxyHeader, ProxyHeaderError

__all__ = ["ProxiedListener", "ProxyHeader", "TrustedProxies", "access_proxies", "of_nobody", "smtp_proxies"]


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """Who is believed, and the seconds there are for the header."""

    networks: tuple[str, ...]
    timeout: float


def smtp_proxies() -> TrustedProxies:
    parameters = conf.current()
    return TrustedProxies(parameters.smtpd_upstream_proxy_networks, parameters.smtpd_upstream_proxy_timeout)


def access_proxies() -> TrustedProxies:
    """Of IMAP and POP3."""
    parameters = conf.current()
    return TrustedProxies(parameters.haproxy_trusted_networks, parameters.haproxy_timeout)


def of_nobody() -> TrustedProxies:
    """No proxy stands in front."""
    return TrustedProxies((), 0)


class ProxiedListener:
    """Accepts on one socket; `make(header)` is the protocol of a connection, header None for a direct one.
    `proxies` is asked for each connection, so that changed settings hold at once. Used where TLS begins at once as
    well: connections count as their address's (`strangers`) while they shake hands."""

    def __init__(
        self,
        make: Callable[[ProxyHeader | None], asyncio.BaseProtocol],
        sock: socket,
        tls: ssl.SSLContext | None,
        proxies: Callable[[], TrustedProxies],
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
                writer.write("master", f"warning: accept: {error}")
                await asyncio.sleep(1)  # those that end meanwhile make room
                continue
            task = self._loop.create_task(self._pass_on(connection, str(peer[0])))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    async def _pass_on(self, connection: socket, peer: str) -> None:
        try:
            header = await self._header_from(connection, peer)
            await self._begin(connection, header, peer)
        except (ProxyHeaderError, OSError, TimeoutError) as error:
            if in_networks(peer, self._proxies().networks):
                writer.write("master", f"warning: connection by proxy {peer}: {error or 'no PROXY header in time'}")
            connection.close()
        except asyncio.CancelledError:  # turned away, or the server ends
            connection.close()
            raise

    async def _header_from(self, connection: socket, peer: str) -> ProxyHeader | None:
        proxies = self._proxies()
        if not in_networks(peer, proxies.networks):
            return None
        async with asyncio.timeout(proxies.timeout):
            return await self._header(connection)

    async def _begin(self, connection: socket, header: ProxyHeader | None, peer: str) -> None:
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

    async def _header(self, connection: socket) -> ProxyHeader | None:
        """Exactly the header is read: what follows may be TLS. No header is shorter than FIRST bytes."""
        head = await self._exactly(connection, grammar.FIRST)
        if head == grammar.SIGNATURE:
            head += await self._exactly(connection, 16 - len(head))
            return grammar.parse_binary(head, await self._exactly(connection, grammar.binary_length(head)))
        while not head.endswith(b"\n") and len(head) < grammar.LONGEST_LINE:
            head += await self._exactly(connection, 1)
        return grammar.parse_line(head)

    async def _exactly(self, connection: socket, size: int) -> bytes:
        octets = b""
        while len(octets) < size:
            more = await self._loop.sock_recv(connection, size - len(octets))
            if not more:
                raise ProxyHeaderError("it ended before its PROXY header")
            octets += more
        return octets
