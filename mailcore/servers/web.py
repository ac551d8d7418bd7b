"""The web process: uvicorn on sockets it was given, Django (WSGI) in a pool of lasting threads.

Pages are synchronous and keep their database and IMAP connections from request to request, which is why
Django does not run under its own ASGI handler: that one starts a thread, and so a connection, a request.
"""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from socket import socket

import uvicorn
import uvloop

from mailcore import conf
from mailcore.asgi import application
from mailcore.servers import heartbeat


def run(sockets: Sequence[socket], parent: int, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM, or until `parent` (a pipe's reading end) says that the supervisor is gone."""
    config = uvicorn.Config(
        application,
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
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.remove_reader(parent)
            server.should_exit = True

        loop.add_reader(parent, stop)
        serving = asyncio.create_task(server.serve(sockets=list(sockets)))
        while not server.started and not serving.done():
            await asyncio.sleep(0.01)
        if server.started:
            heartbeat.start()
            ready()
        await serving

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    uvloop.run(serve())
