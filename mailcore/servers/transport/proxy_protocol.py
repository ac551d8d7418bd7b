"""The PROXY protocol: connections passed on by a proxy, with a header before anything else, TLS included.

Used instead of `loop.create_server` if the parameters name proxies: Postfix's for SMTP (smtpd_upstream_proxy_…),
Dovecot's for IMAP and POP3 (haproxy_…). Only those are trusted, and they must send the header; any other client is an
ordinary one, whose header is a command like any other.
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
from mailcore.servers.transport.descriptors import Reserve
from mailcore.servers.transport.unauthenticated import UnauthenticatedConnection
from mailcore.wire import proxy_header as grammar
from mailcore.wire.proxy_header import ProxyHeader, ProxyHeaderError

__all__ = [
    "Accepted",
    "ProxiedListener",
    "ProxyHeader",
    "TrustedProxies",
    "access_proxies",
    "no_proxies",
    "smtp_proxies",
]


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection that a `ProxiedListener` accepted: the header of a proxy in front, if any, and its count so far."""

    header: ProxyHeader | None
    unauthenticated: UnauthenticatedConnection


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The trusted proxies, and the seconds they have for the header."""

    networks: tuple[str, ...]
    timeout: float


def smtp_proxies() -> TrustedProxies:
    parameters = conf.current()
    return TrustedProxies(parameters.smtpd_upstream_proxy_networks, parameters.smtpd_upstream_proxy_timeout)


def access_proxies() -> TrustedProxies:
    """Return the trusted proxies of IMAP and POP3."""
    parameters = conf.current()
    return TrustedProxies(parameters.haproxy_trusted_networks, parameters.haproxy_timeout)


def no_proxies() -> TrustedProxies:
    """Return an empty set of proxies."""
    return TrustedProxies((), 0)


class ProxiedListener:
    """Accepts on one socket; `make` returns the protocol of a connection.

    `proxies` is called for each connection, so that changed settings apply at once. Also used for implicit TLS:
    connections count as unauthenticated ones of their address during the handshake already.
    """

    def __init__(
        self,
        make: Callable[[Accepted], asyncio.BaseProtocol],
        sock: socket,
        tls: ssl.SSLContext | None,
        proxies: Callable[[], TrustedProxies],
    ) -> None:
        self._make = make
        self._socket = sock
        self._tls = tls
        self._proxies = proxies
        self._loop = asyncio.get_running_loop()
        self._pending: set[asyncio.Task[None]] = set()
        self._reserve = Reserve()
        self._accepting = self._loop.create_task(self._accept())

    def close(self) -> None:
        self._accepting.cancel()
        for task in self._pending:
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
                await asyncio.sleep(1)  # Connections that end meanwhile free descriptors.
                continue
            task = self._loop.create_task(self._handle(connection, str(peer[0])))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _handle(self, connection: socket, peer: str) -> None:
        try:
            header = await self._trusted_header(connection, peer)
            await self._begin(connection, header, peer)
        except (ProxyHeaderError, OSError, TimeoutError) as error:
            if in_networks(peer, self._proxies().networks):
                writer.write("master", f"warning: connection by proxy {peer}: {error or 'no PROXY header in time'}")
            connection.close()
        except asyncio.CancelledError:  # Disconnected, or the server stops.
            connection.close()
            raise

    async def _trusted_header(self, connection: socket, peer: str) -> ProxyHeader | None:
        proxies = self._proxies()
        if not in_networks(peer, proxies.networks):
            return None
        async with asyncio.timeout(proxies.timeout):
            return await self._read_header(connection)

    async def _begin(self, connection: socket, header: ProxyHeader | None, peer: str) -> None:
        """Do the TLS handshake, if there is one; the session goes on with the count, if it has to authenticate."""
        task = asyncio.current_task()
        assert task is not None

        def drop(_: str) -> None:
            task.cancel()

        accepted = Accepted(header, UnauthenticatedConnection(header.source if header else peer, drop))
        try:
            await self._loop.connect_accepted_socket(lambda: self._make(accepted), connection, ssl=self._tls)
        finally:
            if accepted.unauthenticated.disconnects_by(drop):
                accepted.unauthenticated.release()

    async def _read_header(self, connection: socket) -> ProxyHeader | None:
        """Read exactly the header: what follows may be TLS. No header is shorter than FIRST bytes."""
        head = await self._read_exactly(connection, grammar.FIRST)
        if head == grammar.SIGNATURE:
            head += await self._read_exactly(connection, 16 - len(head))
            return grammar.parse_binary(head, await self._read_exactly(connection, grammar.binary_length(head)))
        while not head.endswith(b"\n") and len(head) < grammar.LONGEST_LINE:
            head += await self._read_exactly(connection, 1)
        return grammar.parse_line(head)

    async def _read_exactly(self, connection: socket, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = await self._loop.sock_recv(connection, size - len(data))
            if not chunk:
                raise ProxyHeaderError("it ended before its PROXY header")
            data += chunk
        return data
