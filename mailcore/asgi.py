"""The ASGI application that uvicorn serves: Django's pages in threads, and the push streams in the event loop."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi import WSGIResponder
from django.conf import settings
from django.utils.module_loading import import_string

from mailcore import conf
from mailcore.servers.runtime import request_bodies
from mailcore.store.auth import session_users
from mailcore.wsgi import application as pages

# bytes of a response that are collected in the thread, so that they pass to the event loop at once
RESPONSE_CHUNK = 1 << 18


_PATIENCE = 1.0  # seconds that a thread waits for a client before that counts


class SlowClient(Exception):
    """A client reads a large response too slowly while all threads but two wait for such clients."""


class _Waiting:
    """The number of threads that wait for slow clients: at most all but two, which are left for pages."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def __enter__(self) -> None:
        with self._lock:
            if self._count >= max(1, conf.current().web_threads - 2):
                raise SlowClient
            self._count += 1

    def __exit__(self, *_fault: object) -> None:
        with self._lock:
            self._count -= 1


_waiting = _Waiting()


class _Responder(WSGIResponder):
    """Responder that passes a page from its thread to the event loop in one step; each step costs two wake-ups.

    Of a response larger than RESPONSE_CHUNK the thread waits for the client. `web_process` drops who reads nothing;
    but who reads little would stop all pages with as many connections as there are threads.
    """

    _collected: list[Any]
    _size = 0

    def wsgi(self, environ: Any, start_response: Any) -> None:
        self._collected = []
        super().wsgi(environ, start_response)

    def send(self, message: Any) -> None:
        self._collected.append(message)
        self._size += len(message.get("body", b""))
        is_complete = message["type"] == "http.response.body" and not message.get("more_body")
        if is_complete or self._size > RESPONSE_CHUNK:
            self._pass_on(self._collected)
            self._collected, self._size = [], 0

    def _pass_on(self, collected: list[Any]) -> None:
        future = asyncio.run_coroutine_threadsafe(self.send_queue.put(collected), self.loop)
        try:
            future.result(_PATIENCE)
            return
        except TimeoutError:
            pass
        try:
            with _waiting:
                future.result()
        finally:
            future.cancel()

    async def sender(self, send: Any) -> None:
        async def send_all(messages: list[Any]) -> None:
            for message in messages:
                await send(message)

        await super().sender(send_all)


class _Pages(WSGIMiddleware):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            with suppress(SlowClient):  # uvicorn closes a connection whose response is incomplete
                await _Responder(self.app, self.executor, self.send_queue_size)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_django_pages = _Pages(pages, workers=conf.current().web_threads, send_queue_size=4)
_push_stream = import_string(settings.WEBMAIL["EVENTS"])
PUSH_PATH = "/events"


# Statuses of a wrong or refused secret. Such responses wait for auth_failure_delay, in the event loop, not in a thread.
FAILURES = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)

_session_checks = ThreadPoolExecutor(2, thread_name_prefix="sessions")


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Serve one connection: a page, or the push stream."""
    if scope["type"] != "http":
        await _django_pages(scope, receive, send)
        return
    # X_Forwarded_For and X-Forwarded-For are one variable in WSGI, so a client could forge the address with the first.
    scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    if scope["path"] == PUSH_PATH:
        await _push_stream(scope, receive, send)
        return
    delayed = _delay_failures(send)
    if not request_bodies.has_body(scope):
        await _django_pages(scope, receive, delayed)
        return
    try:
        body = await request_bodies.receive_body(scope, receive, lambda: _is_signed_in(scope))
    except request_bodies.BodyRefused as refusal:
        await request_bodies.refuse(send, refusal.status)
        return
    except request_bodies.ClientGone:
        return
    try:
        await _django_pages(scope, body.receive, delayed)
    finally:
        body.close()


def _delay_failures(send: request_bodies.Send) -> request_bodies.Send:
    """Return a `send` that delays the responses of failed attempts, so that a connection cannot repeat them at once."""

    async def send_delayed(message: Any) -> None:
        if message["type"] == "http.response.start" and message["status"] in FAILURES:
            await asyncio.sleep(conf.current().auth_failure_delay)
        await send(message)

    return send_delayed


async def _is_signed_in(scope: Any) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    return await asyncio.get_running_loop().run_in_executor(_session_checks, session_users.is_signed_in, headers)
