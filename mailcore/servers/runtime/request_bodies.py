"""Request bodies, received on the event loop before a thread is used for the page.

Called by `mailcore.asgi`. Threads are few (web_threads); one that waits for a slow client serves no request. So a body
must be complete first: within web_request_time_limit plus the time that web_min_data_rate allows, and within the size
limit of its view. For unauthenticated clients that is ANONYMOUS bytes; views that accept files (setting UPLOADS) have
limits of their own, from parameters. Beyond IN_MEMORY bytes a body is buffered in a temporary file, which only an
authenticated user reaches.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import IO, Any

from django.conf import settings
from django.urls import Resolver404, resolve

from mailcore import conf

ANONYMOUS = 65_536  # Maximum bytes of an unauthenticated client's body: a log-in form has a few hundred.
IN_MEMORY = 1 << 20
_CHUNK = 1 << 16
_FORM_OVERHEAD = 65_536  # Bytes of the other fields of a form that has a file.

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class BodyRefused(Exception):
    """The body is too large or too slow, as `status` says."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class ClientGone(Exception):
    """The client closed the connection before its body was complete."""


class Body:
    """A complete body: `receive` returns it as ASGI does, then the messages after it."""

    def __init__(self, content: IO[bytes], after: Receive) -> None:
        self._content = content
        self._after = after
        self._is_read = False

    async def receive(self) -> Any:
        if self._is_read:
            return await self._after()
        chunk = self._content.read(_CHUNK)
        self._is_read = len(chunk) < _CHUNK
        return {"type": "http.request", "body": chunk, "more_body": not self._is_read}

    def close(self) -> None:
        self._content.close()


def body_limit(path: str) -> int:
    """Return the maximum bytes of an authenticated user's body for this path; 0 for no limit."""
    try:
        name = resolve(path).view_name
    except Resolver404:
        return ANONYMOUS
    parameters = conf.current()
    if name not in settings.UPLOADS:
        return parameters.web_body_limit
    limit = int(getattr(parameters, settings.UPLOADS[name]))
    # Doubled: a message's files grow by a third as base64, and the page gives a better error for a slight excess.
    return max(2 * limit + _FORM_OVERHEAD, parameters.web_body_limit) if limit else 0


async def receive_body(scope: Any, receive: Receive, is_signed_in: Callable[[], Awaitable[bool]]) -> Body:
    """Receive the whole body of a request. Raise BodyRefused or ClientGone."""
    loop = asyncio.get_running_loop()
    limit = body_limit(scope["path"])
    content_length = _content_length(scope)
    if limit and content_length > limit:
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    is_authenticated = False
    if content_length > ANONYMOUS:
        is_authenticated = await _require_login(is_signed_in)
    content: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115  (closed with the Body)
    started, size, has_more = loop.time(), 0, True
    try:
        while has_more:
            chunk, has_more = await _receive_chunk(receive, started, size)
            size += len(chunk)
            if limit and size > limit:
                raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            if size > ANONYMOUS and not is_authenticated:
                is_authenticated = await _require_login(is_signed_in)
            content.write(chunk)
    except BaseException:
        content.close()
        raise
    content.seek(0)
    return Body(content, receive)


async def _require_login(is_signed_in: Callable[[], Awaitable[bool]]) -> bool:
    if not await is_signed_in():
        raise BodyRefused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return True


async def _receive_chunk(receive: Receive, started: float, size: int) -> tuple[bytes, bool]:
    parameters = conf.current()
    rate = parameters.web_min_data_rate
    allowed = parameters.web_request_time_limit + (size / rate if rate else 0)
    try:
        async with asyncio.timeout_at(started + allowed):
            message = await receive()
    except TimeoutError:
        raise BodyRefused(HTTPStatus.REQUEST_TIMEOUT) from None
    if message["type"] != "http.request":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def has_body(scope: Any) -> bool:
    """Return True if a body was announced (RFC 9112 §6.3)."""
    return any(name in (b"content-length", b"transfer-encoding") and value != b"0" for name, value in scope["headers"])


def _content_length(scope: Any) -> int:
    """Return the Content-Length, 0 if it is missing or not a number."""
    value = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(value) if value.isdigit() and len(value) < 20 else 0


async def refuse(send: Send, status: HTTPStatus) -> None:
    """Send an error response without a page and close the connection; the rest of the body is not read."""
    text = f"{status.value} {status.phrase}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": text})
