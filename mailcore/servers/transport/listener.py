"""A server of one protocol whose sessions are coroutines over lines: POP3 and ManageSieve.

It listens, gives each connection a session, passes on what it hears of accounts, and ends. What is said is the
session's.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from mailcore import conf
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.transport import proxy_protocol
from mailcore.servers.transport.connection import LineConnection
from mailcore.servers.transport.proxy_protocol import ProxiedListener, ProxyHeader
from mailcore.servers.transport.unauthenticated import LAST_WORDS, Stranger
from mailcore.values import Owner


class LineSession(Protocol):
    """`owner` after sign-in; `doubted`: something about the account changed, it may not be open any more."""

    owner: Owner | None
    needs_revalidation: bool

    def run(self) -> Coroutine[Any, Any, None]: ...

    def turn_away(self, reason: str) -> None:
        """Say why the connection is about to be closed."""

    def leave(self) -> None:
        """End now if a command is waited for, else when it is done."""


class LineServer:
    """Serves on one socket. With a context TLS begins at once (`implicit_tls`) or when the client asks for it."""

    def __init__(
        self,
        make: "Callable[[LineServer, LineConnection], LineSession]",
        executor: Executor,
        tls_context: ssl.SSLContext | None,
        implicit_tls: bool = False,
    ) -> None:
        self.executor = executor
        self.tls_context = tls_context
        self._make = make
        self._implicit_tls = implicit_tls
        self._listener: asyncio.Server | ProxiedListener | None = None
        self._sessions: dict[asyncio.Task[None], LineSession] = {}
        self._strangers: dict[LineConnection, Stranger] = {}

    @property
    def connections(self) -> int:
        """How many clients there are."""
        return len(self._sessions)

    async def listen(self, sock: socket.socket) -> None:
        """Serve on a bound socket from now on."""
        context = self.tls_context if self._implicit_tls else None
        if conf.current().haproxy_trusted_networks or context is not None:
            self._listener = ProxiedListener(self._connect, sock, context, proxy_protocol.access_proxies)
        else:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._connect, sock=sock, ssl=context, backlog=1024)

    def _connect(self, header: ProxyHeader | None = None) -> LineConnection:
        return LineConnection(self._begin, header)

    def _begin(self, connection: LineConnection) -> None:
        session = self._make(self, connection)
        self.signed_out(session, connection)
        task = asyncio.get_running_loop().create_task(session.run())
        self._sessions[task] = session
        task.add_done_callback(lambda done: self._ended(done, connection))

    def _ended(self, task: asyncio.Task[None], connection: LineConnection) -> None:
        self._sessions.pop(task, None)
        self.signed_in(connection)

    def signed_in(self, connection: LineConnection) -> None:
        """The connection is nobody's no more."""
        if (stranger := self._strangers.pop(connection, None)) is not None:
            stranger.release()

    def signed_out(self, session: LineSession, connection: LineConnection) -> None:
        """Nobody has signed in on the connection, or no longer."""

        def drop(reason: str) -> None:
            session.turn_away(reason)
            connection.close()
            # A client that reads nothing would keep it open for what is still to be sent.
            asyncio.get_running_loop().call_later(LAST_WORDS, connection.abort)

        self._strangers[connection] = Stranger(connection.peer, drop)

    @property
    def watched_ids(self) -> list[int]:
        """The accounts that are signed in, by the negative of their ids."""
        return [-owner.account_id for session in self._sessions.values() if (owner := session.owner) is not None]

    def heard(self, mailbox_ids: Iterable[int]) -> None:
        """News; that of accounts concerns their sessions: may they go on?"""
        accounts = {-id_ for id_ in mailbox_ids if id_ < 0}
        if not accounts:
            return
        for session in self._sessions.values():
            if session.owner is not None and session.owner.account_id in accounts:
                session.needs_revalidation = True

    async def close(self, grace: float) -> None:
        """Take no more connections; end those that wait for a command now, the others when their command is done, or
        after `grace` seconds."""
        if self._listener is not None:
            self._listener.close()
        for session in self._sessions.values():
            session.leave()
        if self._sessions:
            _, late = await asyncio.wait(list(self._sessions), timeout=grace)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
