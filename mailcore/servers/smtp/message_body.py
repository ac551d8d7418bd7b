"""The body of one message as it is received.

Memory use is bounded whatever a client sends: content beyond ContentFile.spill is written to the disk in a thread,
content beyond message_size_limit is read and dropped.
"""

import contextlib
from collections.abc import Awaitable, Callable

from mailcore import conf
from mailcore.mta.queue.content_files import ContentFile
from mailcore.mta.routing import route
from mailcore.servers.concurrency.executor import Executor
from mailcore.values import Reply
from mailcore.wire.message import trace_headers
from mailcore.wire.sender_auth.authentication_results import ResultsFilter


class MessageBody:
    """The content of one message, from 354 to the end of data. Raise TemporaryFault if no queue id is available."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.file = ContentFile()
        self.file.open(reserved=True)
        self.size = 0  # Bytes the client sent, without dot-stuffing and our headers.
        self.has_bare_newline = False  # The content had a bare CR or LF.
        self.received_at = 0.0  # Time of the reply to DATA, in seconds.
        self.trace_size = 0  # Bytes of local trace headers at the top of the file.
        # Completes the header of a submission (RFC 6409 §8); the rejection is answered after the content.
        self.complete_header: Callable[[bytes], Awaitable[tuple[Reply | None, bytes]]] | None = None
        self._header_refusal: Reply | None = None
        self._executor = executor
        self._limit = limit
        self._results_filter = ResultsFilter(route.is_own_name)
        self._head = bytearray()
        self._head_complete = False
        self._header = b""  # Cache of `header`.
        self._header_limit = conf.current().header_size_limit

    @property
    def id(self) -> int:
        return self.file.id

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    def write_headers(self, headers: bytes) -> None:
        """Write our own headers, at the top."""
        self.file.write(headers)

    @property
    def is_too_big(self) -> bool:
        return bool(self._limit) and self.size > self._limit

    async def write_chunk(self, content: bytes) -> None:
        """Write content, without dot-stuffing."""
        self.size += len(content)
        if self.is_too_big:
            return
        await self._append(self._results_filter.feed(content))

    async def _append(self, content: bytes) -> None:
        if not self._head_complete:
            searched = max(len(self._head) - 3, 0)
            self._head += content
            # Only new data is searched: a client may send a header of 100 KB in pieces of one byte.
            complete = self._head.find(b"\r\n\r\n", searched) >= 0
            self._head_complete = complete or len(self._head) > self._header_limit
            if self.complete_header is not None:
                if not self._head_complete:
                    return  # Until it is known which headers are missing.
                content = await self._completed_header(self.complete_header)
        self.file.write(content)
        if self.file.full:
            await self._executor.run_in_pool(self.file.flush)

    async def end_content(self) -> None:
        """End the content: write the data that the filter held back, or that waited for the end of the header."""
        if rest := self._results_filter.finish():
            await self._append(rest)
        if self.complete_header is not None and not self._head_complete and not self.is_too_big:
            self.file.write(await self._completed_header(self.complete_header))

    async def _completed_header(self, complete: Callable[[bytes], Awaitable[tuple[Reply | None, bytes]]]) -> bytes:
        header, rest = trace_headers.split_header(bytes(self._head))
        self._header_refusal, header = await complete(header)
        completed = header + rest
        self._head, self._header = bytearray(completed), b""
        return completed

    def header(self) -> bytes:
        if not self._header:
            self._header = trace_headers.split_off_header(bytes(self._head[: self._header_limit]))
        return self._header

    def find_refusal(self) -> Reply | None:
        """Return the rejection of this content for any sender, None if it is acceptable."""
        if self.is_too_big:
            return Reply(552, "5.3.4", "Error: message file too big")
        if self.has_bare_newline and conf.current().smtpd_forbid_bare_newline:
            return Reply(550, "5.5.2", "Error: bare <LF> or bare <CR> received")
        if trace_headers.count_hops(self.header()) > conf.current().hopcount_limit:
            return Reply(554, "5.4.0", "Error: too many hops")
        return self._header_refusal

    async def discard(self) -> None:
        with contextlib.suppress(OSError):
            if self.file.in_memory:
                self.file.discard()
            else:
                await self._executor.run_in_pool(self.file.discard)
