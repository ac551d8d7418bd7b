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

from mailcore import conf, rate_counters
from mailcore.logs import writer
from mailcore.mta.queue import queue_ids
from mailcore.servers.concurrency.cpu_affinity import CpuAffinity
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.imap import ImapServer
from mailcore.servers.managesieve.session import SieveServer
from mailcore.servers.pop3.session import Pop3Server
from mailcore.servers.runtime import heartbeat
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.message_body import Committer
from mailcore.servers.smtp.smtp_server import SERVICES as SMTP_SERVICES
from mailcore.servers.transport import tls
from mailcore.servers.transport.listener import LineServer
from mailcore.sqlite.base import DatabaseWrapper
from mailcore.store import directory
from mailcore.store.maildir import write_behind
from mailcore.store.notify import notifications
from mailcore.values import TemporaryFault

# Seconds after which a thread that works lets another one have Python. The thread that commits needs it for a moment
# after each statement; with Python's own 5 ms messages waited longer for that than for the disk.
_SWITCH_INTERVAL = 0.0005
_GRACE = 10.0  # seconds a stopping process gives to messages under way
_FLUSH_INTERVAL = 1.0  # seconds between two flushes of what was delivered


class _Server(Protocol):
    @property
    def connections(self) -> int: ...

    async def listen(self, sock: socket.socket) -> None: ...

    async def close(self, grace: float) -> None: ...


def run(sockets: Mapping[str, Sequence[socket.socket]], parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until `parent` (a pipe's reading end) says that the supervisor is gone."""
    # Short reads run on the loop itself (see executor); Django would refuse them there.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    sys.setswitchinterval(_SWITCH_INTERVAL)
    uvloop.run(_Process(sockets).serve(parent, ready))


class _Process:
    def __init__(self, sockets: Mapping[str, Sequence[socket.socket]]) -> None:
        self._sockets = sockets
        self._core = CpuAffinity(rate_counters.current_process() or 1)
        self._executor = Executor(conf.current().server_threads, self._core.on_contention, self._alone)
        self._servers: list[_Server] = []
        self._access: list[ImapServer | LineServer] = []
        self._stop = asyncio.Event()

    async def serve(self, parent: int, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        writer.open_now()
        plain = tls.load_certificates()
        asking = tls.load_certificates(asking=True) if conf.current().smtpd_tls_ask_ccert else plain
        self._certificates = {each for each in (plain, asking) if each}
        committer = Committer(self._executor)
        for name, sockets in self._sockets.items():
            certificates = asking if name in SMTP_SERVICES else plain
            server = self._make(name, certificates.context if certificates else None, committer)
            for sock in sockets:
                await server.listen(sock)
        hearing = notifications.open_listener(notifications.SERVERS)
        loop.add_reader(hearing, self._hear, hearing)
        loop.add_reader(parent, self._stop.set)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # the supervisor passes it on as SIGTERM
        loop.add_signal_handler(signal.SIGHUP, self._later, self._reload)
        await self._executor.run_in_pool(_recover)
        settling = loop.create_task(self._settle(committer))
        heartbeat.start()
        ready()
        await self._stop.wait()
        loop.remove_reader(hearing)
        notifications.close_listener(hearing, notifications.SERVERS)
        await asyncio.gather(*(server.close(_GRACE) for server in self._servers))
        settling.cancel()
        await self._executor.run_in_pool(committer.publish)
        await self._executor.run_in_pool(_flush_to_disk)
        await self._executor.run_in_pool(_release_queue_ids)
        self._executor.close()

    def _alone(self) -> bool:
        return sum(server.connections for server in self._servers) < 2

    async def _settle(self, committer: Committer) -> None:
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL)
            self._core.release_if_idle()
            if committer.has_hidden:
                await self._executor.run_in_pool(committer.publish)
            if write_behind.has_pending():
                await self._executor.run_in_pool(_flush_to_disk)
            if queue_ids.is_low():
                await self._executor.run_in_pool(_reserve_queue_ids)
            if rate_counters.current_process() == 1 and connection.vendor == "sqlite":
                await self._executor.run_in_pool(_checkpoint)

    def _make(self, name: str, context: ssl.SSLContext | None, committer: Committer) -> _Server:
        server: _Server
        if name in ("imap", "imaps"):
            server = ImapServer(self._executor, context, implicit_tls=name == "imaps")
            self._access.append(server)
        elif name in ("pop3", "pop3s"):
            server = Pop3Server(self._executor, context, implicit_tls=name == "pop3s")
            self._access.append(server)
        elif name == "sieve":
            server = SieveServer(self._executor, context)
            self._access.append(server)
        else:
            server = SmtpServer(name, self._executor, context, committer)
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
            if kind == notifications.MAILBOX:
                changed.update(map(int, words))
            elif kind == notifications.SETTINGS:
                self._later(self._read_settings)
            elif kind == notifications.EVERYTHING:
                self._later(self._read_settings)
                for server in self._access:
                    changed.update(server.watched_ids)
        if changed:
            for server in self._access:
                server.heard(changed)

    def _later(self, function: Callable[[], None]) -> None:
        asyncio.get_running_loop().create_task(self._executor.run_in_pool(function))

    def _read_settings(self) -> None:
        conf.refresh()
        directory.clear_cache()
        for certificates in self._certificates:
            certificates.settings_changed()

    def _reload(self) -> None:
        """SIGHUP: settings and certificates anew, the log file reopened."""
        self._read_settings()
        writer.reopen()
        writer.write("master", "reloaded")
        for certificates in self._certificates:
            certificates.reload()


def _recover() -> None:
    """Nothing that goes wrong here keeps the system from starting: what is not restored stays carried."""
    try:
        if restored := write_behind.recover_messages():
            writer.write("master", f"restored {restored} messages after a power failure")
    except (OSError, DatabaseError) as error:
        writer.write("master", f"error: messages are not restored: {error}")


def _flush_to_disk() -> None:
    try:
        write_behind.flush_to_disk()
    except (OSError, DatabaseError) as error:
        writer.write("master", f"error: delivered messages are not durable in their files yet: {error}")


def _reserve_queue_ids() -> None:
    try:
        queue_ids.reserve_ahead()
    except (DatabaseError, TemporaryFault) as error:
        writer.write("master", f"error: no queue ids can be reserved: {error}")


def _release_queue_ids() -> None:
    with contextlib.suppress(DatabaseError):
        queue_ids.release()


def _checkpoint() -> None:
    try:
        cast(DatabaseWrapper, connection).checkpoint()
    except DatabaseError as error:
        writer.write("master", f"error: the database's log cannot be moved into its file: {error}")
