"""Listening for SMTP: one server for each service, many sessions."""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from socket import socket

from mailcore import conf
from mailcore.post import queue_ids
from mailcore.servers import proxy
from mailcore.servers.bridge import Bridge
from mailcore.servers.proxy import ProxiedListener
from mailcore.servers.smtp.content import Committer
from mailcore.servers.smtp.session import SmtpSession


@dataclass(frozen=True, slots=True)
class Service:
    """What makes one port differ from another."""

    name: str  # as in log lines: smtpd, submission/smtpd, lmtp
    lmtp: bool = False  # RFC 2033
    auth_required: bool = False
    implicit_tls: bool = False


SERVICES: dict[str, Service] = {
    "smtp": Service("smtpd"),
    "submission": Service("submission/smtpd", auth_required=True),
    "submissions": Service("submissions/smtpd", auth_required=True, implicit_tls=True),
    "lmtp": Service("lmtpd", lmtp=True),
}


class SmtpServer:
    """Serves one of SERVICES on the sockets it is given."""

    def __init__(self, service: str, bridge: Bridge, tls_context: ssl.SSLContext | None, committer: Committer) -> None:
        self.service = SERVICES[service]
        self.bridge = bridge
        self.tls_context = tls_context
        self.committer = committer
        self.sessions: set[SmtpSession] = set()
        self.closing = False
        self._listeners: list[asyncio.Server | ProxiedListener] = []

    @property
    def connections(self) -> int:
        """How many clients there are."""
        return len(self.sessions)

    async def listen(self, sock: socket) -> None:
        """Serve a bound socket from now on."""
        loop = asyncio.get_running_loop()
        await self.bridge.run(queue_ids.reserve_ahead)
        tls = self.tls_context if self.service.implicit_tls else None
        if conf.current().smtpd_upstream_proxy_protocol and not self.service.lmtp:
            self._listeners.append(
                ProxiedListener(lambda header: SmtpSession(self, loop, header), sock, tls, proxy.of_smtp)
            )
            return
        if tls is not None:
            self._listeners.append(
                ProxiedListener(lambda header: SmtpSession(self, loop, header), sock, tls, proxy.of_nobody)
            )
            return
        listener = await loop.create_server(
            lambda: SmtpSession(self, loop), sock=sock, ssl=tls, backlog=conf.current().listen_backlog
        )
        self._listeners.append(listener)

    async def close(self, grace: float) -> None:
        """Take no more connections, say 421 to idle clients, let letters under way finish for `grace` seconds."""
        self.closing = True
        for listener in self._listeners:
            listener.close()
        for session in list(self.sessions):
            session.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                while self.sessions:
                    await asyncio.sleep(0.05)
        for session in list(self.sessions):
            session.abort()
        self.committer.remember()
