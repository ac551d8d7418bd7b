"""APPEND of one or more messages, and REPLACE (RFC 9051 §6.3.12, RFC 3502, RFC 3516, RFC 4315, RFC 4469, RFC 6855,
RFC 7888, RFC 7889, RFC 8508)."""

import os
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.answer import Answer, bad, no, ok, refused_target
from mailcore.servers.imap.commands.store import DENIED, READ_ONLY, split_flags
from mailcore.store import append as store
from mailcore.store import box as boxes
from mailcore.store import catenate, expunge
from mailcore.store.append import Upload
from mailcore.terms import Refusal
from mailcore.wire.imap import sequence, url
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
    target = await session.bridge.read(boxes.find, session.owner, name, "i")
    if isinstance(target, Refusal):
        return refused_target(target)
    uploads: list[Upload] = []
    taken = False
    try:
        while True:
            upload, args = await _message(session, args)
            if isinstance(upload, Answer):
                return upload
            uploads.append(upload)
            if args.at_end():
                break
            args.space()
            if len(uploads) >= MAX_MESSAGES:
                return no("Too many messages at once", "LIMIT")
        taken = True
        done = await session.bridge.run(store.append, target, uploads)
    finally:
        _discard(session, uploads, taken)
    if isinstance(done, Refusal):
        return refused_target(done)
    return ok("Append completed.", _appended(done))


def _discard(session: "Session", uploads: list[Upload], taken: bool) -> None:
    """Files nobody took."""
    if not taken or any(isinstance(upload.content, str) for upload in uploads):
        session.in_background(store.discard, uploads)


def _appended(done: store.Appended) -> str:
    return f"APPENDUID {done.uid_validity} {sequence.render_numbers(done.uids).decode()}"


async def replace(call: "Call") -> Answer:
    """REPLACE and UID REPLACE (RFC 8508): the message and its successor change places in one step."""
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    number = args.nz_number()
    args.space()
    name = args.mailbox()
    args.space()
    if view.read_only:
        return READ_ONLY
    if not view.box.allows("te"):
        return DENIED
    uid = number if call.by_uid else (view.uids[number - 1] if number <= len(view) else 0)
    if not view.sequence(uid):
        return no("No such message", "NONEXISTENT") if call.by_uid else bad("Invalid message sequence number")
    target = await session.bridge.read(boxes.find, session.owner, name, "i")
    if isinstance(target, Refusal):
        return refused_target(target)
    upload, args = await _message(session, args)
    if isinstance(upload, Answer):
        return upload
    taken = False
    try:
        args.end()
        taken = True
        done = await session.bridge.run(store.replace, view.box, uid, target, upload)
    finally:
        _discard(session, [upload], taken)
    if isinstance(done, Refusal):
        return refused_target(done)
    session.in_background(expunge.remove_files, view.box.directory, done.source.files)
    session.untagged(f"OK [{_appended(done.target)}] Replacement is there.")
    return ok("Replace completed.")


async def _message(session: "Session", args: Cursor) -> tuple[Upload | Answer, Cursor]:
    """[flags SP] [date SP] and the message: a literal, one in UTF8 (…), or CATENATE (…). Returns what follows it,
    too; after a refusal nothing does."""
    bits: int = 0
    keywords: tuple[str, ...] = ()
    if args.sees(b"("):
        bits, keywords = split_flags(args.flags())
        args.space()
    internal_at = None
    if args.sees(b'"'):
        internal_at = args.date_time()
        args.space()
    if args.skip_word(b"CATENATE"):
        args.space()
        content, args = await _catenated(session, args)
        return Upload(content, bits, keywords, internal_at) if not isinstance(content, Answer) else content, args
    in_list = _skip_utf8(session, args)
    announced = session.announced
    content = await _literal(session, args)
    if isinstance(content, Answer):
        return content, args
    args = await _rest(session)
    upload = Upload(content, bits, keywords, internal_at, announced is not None and announced.binary)
    if in_list and not args.skip(b")"):
        _discard(session, [upload], taken=False)
        raise BadSyntax(") expected")
    return upload, args


def _skip_utf8(session: "Session", args: Cursor) -> bool:
    """ "UTF8 (" before a message with UTF-8 in its header; a ")" follows it (RFC 6855 §4)."""
    if not args.skip_word(b"UTF8"):
        return False
    if not session.utf8:
        raise BadSyntax("UTF8=ACCEPT is not enabled")
    args.space()
    args.expect(b"(")
    return True


async def _literal(session: "Session", args: Cursor) -> bytes | str | Answer:
    announced = session.announced
    if announced is None or not (args.sees(b"{") or args.sees(b"~{")):
        raise BadSyntax("Literal expected")
    limit = conf.current().message_size_limit
    if limit and announced.size > limit:
        return no("Message is too large", "TOOBIG")
    if not announced.size:
        return bad("Message is empty")
    return await _content(session, announced)


async def _catenated(session: "Session", args: Cursor) -> tuple[bytes | str | Answer, Cursor]:
    """ "(" ("URL" SP url / "TEXT" SP literal) … ")" (RFC 4469 §5)."""
    parts: list[bytes | str] = []
    kept = False
    octets = 0
    limit = conf.current().message_size_limit
    args.expect(b"(")
    try:
        while True:
            part, args = await _part(session, args)
            if isinstance(part, Answer):
                return part, args
            parts.append(part)
            octets += len(part) if isinstance(part, bytes) else os.path.getsize(part)
            if limit and octets > limit:
                return no("Message is too large", "TOOBIG"), args
            if args.skip(b")"):
                break
            args.space()
        if not octets:
            return bad("Message is empty"), args
        content = await session.bridge.run(catenate.join, parts)
        kept = True
        return content, args
    finally:
        if not kept:
            _discard(session, [Upload(part, 0, (), None) for part in parts], taken=False)


async def _part(session: "Session", args: Cursor) -> tuple[bytes | str | Answer, Cursor]:
    if args.skip_word(b"TEXT"):
        args.space()
        part = await _literal(session, args)
        return part, args if isinstance(part, Answer) else await _rest(session)
    if not args.skip_word(b"URL"):
        raise BadSyntax("URL or TEXT expected")
    args.space()
    if session.announced is not None and args.sees(b"{"):
        raw = await _literal(session, args)
        if not isinstance(raw, bytes):
            return raw if isinstance(raw, Answer) else no("URL is too long"), args
        args = await _rest(session)
    else:
        raw = args.astring()
    given = raw.decode("utf-8", "replace")
    try:
        named = url.parse(given)
    except url.BadUrl:
        named = None
    found = await session.bridge.run(catenate.part, session.owner, named) if named and not named.host else None
    if found is None:
        return no("No such part", f'BADURL "{_quotable(given)}"'), args
    return found, args


def _quotable(text: str) -> str:
    return "".join(character for character in text if " " <= character <= "~" and character not in '"\\]')


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
        return Cursor(session.connection.command_text(), utf8=session.utf8)
    if not isinstance(event, Line):
        raise BadSyntax("Line is too long")
    return Cursor(event.text, utf8=session.utf8)
