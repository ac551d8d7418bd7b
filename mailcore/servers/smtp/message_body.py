"""From the wire to the queue: the content of one message as it comes in, and the commit it shares.

Memory stays flat whatever a client sends: what exceeds ContentFile.spill goes to the disk in a thread,
what exceeds message_size_limit is read and dropped.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from mailcore import conf
from mailcore.mta.delivery import direct
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.content_files import ContentFile
from mailcore.mta.routing import route
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.concurrency.group_commit import Batcher
from mailcore.values import NewMessage, Reply, TemporaryFault
from mailcore.wire.message import trace_headers
from mailcore.wire.sender_auth.authentication_results import ResultsFilter

Taken = tuple[NewMessage, tuple[str, ...]]  # as it was entered, and what there is to log


class Committer:
    """Group commit: messages that are ready while a transaction is under way share the next one. All of them are
    entered by one thread, whose connection knows the database's pages as it left them, or by the loop while it serves
    one session only (see `turns`).

    Rows of delivered messages in the queue are written together, when no message has come for QUIET seconds; while they
    come without a break, AT_ONCE or those of LATEST seconds."""

    AT_ONCE = 250
    QUIET = 0.05
    LATEST = 1.0

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._turns = Batcher(self._commit, executor, self._afterwards)
        self._lock = threading.Lock()  # for these: delivered messages yet to be revealed, and yet to be remembered
        self._hidden: list[direct.DirectDelivery] = []
        self._delivered: list[direct.DirectDelivery] = []
        self._timer: asyncio.TimerHandle | None = None
        self._first = self._last = 0.0  # loop's time: of the messages that this timer is for
        self._owing = False

    def submit(self, file: ContentFile, message: NewMessage) -> "asyncio.Future[Taken]":
        """Done when the message is ours for good; TemporaryFault when it is not: its file is gone. The message as it was
        entered (its queue id may have been taken), and the lines to log about its delivery, when that has happened as
        well. Who stops waiting changes nothing."""
        answer = self._turns.submit((file, message))
        loop = asyncio.get_running_loop()
        self._owing, self._last = True, loop.time()
        if self._timer is None:
            self._first, self._timer = self._last, loop.call_later(self.QUIET, self._look, loop)
        return answer

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        if now - self._last < self.QUIET and now - self._first < self.LATEST:
            self._timer = loop.call_later(self.QUIET, self._look, loop)
        else:
            self.record_history()

    def record_history(self) -> None:
        """See that the queue knows the story of all messages so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._owing:
            self._owing = False
            self._executor.commit(self._remember)  # behind those that are under way

    def _commit(self, group: Sequence[tuple[ContentFile, NewMessage]]) -> list[Taken | Exception]:
        """Make the messages ours: delivered, or durable and queued. Their log lines, or what went wrong."""
        try:
            delivered = direct.deliver_directly(group)
        except TemporaryFault as fault:
            for file, _ in group:
                _discard(file)
            return [fault] * len(group)
        with self._lock:
            self._hidden += delivered.values()
            self._delivered += delivered.values()
        answers: dict[int, Taken | Exception] = {key: (each.message, each.log_lines) for key, each in delivered.items()}
        left = [(file, message) for file, message in group if message.id not in answers]
        answers |= _enqueue_group(left)
        for file, message in left:
            if isinstance(answers[message.id], Exception):
                _discard(file)
        return [answers[message.id] for _, message in group]

    def _afterwards(self) -> None:
        self.publish()
        with self._lock:
            many = len(self._delivered) >= self.AT_ONCE
        if many:
            self._remember()

    @property
    def has_hidden(self) -> bool:
        """Are there messages to `publish`, such as some for which the disk has just refused it?"""
        return bool(self._hidden)

    def publish(self) -> None:
        """Give the files of entered messages their places; those that the disk refuses stay for the next time."""
        with self._lock:
            hidden, self._hidden = self._hidden, []
        if refused := direct.publish(hidden):
            with self._lock:
                self._hidden += refused

    def _remember(self) -> None:
        with self._lock:
            delivered, self._delivered = self._delivered, []
        direct.record_history(delivered)


def _discard(file: ContentFile) -> None:
    with contextlib.suppress(OSError):
        file.discard()


def _enqueue_group(group: Sequence[tuple[ContentFile, NewMessage]]) -> dict[int, Taken | Exception]:
    """Messages that a courier is to deliver, as they were entered, or what went wrong; by the ids they came with."""
    answers: dict[int, Taken | Exception] = {}
    refused = content_files.finish_files([file for file, _ in group])
    whole: list[tuple[ContentFile, NewMessage]] = []
    for file, message in group:
        if file in refused:
            answers[message.id] = TemporaryFault(f"queue file write error: {refused[file]}")
        else:
            whole.append((file, message))
    return answers | _entered(whole)


def _entered(group: Sequence[tuple[ContentFile, NewMessage]]) -> dict[int, Taken | Exception]:
    messages = [replace(message, id=file.id, checksum=file.checksum) for file, message in group]
    try:
        enqueue.enqueue(messages)
    except TemporaryFault:
        # One message's trouble is not the others': each tries alone.
        return {message.id: _entered_alone(file, message) for file, message in group}
    return {before.id: (message, ()) for (_, before), message in zip(group, messages, strict=True)}


def _entered_alone(file: ContentFile, message: NewMessage) -> Taken | Exception:
    try:
        return enqueue.enqueue_file(file, message), ()
    except TemporaryFault as fault:
        return fault


class MessageBody:
    """One message's content, between 354 and the answer to its end. TemporaryFault: there is no queue id for it."""

    def __init__(self, executor: Executor, limit: int) -> None:
        self.file = ContentFile()
        self.file.open(reserved=True)
        self.size = 0  # bytes the client sent, dots and our headers not counted
        self.bare = False  # a CR or LF stood alone
        self.received_at = 0.0  # seconds; when DATA was answered
        self.trace_size = 0  # bytes of local trace headers at the top of the file
        self.complete: Callable[[bytes], bytes] | None = None  # header → headers to add to it (RFC 6409 §8)
        self._executor = executor
        self._limit = limit
        self._results = ResultsFilter(route.is_own_name)
        self._head = bytearray()
        self._head_complete = False
        self._header = b""  # of what has come so far, once somebody asked
        self._header_limit = conf.current().header_size_limit

    @property
    def id(self) -> int:
        return self.file.id

    @property
    def queue_id(self) -> str:
        return f"{self.id:X}"

    def write_headers(self, headers: bytes) -> None:
        """Our own headers, on top."""
        self.file.write(headers)

    @property
    def is_too_big(self) -> bool:
        return bool(self._limit) and self.size > self._limit

    async def write_chunk(self, content: bytes) -> None:
        """More content, dots already taken out."""
        self.size += len(content)
        if self.is_too_big:
            return
        await self._keep(self._results.feed(content))

    async def _keep(self, content: bytes) -> None:
        if not self._head_complete:
            searched = max(len(self._head) - 3, 0)
            self._head += content
            # Only what is new is searched: a client may send a header of 100 KB in pieces of one byte.
            ended = self._head.find(b"\r\n\r\n", searched) >= 0
            self._head_complete = ended or len(self._head) > self._header_limit
            if self.complete is not None:
                if not self._head_complete:
                    return  # until it is known what is missing
                content = self._completed(self.complete)
        self.file.write(content)
        if self.file.full:
            await self._executor.run_in_pool(self.file.flush)

    async def release(self) -> None:
        """All content has come: write what the filter held back of it."""
        if rest := self._results.finish():
            await self._keep(rest)

    def finish(self) -> None:
        """The message is taken: write what waited for the end of its header."""
        if self.complete is not None and not self._head_complete:
            self.file.write(self._completed(self.complete))

    def _completed(self, complete: Callable[[bytes], bytes]) -> bytes:
        header, rest = trace_headers.split_header(bytes(self._head))
        completed = header + complete(header) + rest
        self._head, self._header = bytearray(completed), b""
        return completed

    def header(self) -> bytes:
        if not self._header:
            self._header = trace_headers.split_off_header(bytes(self._head[: self._header_limit]))
        return self._header

    def find_refusal(self) -> Reply | None:
        """Why this content is not taken, whoever sends it; None if it is."""
        if self.is_too_big:
            return Reply(552, "5.3.4", "Error: message file too big")
        if self.bare and conf.current().smtpd_forbid_bare_newline:
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
