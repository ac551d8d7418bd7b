"""Bodies of requests, received in the event loop before a thread is taken for the page.

Called by `mailcore.asgi`. Threads are few (web_threads); one that waits for a stranger's next byte serves nobody. So a
body must be whole first: within web_request_time_limit and what web_min_data_rate adds, and within the ceiling of its
view. Where nobody is signed in that is ANONYMOUS bytes; views that take files (setting UPLOADS) have ceilings of their
own, from parameters. Beyond IN_MEMORY bytes a body waits in a temporary file, which only somebody signed in reaches.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import IO, Any

from django.conf import settings
from django.urls import Resolver404, resolve

from mailcore import conf

ANONYMOUS = 65_536  # bytes of a body from somebody who is not signed in: a sign-in form has a few hundred
IN_MEMORY = 1 << 20
_PIECE = 1 << 16
_SLACK = 65_536  # bytes of the other fields of a form that has a file

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class BodyRefused(Exception):
    """The body is too large or too slow; `status` says which."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class ClientGone(Exception):
    """The client closed the connection before its body was whole."""


class Body:
    """A body that is whole: `receive` gives it out as ASGI does, then what comes after it."""

    def __init__(self, content: IO[bytes], after: Receive) -> None:
        self._content = content
        self._after = after
        self._is_read = False

    async def receive(self) -> Any:
        if self._is_read:
            return await self._after()
        piece = self._content.read(_PIECE)
        self._is_read = len(piece) < _PIECE
        return {"type": "http.request", "body": piece, "more_body": not self._is_read}

    def close(self) -> None:
        self._content.close()


def ceiling_of(path: str) -> int:
    """Return the bytes a body sent to this path may have when its sender is signed in; 0: any number."""
    try:
        name = resolve(path).view_name
    except Resolver404:
        return ANONYMOUS
    parameters = conf.current()
    if name not in settings.UPLOADS:
        return parameters.web_body_limit
    limit = int(getattr(parameters, settings.UPLOADS[name]))
    # Twice: a message's files grow by a third as base64, and a page tells better than we what is a little too large.
    return max(2 * limit + _SLACK, parameters.web_body_limit) if limit else 0


async def receive_body(scope: Any, receive: Receive, is_signed_in: Callable[[], Awaitable[bool]]) -> Body:
    """Return the whole body of a request. Raises BodyRefused, ClientGone."""
    loop = asyncio.get_running_loop()
    ceiling = ceiling_of(scope["path"])
    announced = _announced(scope)
    if ceiling and announced > ceiling:
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    is_known = False
    if announced > ANONYMOUS:
        is_known = await _demand(is_signed_in)
    content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (closed with the Body)
    begun, size, more = loop.time(), 0, True
    try:
        while more:
            piece, more = await _next(receive, begun, size)
            size += len(piece)
            if ceiling and size > ceiling:
                raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if size > ANONYMOUS and not is_known:
                is_known = await _demand(is_signed_in)
            content.write(piece)
    except BaseException:
        content.close()
        raise
    content.seek(0)
    return Body(content, receive)


async def _demand(is_signed_in: Callable[[], Awaitable[bool]]) -> bool:
    if not await is_signed_in():
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return True


async def _next(receive: Receive, begun: float, size: int) -> tuple[bytes, bool]:
    parameters = conf.current()
    rate = parameters.web_min_data_rate
    allowed = parameters.web_request_time_limit + (size / rate if rate else 0)
    try:
        async with asyncio.timeout_at(begun + allowed):
            message = await receive()
    except TimeoutError:
        raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT) from None
    if message["type"] != "http.request":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def has_body(scope: Any) -> bool:
    """Return True where a body was announced (RFC 9112 §6.3)."""
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in scope["headers"])


def _announced(scope: Any) -> int:
    """Content-Length; 0 where there is none, or no number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(value) if value.isdigit() and len(value) < 20 else 0


async def refuse(send: Send, status: HTTPStatus) -> None:
    """Answer without a page, and end the connection: the rest of the body is not read."""
    text = f"{status.value} {status.phrase}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": text})
