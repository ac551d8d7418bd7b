"""The server of a line-based protocol whose sessions are coroutines: POP3 and ManageSieve.

It listens, creates a session for each connection, passes notifications on, and shuts down.
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
from mailcore.servers.transport.proxy_protocol import Accepted, ProxiedListener
from mailcore.servers.transport.unauthenticated import CLOSE_GRACE, UnauthenticatedConnection, count_connection
from mailcore.values import Owner


class LineSession(Protocol):
    """A session; `owner` is set by authentication.

    `needs_revalidation`: the account changed, so the session may have to end.
    """

    owner: Owner | None
    needs_revalidation: bool

    def run(self) -> Coroutine[Any, Any, None]: ...

    def announce_close(self, reason: str) -> None:
        """Send the reason why the connection is about to be closed."""

    def leave(self) -> None:
        """Close now if waiting for a command, else after the running one."""


class LineServer:
    """A server on one socket. With a context TLS begins at once (`implicit_tls`) or when the client requests it."""

    def __init__(
        self,
        make: "Callable[[LineServer, LineConnection], LineSession]",
        executor: Executor,
        tls_context: ssl.SSLContext | None,
        implicit_tls: bool = False,
    ) -> None:
        self.executor = executor
        self.tls_context = tls_context
        self._make_session = make
        self._implicit_tls = implicit_tls
        self._listener: asyncio.Server | ProxiedListener | None = None
        self._sessions: dict[asyncio.Task[None], LineSession] = {}
        self._unauthenticated: dict[LineConnection, UnauthenticatedConnection] = {}

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self._sessions)

    async def listen(self, sock: socket.socket) -> None:
        """Serve on a bound socket from now on."""
        context = self.tls_context if self._implicit_tls else None
        if conf.current().haproxy_trusted_networks or context is not None:
            self._listener = ProxiedListener(self._connect, sock, context, proxy_protocol.access_proxies)
        else:
            loop = asyncio.get_running_loop()
            self._listener = await loop.create_server(self._connect, sock=sock, ssl=context, backlog=1024)

    def _connect(self, accepted: Accepted | None = None) -> LineConnection:
        return LineConnection(self._begin, accepted)

    def _begin(self, connection: LineConnection) -> None:
        session = self._make_session(self, connection)
        self.mark_unauthenticated(session, connection)
        task = asyncio.get_running_loop().create_task(session.run())
        self._sessions[task] = session
        task.add_done_callback(lambda done: self._ended(done, connection))

    def _ended(self, task: asyncio.Task[None], connection: LineConnection) -> None:
        self._sessions.pop(task, None)
        self.mark_authenticated(connection)

    def mark_authenticated(self, connection: LineConnection) -> None:
        """Stop counting the connection as unauthenticated."""
        if (unauthenticated := self._unauthenticated.pop(connection, None)) is not None:
            unauthenticated.release()

    def mark_unauthenticated(self, session: LineSession, connection: LineConnection) -> None:
        """Count the connection as unauthenticated: before authentication, or after UNAUTHENTICATE."""

        def drop(reason: str) -> None:
            session.announce_close(reason)
            connection.close()
            # A client that reads nothing would keep the connection open for the unsent data.
            asyncio.get_running_loop().call_later(CLOSE_GRACE, connection.abort)

        self._unauthenticated[connection] = count_connection(connection.peer, drop, connection.counted)

    @property
    def watched_ids(self) -> list[int]:
        """The authenticated accounts, as their negated ids."""
        return [-owner.account_id for session in self._sessions.values() if (owner := session.owner) is not None]

    def on_notifications(self, mailbox_ids: Iterable[int]) -> None:
        """Mark the sessions of changed accounts (negated ids) for revalidation."""
        accounts = {-id_ for id_ in mailbox_ids if id_ < 0}
        if not accounts:
            return
        for session in self._sessions.values():
            if session.owner is not None and session.owner.account_id in accounts:
                session.needs_revalidation = True

    async def close(self, grace: float) -> None:
        """Stop listening; close sessions that wait for a command, others after their command or `grace` seconds."""
        if self._listener is not None:
            self._listener.close()
        for session in self._sessions.values():
            session.leave()
        if self._sessions:
            _, unfinished = await asyncio.wait(list(self._sessions), timeout=grace)
            for task in unfinished:
                task.cancel()
            if unfinished:
                await asyncio.wait(unfinished)
