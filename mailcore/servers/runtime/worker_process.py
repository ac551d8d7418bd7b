"""A server process: an event loop that serves SMTP, LMTP, IMAP, POP3 and ManageSieve on inherited sockets.

Started by the supervisor, once per core; all processes accept on shared sockets.
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
from mailcore.conf import caches
from mailcore.logs import writer
from mailcore.mta.queue import queue_ids
from mailcore.servers.concurrency.cpu_affinity import CpuAffinity
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.imap import ImapServer
from mailcore.servers.managesieve.session import SieveServer
from mailcore.servers.pop3.session import Pop3Server
from mailcore.servers.runtime import heartbeat
from mailcore.servers.smtp import SmtpServer
from mailcore.servers.smtp.committer import Committer
from mailcore.servers.smtp.smtp_server import SERVICES as SMTP_SERVICES
from mailcore.servers.transport import tls
from mailcore.servers.transport.listener import LineServer
from mailcore.sqlite.base import DatabaseWrapper
from mailcore.store.maildir import write_behind
from mailcore.store.notify import notifications
from mailcore.values import TemporaryFault

# sys.setswitchinterval: a shorter GIL switch interval. The commit thread needs the GIL for a moment after each
# statement; with Python's default of 5 ms messages waited longer for it than for the disk.
_SWITCH_INTERVAL = 0.0005
_GRACE = 10.0  # Seconds that a stopping process gives to messages in progress.
_FLUSH_INTERVAL = 1.0  # Seconds between two flushes of delivered messages.


class _Server(Protocol):
    @property
    def connections(self) -> int: ...

    async def listen(self, sock: socket.socket) -> None: ...

    async def close(self, grace: float) -> None: ...


def run(sockets: Mapping[str, Sequence[socket.socket]], parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until `parent` (the reading end of a pipe) shows that the supervisor has died."""
    # Short reads run on the loop itself (see `executor`); Django would refuse them there.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    sys.setswitchinterval(_SWITCH_INTERVAL)
    uvloop.run(_Process(sockets).serve(parent, ready))


class _Process:
    def __init__(self, sockets: Mapping[str, Sequence[socket.socket]]) -> None:
        self._sockets = sockets
        self._affinity = CpuAffinity(rate_counters.current_process() or 1)
        self._executor = Executor(conf.current().server_threads, self._affinity.on_contention, self._has_single_session)
        self._servers: list[_Server] = []
        self._access_servers: list[ImapServer | LineServer] = []
        self._stop = asyncio.Event()

    async def serve(self, parent: int, ready: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        writer.open_now()
        plain = tls.load_certificates()
        with_client_certs = (
            tls.load_certificates(request_client_cert=True) if conf.current().smtpd_tls_ask_ccert else plain
        )
        self._certificates = {each for each in (plain, with_client_certs) if each}
        committer = Committer(self._executor)
        for name, sockets in self._sockets.items():
            certificates = with_client_certs if name in SMTP_SERVICES else plain
            server = self._make_server(name, certificates.context if certificates else None, committer)
            for sock in sockets:
                await server.listen(sock)
        listener = notifications.open_listener(notifications.SERVERS)
        loop.add_reader(listener, self._on_notifications, listener)
        loop.add_reader(parent, self._stop.set)
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # The supervisor forwards it as SIGTERM.
        loop.add_signal_handler(signal.SIGHUP, self._run_in_background, self._reload)
        await self._executor.run_in_pool(_recover)
        periodic_work = loop.create_task(self._run_periodic_work(committer))
        heartbeat.start()
        ready()
        await self._stop.wait()
        loop.remove_reader(listener)
        notifications.close_listener(listener, notifications.SERVERS)
        await asyncio.gather(*(server.close(_GRACE) for server in self._servers))
        periodic_work.cancel()
        await self._executor.run_in_pool(committer.publish)
        await self._executor.run_in_pool(_flush_to_disk)
        await self._executor.run_in_pool(_release_queue_ids)
        self._executor.close()

    def _has_single_session(self) -> bool:
        return sum(server.connections for server in self._servers) < 2

    async def _run_periodic_work(self, committer: Committer) -> None:
        while True:
            await asyncio.sleep(_FLUSH_INTERVAL)
            self._affinity.release_if_idle()
            if committer.has_unpublished:
                await self._executor.run_in_pool(committer.publish)
            if write_behind.has_pending():
                await self._executor.run_in_pool(_flush_to_disk)
            if queue_ids.is_low():
                await self._executor.run_in_pool(_reserve_queue_ids)
            if rate_counters.current_process() == 1 and connection.vendor == "sqlite":
                await self._executor.run_in_pool(_checkpoint)

    def _make_server(self, name: str, context: ssl.SSLContext | None, committer: Committer) -> _Server:
        server: _Server
        if name in ("imap", "imaps"):
            server = ImapServer(self._executor, context, implicit_tls=name == "imaps")
            self._access_servers.append(server)
        elif name in ("pop3", "pop3s"):
            server = Pop3Server(self._executor, context, implicit_tls=name == "pop3s")
            self._access_servers.append(server)
        elif name == "sieve":
            server = SieveServer(self._executor, context)
            self._access_servers.append(server)
        else:
            server = SmtpServer(name, self._executor, context, committer)
        self._servers.append(server)
        return server

    def _on_notifications(self, listener: socket.socket) -> None:
        """Handle the pending notifications together."""
        changed: set[int] = set()
        while True:
            try:
                kind, *words = listener.recv(1 << 20).split()
            except BlockingIOError:
                break
            if kind == notifications.MAILBOX:
                changed.update(map(int, words))
            elif kind == notifications.SETTINGS:
                self._run_in_background(self._read_settings)
            elif kind == notifications.EVERYTHING:
                self._run_in_background(self._read_settings)
                for server in self._access_servers:
                    changed.update(server.watched_ids)
        if changed:
            for server in self._access_servers:
                server.on_notifications(changed)

    def _run_in_background(self, function: Callable[[], None]) -> None:
        asyncio.get_running_loop().create_task(self._executor.run_in_pool(function))

    def _read_settings(self) -> None:
        conf.refresh()
        caches.clear(caches.Source.DATABASE)
        for certificates in self._certificates:
            certificates.settings_changed()

    def _reload(self) -> None:
        """Handle SIGHUP: read settings and certificates and reopen the log file."""
        self._read_settings()
        writer.reopen()
        writer.write("master", "reloaded")
        for certificates in self._certificates:
            certificates.reload()


def _recover() -> None:
    """Restore messages after a power failure.

    An error must not stop the start, since their content stays in the database.
    """
    try:
        if restored := write_behind.recover_messages():
            writer.write("master", f"restored {restored} messages after a power failure")
    except (OSError, DatabaseError) as error:
        writer.write("master", f"error: cannot restore messages: {error}")


def _flush_to_disk() -> None:
    try:
        write_behind.flush_to_disk()
    except (OSError, DatabaseError) as error:
        writer.write("master", f"error: fsync of delivered messages failed; will retry: {error}")


def _reserve_queue_ids() -> None:
    try:
        queue_ids.reserve_ahead()
    except (DatabaseError, TemporaryFault) as error:
        writer.write("master", f"error: cannot reserve queue ids: {error}")


def _release_queue_ids() -> None:
    with contextlib.suppress(DatabaseError):
        queue_ids.release()


def _checkpoint() -> None:
    try:
        cast(DatabaseWrapper, connection).checkpoint()
    except DatabaseError as error:
        writer.write("master", f"error: SQLite WAL checkpoint failed: {error}")
