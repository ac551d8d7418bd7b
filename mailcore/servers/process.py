"""One server process: an event loop that serves SMTP, LMTP, IMAP, POP3 and ManageSieve on sockets it was given.

Started by the supervisor, once per core; all processes accept on the same sockets.
"""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, cast

import uvloop
from django.db import DatabaseError, connection

from mailcore import anvil, conf, log
from mailcore.post import queue_ids
from mailcore.servers import heartbeat, tls
from mailcore.servers.bridge import Bridge
from mailcore.servers.core import Core
from mailcore.servers.imap import ImapServer
from mailcore.servers.line_server import LineServer
from mailcore.servers.managesieve import SieveServer
from mailcore.servers.pop3 import Pop3Server
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.content import Committer
from mailcore.servers.smtp.server import SERVICES as SMTP_SERVICES
from mailcore.sqlite.base import DatabaseWrapper
from mailcore.store import directory, news, unsynced
from mailcore.terms import TemporaryFault

# Seconds after which a thread that works lets another one have Python. The thread that commits needs it for a moment
# after each statement; with Python's own 5 ms letters waited longer for that than for the disk.
_TURN = 0.0005
_GRACE = 10.0  # seconds a stopping process gives to letters under way
_SETTLE_EVERY = 1.0  # seconds between two flushes of what was delivered


class _Server(Protocol):
    @property
    def connections(self) -> int: ...

    async def listen(self, sock: socket.socket) -> None: ...

    async def close(self, grace: float) -> None: ...


def run(sockets: Mapping[str, Sequence[socket.socket]], parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until `parent` (a pipe's reading end) says that the supervisor is gone."""
    # Short reads run on the loop itself (see bridge); Django would refuse them there.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    sys.setswitchinterval(_TURN)
    uvloop.run(_Process(sockets).serve(parent, ready))


class _Process:
    def __init__(self, sockets: Mapping[str, Sequence[socket.socket]]) -> None:
        self._sockets = sockets
        self._core = Core(anvil.process() or 1)
        self._bridge = Bridge(conf.current().server_threads, self._core.met, self._alone)
        self._servers: list[_Server] = []
        self._access: list[ImapServer | LineServer] = []
        self._stop = asyncio.Event()

    async def serve(self, parent: int, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        log.open_now()
        plain = tls.certificates()
        asking = tls.certificates(asking=True) if conf.current().smtpd_tls_ask_ccert else plain
        self._certificates = {each for each in (plain, asking) if each}
        committer = Committer(self._bridge)
        for name, sockets in self._sockets.items():
            certificates = asking if name in SMTP_SERVICES else plain
            server = self._make(name, certificates.context if certificates else None, committer)
            for sock in sockets:
                await server.listen(sock)
        hearing = news.listen(news.SERVERS)
        loop.add_reader(hearing, self._hear, hearing)
        loop.add_reader(parent, self._stop.set)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the supervisor passes it on as SIGTERM
        loop.add_signal_handler(signal.SIGHUP, self._later, self._reload)
        await self._bridge.run(_recover)
        settling = loop.create_task(self._settle(committer))
        heartbeat.start()
        ready()
        await self._stop.wait()
        loop.remove_reader(hearing)
        news.stop_listening(hearing, news.SERVERS)
        await asyncio.gather(*(server.close(_GRACE) for server in self._servers))
        settling.cancel()
        await self._bridge.run(committer.publish)
        await self._bridge.run(_settle)
        await self._bridge.run(_release_queue_ids)
        self._bridge.close()

    def _alone(self) -> bool:
        return sum(server.connections for server in self._servers) < 2

    async def _settle(self, committer: Committer) -> None:
        while True:
            await asyncio.sleep(_SETTLE_EVERY)
            self._core.look()
            if committer.has_hidden:
                await self._bridge.run(committer.publish)
            if unsynced.waiting():
                await self._bridge.run(_settle)
            if queue_ids.is_low():
                await self._bridge.run(_reserve_queue_ids)
            if anvil.process() == 1 and connection.vendor == "sqlite":
                await self._bridge.run(_checkpoint)

    def _make(self, name: str, context: ssl.SSLContext | None, committer: Committer) -> _Server:
        server: _Server
        if name in ("imap", "imaps"):
            server = ImapServer(self._bridge, context, implicit_tls=name == "imaps")
            self._access.append(server)
        elif name in ("pop3", "pop3s"):
            server = Pop3Server(self._bridge, context, implicit_tls=name == "pop3s")
            self._access.append(server)
        elif name == "sieve":
            server = SieveServer(self._bridge, context)
            self._access.append(server)
        else:
            server = SmtpServer(name, self._bridge, context, committer)
        self._servers.append(server)
        return server

    def _hear(self, hearing: socket.socket) -> None:
        """News: many pieces that came together are one."""
        changed: set[int] = set()
        while True:
            try:
                kind, *words = hearing.recv(1 << 20).split()
            except BlockingIOError:
                break
            if kind == news.MAILBOX:
                changed.update(map(int, words))
            elif kind == news.SETTINGS:
                self._later(self._read_settings)
            elif kind == news.EVERYTHING:
                self._later(self._read_settings)
                for server in self._access:
                    changed.update(server.watched)
        if changed:
            for server in self._access:
                server.heard(changed)

    def _later(self, function: Callable[[], None]) -> None:
        asyncio.get_running_loop().create_task(self._bridge.run(function))

    def _read_settings(self) -> None:
        conf.refresh()
        directory.forget()
        for certificates in self._certificates:
            certificates.settings_changed()

    def _reload(self) -> None:
        """SIGHUP: settings and certificates anew, the log file reopened."""
        self._read_settings()
        log.reopen()
        log.write("master", "reloaded")
        for certificates in self._certificates:
            certificates.reload()


def _recover() -> None:
    """Nothing that goes wrong here keeps the system from starting: what is not restored stays carried."""
    try:
        if restored := unsynced.recover():
            log.write("master", f"restored {restored} messages after a power failure")
    except (OSError, DatabaseError) as error:
        log.write("master", f"error: messages are not restored: {error}")


def _settle() -> None:
    try:
        unsynced.settle()
    except (OSError, DatabaseError) as error:
        log.write("master", f"error: delivered messages are not durable in their files yet: {error}")


def _reserve_queue_ids() -> None:
    try:
        queue_ids.reserve_ahead()
    except (DatabaseError, TemporaryFault) as error:
        log.write("master", f"error: no queue ids can be reserved: {error}")


def _release_queue_ids() -> None:
    with contextlib.suppress(DatabaseError):
        queue_ids.release()


def _checkpoint() -> None:
    try:
        cast(DatabaseWrapper, connection).checkpoint()
    except DatabaseError as error:
        log.write("master", f"error: the database's log cannot be moved into its file: {error}")
