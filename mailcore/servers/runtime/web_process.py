"""The web process: uvicorn on inherited sockets, Django (WSGI) in a pool of long-lived threads.

Pages are synchronous and keep their database and IMAP connections from request to request, so Django does not run under
its own ASGI handler, which starts a thread, and so a connection, per request.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from socket import socket

import uvicorn
import uvloop
from django.db import connections
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mailcore import conf
from mailcore.asgi import application
from mailcore.conf import caches
from mailcore.logs import writer
from mailcore.servers.runtime import heartbeat, web_connections
from mailcore.store.notify import notifications

_HEADER_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol with a deadline and a largest size of each request's header.

    uvicorn's own timeout ends with the first byte, and it has no limit of the size.

    It also counts connections by address (`web_connections`), and drops a client that does not read its response, which
    holds memory and, if the response is streamed, a thread.
    """

    _header_timer: asyncio.TimerHandle | None = None
    _header_size = 0  # bytes received of a header that is not complete
    _write_timer: asyncio.TimerHandle | None = None
    _counted_as = ""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_header_timer()
        self._counted_as = web_connections.register(self, self.client[0] if self.client else "")

    @property
    def is_idle(self) -> bool:
        """True between requests, and until the header of the first is complete."""
        return self.cycle is None or self.cycle.response_complete

    def drop(self) -> None:
        """Close the connection, even if its client has not read the last response."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        before = self._header_timer
        super().data_received(data)
        # A header that began within this data, after another request, is counted from the next data on.
        is_same = before is not None and self._header_timer is before
        self._header_size = self._header_size + len(data) if is_same else 0
        if self._header_size > conf.current().web_header_limit and not self.transport.is_closing():
            self.transport.write(_HEADER_TOO_LARGE)
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_header_timer()

    def on_headers_complete(self) -> None:
        self._cancel_header_timer()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_progress_later()

    def resume_writing(self) -> None:
        self._cancel_write_timer()
        super().resume_writing()

    def _check_progress_later(self) -> None:
        parameters = conf.current()
        seconds = parameters.web_request_time_limit
        unread = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(
            seconds, self._check_progress, unread - seconds * parameters.web_min_data_rate
        )

    def _check_progress(self, expected: int) -> None:
        """Drop the client unless at most `expected` bytes are left unread."""
        if self.transport.get_write_buffer_size() > max(expected, 0):
            self.transport.abort()
        else:
            self._check_progress_later()

    def _cancel_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_header_timer()
        self._cancel_write_timer()
        web_connections.unregister(self, self._counted_as)
        super().connection_lost(exc)

    def _start_header_timer(self) -> None:
        if self._header_timer is None:
            limit = conf.current().web_request_time_limit
            self._header_timer = self.loop.call_later(limit, self.transport.close)

    def _cancel_header_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None


def run_web_process(sockets: Sequence[socket], parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until `parent` (the reading end of a pipe) shows that the supervisor has died."""
    config = uvicorn.Config(
        application,
        http=_Protocol,
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=5,
        proxy_headers=False,
        backlog=conf.current().listen_backlog,
    )
    server = uvicorn.Server(config)

    async def serve() -> None:
        writer.open_now()
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_reader(parent)
            server.should_exit = True

        loop.add_reader(parent, stop)
        listener = notifications.open_listener(notifications.WEBS)
        loop.add_reader(
            listener, lambda: notifications.read_notifications(listener) and loop.run_in_executor(None, _read_settings)
        )
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.run_in_executor(None, _reload))
        serving = asyncio.create_task(server.serve(sockets=list(sockets)))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            heartbeat.start()
            ready()
        await serving
        loop.remove_reader(listener)
        notifications.close_listener(listener, notifications.WEBS)

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # Ignored until the loop handles it.
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    uvloop.run(serve())


def _read_settings() -> None:
    """Read changed parameters, domains and accounts."""
    conf.refresh()
    caches.clear(caches.Source.DATABASE)
    connections.close_all()  # Of this thread, which may stay unused for long.


def _reload() -> None:
    """Handle SIGHUP: read the settings and reopen the log file."""
    _read_settings()
    caches.clear(caches.Source.LOGINS)
    writer.reopen()
    writer.write("master", "web: reloaded")
