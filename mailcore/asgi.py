"""The web application as uvicorn serves it: Django's pages behind a bridge from ASGI to WSGI, and beside
them the streams of news, which live in the event loop."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from a2wsgi import WSGIMiddleware
from a2wsgi.wsgi import WSGIResponder
from django.conf import settings
from django.utils.module_loading import import_string

from mailcore import conf
from mailcore.servers.runtime import request_bodies
from mailcore.store.auth import session_users
from mailcore.wsgi import application as pages

RESPONSE_CHUNK = 1 << 18  # bytes of a response that wait in the thread until it is whole, so that they cross at once


class _Responder(WSGIResponder):
    """A page crosses from its thread to the loop in one step: each step costs two wake-ups and an answer."""

    _waiting: list[Any]
    _size = 0

    def wsgi(self, environ: Any, start_response: Any) -> None:
        self._waiting = []
        super().wsgi(environ, start_response)

    def send(self, message: Any) -> None:
        self._waiting.append(message)
        self._size += len(message.get("body", b""))
        is_whole = message["type"] == "http.response.body" and not message.get("more_body")
        if is_whole or self._size > RESPONSE_CHUNK:
            super().send(self._waiting)
            self._waiting, self._size = [], 0

    async def sender(self, send: Any) -> None:
        async def each(messages: list[Any]) -> None:
            for message in messages:
                await send(message)

        await super().sender(each)


class _Pages(WSGIMiddleware):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await _Responder(self.app, self.executor, self.send_queue_size)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


_django_pages = _Pages(pages, workers=conf.current().web_threads, send_queue_size=4)
_push_stream = import_string(settings.WEBMAIL["EVENTS"])
PUSH_PATH = "/events"


_asking = ThreadPoolExecutor(2, thread_name_prefix="sessions")


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        await _django_pages(scope, receive, send)
        return
    # X_Forwarded_For and X-Forwarded-For are one variable for WSGI: who may write the first would be believed.
    scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    if scope["path"] == PUSH_PATH:
        await _push_stream(scope, receive, send)
        return
    if not request_bodies.has_body(scope):
        await _django_pages(scope, receive, send)
        return
    try:
        body = await request_bodies.receive_body(scope, receive, lambda: _is_signed_in(scope))
    except request_bodies.BodyRefused as refused:
        await request_bodies.refuse(send, refused.status)
        return
    except request_bodies.ClientGone:
        return
    try:
        await _django_pages(scope, body.receive, send)
    finally:
        body.close()


async def _is_signed_in(scope: Any) -> bool:
    headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
    return await asyncio.get_running_loop().run_in_executor(_asking, session_users.is_signed_in, headers)
