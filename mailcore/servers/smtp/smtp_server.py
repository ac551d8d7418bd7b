"""The SMTP listener: one server per service, many sessions."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from socket import socket

from mailcore import conf, rate_counters
from mailcore.mta.queue import queue_ids
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.smtp.committer import Committer
from mailcore.servers.smtp.session import SmtpSession
from mailcore.servers.transport import proxy_protocol
from mailcore.servers.transport.proxy_protocol import ProxiedListener

TOO_MANY = "Too many connections."
_TOTAL = "smtp connections in all"


@dataclass(frozen=True, slots=True)
class Service:
    """The properties of a port."""

    name: str  # As in log lines: smtpd, submission/smtpd, lmtp.
    lmtp: bool = False  # RFC 2033.
    auth_required: bool = False
    implicit_tls: bool = False


SERVICES: dict[str, Service] = {
    "smtp": Service("smtpd"),
    "submission": Service("submission/smtpd", auth_required=True),
    "submissions": Service("submissions/smtpd", auth_required=True, implicit_tls=True),
    "lmtp": Service("lmtpd", lmtp=True),
}


class SmtpServer:
    """A server for one of SERVICES, on one or more sockets."""

    def __init__(
        self, service: str, executor: Executor, tls_context: ssl.SSLContext | None, committer: Committer
    ) -> None:
        self.service = SERVICES[service]
        self.executor = executor
        self.tls_context = tls_context
        self.committer = committer
        self.sessions: dict[SmtpSession, None] = {}  # Oldest first.
        self.closing = False
        self._listeners: list[asyncio.Server | ProxiedListener] = []

    @property
    def connections(self) -> int:
        """The number of connections."""
        return len(self.sessions)

    def add_session(self, session: SmtpSession) -> None:
        """Add a session; beyond smtpd_connection_total_limit it replaces the oldest one that is idle.

        Where clients must log in, unauthenticated_connection_total_limit has that effect. Counted over all processes.
        """
        self.sessions[session] = None
        if self.service.auth_required:
            return
        limit = conf.current().smtpd_connection_total_limit
        if 0 < limit < rate_counters.increment_held(_TOTAL, self.service.name):
            next((each for each in self.sessions if each.is_idle), session).disconnect(TOO_MANY)

    def remove_session(self, session: SmtpSession) -> None:
        self.sessions.pop(session, None)
        if not self.service.auth_required:
            rate_counters.decrement_held(_TOTAL, self.service.name)

    async def listen(self, sock: socket) -> None:
        """Serve on a bound socket from now on."""
        loop = asyncio.get_running_loop()
        await self.executor.run_in_pool(queue_ids.reserve_ahead)
        tls = self.tls_context if self.service.implicit_tls else None
        if conf.current().smtpd_upstream_proxy_protocol and not self.service.lmtp:
            self._listeners.append(
                ProxiedListener(
                    lambda accepted: SmtpSession(self, loop, accepted), sock, tls, proxy_protocol.smtp_proxies
                )
            )
            return
        if tls is not None:
            self._listeners.append(
                ProxiedListener(
                    lambda accepted: SmtpSession(self, loop, accepted), sock, tls, proxy_protocol.no_proxies
                )
            )
            return
        listener = await loop.create_server(
            lambda: SmtpSession(self, loop), sock=sock, ssl=tls, backlog=conf.current().listen_backlog
        )
        self._listeners.append(listener)

    async def close(self, grace: float) -> None:
        """Stop listening, send 421 to idle clients, and let messages in progress finish for `grace` seconds."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for session in list(self.sessions):
            session.close_when_idle()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.sessions:
                    await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.abort()
        self.committer.record_history()
