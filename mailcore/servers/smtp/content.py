"""From the wire to the queue: the content of one letter as it comes in, and the commit it shares.

Memory stays flat whatever a client sends: what exceeds ContentFile.spill goes to the disk in a thread,
what exceeds message_size_limit is read and dropped.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from mailcore import conf
from mailcore.post import direct, files, intake, route
from mailcore.post.files import ContentFile
from mailcore.servers.bridge import Bridge
from mailcore.servers.turns import Turns
from mailcore.terms import Letter, Reply, TemporaryFault
from mailcore.wire import trace
from mailcore.wire.authres import ResultsFilter

Taken = tuple[Letter, tuple[str, ...]]  # as it was entered, and what there is to log


class Committer:
    """Group commit: letters that are ready while a transaction is under way share the next one. All of them are
    entered by one thread, whose connection knows the database's pages as it left them, or by the loop while it serves
    one session only (see `turns`).

    Rows of delivered letters in the queue are written together, when no letter has come for QUIET seconds; while they
    come without a break, AT_ONCE or those of LATEST seconds."""

    AT_ONCE = 250
    QUIET = 0.05
    LATEST = 1.0

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge
        self._turns = Turns(self._commit, bridge, self._afterwards)
        self._lock = threading.Lock()  # for these: delivered letters yet to be revealed, and yet to be remembered
        self._hidden: list[direct.Delivered] = []
        self._delivered: list[direct.Delivered] = []
        self._timer: asyncio.TimerHandle | None = None
        self._first = self._last = 0.0  # loop's time: of the letters that this timer is for
        self._owing = False

    def take_in(self, file: ContentFile, letter: Letter) -> "asyncio.Future[Taken]":
        """Done when the letter is ours for good; TemporaryFault when it is not: its file is gone. The letter as it was
        entered (its queue id may have been taken), and the lines to log about its delivery, when that has happened as
        well. Who stops waiting changes nothing."""
        answer = self._turns.do((file, letter))
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
            self.remember()

    def remember(self) -> None:
        """See that the queue knows the story of all letters so far."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._owing:
            self._owing = False
            self._bridge.commit(self._remember)  # behind those that are under way

    def _commit(self, group: Sequence[tuple[ContentFile, Letter]]) -> list[Taken | Exception]:
        """Make the letters ours: delivered, or durable and queued. Their log lines, or what went wrong."""
        try:
            delivered = direct.take_in(group)
        except TemporaryFault as fault:
            for file, _ in group:
                _discard(file)
            return [fault] * len(group)
        with self._lock:
            self._hidden += delivered.values()
            self._delivered += delivered.values()
        answers: dict[int, Taken | Exception] = {key: (each.letter, each.log_lines) for key, each in delivered.items()}
        left = [(file, letter) for file, letter in group if letter.id not in answers]
        answers |= _queue(left)
        for file, letter in left:
            if isinstance(answers[letter.id], Exception):
                _discard(file)
        return [answers[letter.id] for _, letter in group]

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
        if refused := direct.reveal(hidden):
            with self._lock:
                self._hidden += refused

    def _remember(self) -> None:
        with self._lock:
            delivered, self._delivered = self._delivered, []
        direct.remember(delivered)


def _discard(file: ContentFile) -> None:
    with contextlib.suppress(OSError):
        file.discard()


def _queue(group: Sequence[tuple[ContentFile, Letter]]) -> dict[int, Taken | Exception]:
    """Letters that a courier is to deliver, as they were entered, or what went wrong; by the ids they came with."""
    answers: dict[int, Taken | Exception] = {}
    refused = files.finish([file for file, _ in group])
    whole: list[tuple[ContentFile, Letter]] = []
    for file, letter in group:
        if file in refused:
            answers[letter.id] = TemporaryFault(f"queue file write error: {refused[file]}")
        else:
            whole.append((file, letter))
    return answers | _entered(whole)


def _entered(group: Sequence[tuple[ContentFile, Letter]]) -> dict[int, Taken | Exception]:
    letters = [replace(letter, id=file.id, checksum=file.checksum) for file, letter in group]
    try:
        intake.take_in(letters)
    except TemporaryFault:
        # One letter's trouble is not the others': each tries alone.
        return {letter.id: _entered_alone(file, letter) for file, letter in group}
    return {before.id: (letter, ()) for (_, before), letter in zip(group, letters, strict=True)}


def _entered_alone(file: ContentFile, letter: Letter) -> Taken | Exception:
    try:
        return intake.take_in_file(file, letter), ()
    except TemporaryFault as fault:
        return fault


class Reception:
    """One letter's content, between 354 and the answer to its end. TemporaryFault: there is no queue id for it."""

    def __init__(self, bridge: Bridge, limit: int) -> None:
        self.file = ContentFile()
        self.file.open(reserved=True)
        self.size = 0  # octets the client sent, dots and our headers not counted
        self.bare = False  # a CR or LF stood alone
        self.received_at = 0.0  # seconds; when DATA was answered
        self.trace_size = 0  # octets of local trace headers at the top of the file
        self.complete: Callable[[bytes], bytes] | None = None  # header → headers to add to it (RFC 6409 §8)
        self._bridge = bridge
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

    def begin(self, headers: bytes) -> None:
        """Our own headers, on top."""
        self.file.write(headers)

    @property
    def too_big(self) -> bool:
        return bool(self._limit) and self.size > self._limit

    async def add(self, content: bytes) -> None:
        """More content, dots already taken out."""
        self.size += len(content)
        if self.too_big:
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
            await self._bridge.run(self.file.flush)

    async def release(self) -> None:
        """All content has come: write what the filter held back of it."""
        if rest := self._results.finish():
            await self._keep(rest)

    def end(self) -> None:
        """The message is taken: write what waited for the end of its header."""
        if self.complete is not None and not self._head_complete:
            self.file.write(self._completed(self.complete))

    def _completed(self, complete: Callable[[bytes], bytes]) -> bytes:
        header, rest = trace.split_header(bytes(self._head))
        completed = header + complete(header) + rest
        self._head, self._header = bytearray(completed), b""
        return completed

    def header(self) -> bytes:
        if not self._header:
            self._header = trace.header_of(bytes(self._head[: self._header_limit]))
        return self._header

    def refusal(self) -> Reply | None:
        """Why this content is not taken, whoever sends it; None if it is."""
        if self.too_big:
            return Reply(552, "5.3.4", "Error: message file too big")
        if self.bare and conf.current().smtpd_forbid_bare_newline:
            return Reply(550, "5.5.2", "Error: bare <LF> or bare <CR> received")
        if trace.hops(self.header()) > conf.current().hopcount_limit:
            return Reply(554, "5.4.0", "Error: too many hops")
        return None

    async def discard(self) -> None:
        with contextlib.suppress(OSError):
            if self.file.in_memory:
                self.file.discard()
            else:
                await self._bridge.run(self.file.discard)
