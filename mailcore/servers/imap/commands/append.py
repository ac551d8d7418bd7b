"""APPEND of one or more messages (RFC 9051 §6.3.12, RFC 3502, RFC 3516, RFC 4315, RFC 6855,
RFC 7888, RFC 7889)."""

import os
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.answer import Answer, bad, no, ok, refused_target
from mailcore.servers.imap.commands.store import split_flags
from mailcore.store import append as store
from mailcore.store import box as boxes
from mailcore.store.append import Upload
from mailcore.terms import Refusal
from mailcore.wire.imap import sequence
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.framing import Announced, Line, Piece

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_IN_MEMORY = 1 << 18  # octets of an upload kept in memory; a longer one goes to a file as it comes
MAX_MESSAGES = 1000  # of one command


async def append(call: "Call") -> Answer:
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    target = await session.bridge.read(boxes.find, session.owner, name)
    if isinstance(target, Refusal):
        return refused_target(target)
    uploads: list[Upload] = []
    taken = False
    try:
        while True:
            bits, keywords, internal_at = _about(args)
            in_list = _skip_utf8(session, args)
            upload = await _one(session, args, bits, keywords, internal_at)
            if isinstance(upload, Answer):
                return upload
            uploads.append(upload)
            args = await _rest(session)
            if in_list:
                args.expect(b")")
            if args.at_end():
                break
            args.space()
            if len(uploads) >= MAX_MESSAGES:
                return no("Too many messages at once", "LIMIT")
        taken = True
        done = await session.bridge.run(store.append, target, uploads)
    finally:
        if not taken or any(isinstance(upload.content, str) for upload in uploads):
            session.in_background(store.discard, uploads)
    if isinstance(done, Refusal):
        return refused_target(done)
    return ok("Append completed.", f"APPENDUID {done.uid_validity} {sequence.render_numbers(done.uids).decode()}")


def _about(args: Cursor) -> tuple[int, tuple[str, ...], int | None]:
    """[flags SP] [date SP]."""
    bits = 0
    keywords: tuple[str, ...] = ()
    if args.sees(b"("):
        bits, keywords = split_flags(args.flags())
        args.space()
    internal_at = None
    if args.sees(b'"'):
        internal_at = args.date_time()
        args.space()
    return bits, keywords, internal_at


def _skip_utf8(session: "Session", args: Cursor) -> bool:
    """ "UTF8 (" before a message with UTF-8 in its header; a ")" follows it (RFC 6855 §4)."""
    if not args.skip_word(b"UTF8"):
        return False
    if not session.utf8:
        raise BadSyntax("UTF8=ACCEPT is not enabled")
    args.space()
    args.expect(b"(")
    return True


async def _one(
    session: "Session", args: Cursor, bits: int, keywords: tuple[str, ...], internal_at: int | None
) -> Upload | Answer:
    """The literal."""
    announced = session.announced
    if announced is None or not (args.sees(b"{") or args.sees(b"~{")):
        raise BadSyntax("Literal expected")
    limit = conf.current().message_size_limit
    if limit and announced.size > limit:
        return no("Message is too large", "TOOBIG")
    if not announced.size:
        return bad("Message is empty")
    content = await _content(session, announced)
    return Upload(content, bits, keywords, internal_at, announced.binary)


async def _content(session: "Session", announced: Announced) -> bytes | str:
    """The octets of a literal, or the path of the file they were written to."""
    session.announced = None
    session.connection.stream_literal()
    if announced.waits:
        await session.go_on("OK")
    pieces: list[bytes] = []
    descriptor, path = (-1, "") if announced.size <= _IN_MEMORY else await session.bridge.run(store.spool)
    try:
        while True:
            event = await session.connection.event()
            assert isinstance(event, Piece)
            if descriptor < 0:
                pieces.append(event.data)
            else:
                _write(descriptor, event.data)
            if event.last:
                break
    except BaseException:
        if path:
            os.unlink(path)
        raise
    finally:
        if descriptor >= 0:
            os.close(descriptor)
    return path or b"".join(pieces)


def _write(descriptor: int, data: bytes) -> None:
    """Into the page cache: quick enough for the loop; it is made durable in a thread."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def _rest(session: "Session") -> Cursor:
    """What follows a literal: the end of the command, or the next message."""
    event = await session.connection.event()
    if isinstance(event, Announced):
        session.announced = event
    elif not isinstance(event, Line):
        raise BadSyntax("Line is too long")
    return Cursor(event.text, utf8=session.utf8)
