"""The body of one message as it is received.

Memory use is bounded whatever a client sends: content beyond ContentFile.spill is written to the disk in a thread,
content beyond message_size_limit is read and dropped.
"""

import contextlib
from collections.abc import Callable

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
        self.add_headers: Callable[[bytes], bytes] | None = None  # Header → headers to add to it (RFC 6409 §8).
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
            if self.add_headers is not None:
                if not self._head_complete:
                    return  # Until it is known which headers are missing.
                content = self._completed_header(self.add_headers)
        self.file.write(content)
        if self.file.full:
            await self._executor.run_in_pool(self.file.flush)

    async def end_content(self) -> None:
        """End the content: write the data that the filter held back."""
        if rest := self._results_filter.finish():
            await self._append(rest)

    def finish(self) -> None:
        """Complete an accepted message: write the data that waited for the end of its header."""
        if self.add_headers is not None and not self._head_complete:
            self.file.write(self._completed_header(self.add_headers))

    def _completed_header(self, add_headers: Callable[[bytes], bytes]) -> bytes:
        header, rest = trace_headers.split_header(bytes(self._head))
        completed = header + add_headers(header) + rest
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
        return None

    async def discard(self) -> None:
        with contextlib.suppress(OSError):
            if self.file.in_memory:
                self.file.discard()
            else:
                await self._executor.run_in_pool(self.file.discard)
