"""APPEND of one or more messages, and REPLACE.

RFC 9051 §6.3.12, RFC 3502, RFC 3516, RFC 4315, RFC 4469, RFC 6855, RFC 7888, RFC 7889, RFC 8508.
"""

import os
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.commands.message.store import DENIED, READ_ONLY, split_flags
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, no, ok, target_refusal_response
from mailcore.store.mailbox import append_messages as store
from mailcore.store.mailbox import catenate, expunge
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox.append_messages import Upload
from mailcore.values import Refusal
from mailcore.wire.imap import imap_url, sequence_set
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.framing import Line, LiteralChunk, LiteralStart

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_IN_MEMORY = 1 << 18  # Bytes of an upload held in memory; a longer one is written to a file as it arrives.
MAX_MESSAGES = 1000  # Per command.


async def append(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    target = await session.executor.run_read(boxes.find_mailbox, session.owner, name, "i")
    if isinstance(target, Refusal):
        return target_refusal_response(target)
    uploads: list[Upload] = []
    is_submitted = False
    try:
        while True:
            upload, args = await _read_message(session, args)
            if isinstance(upload, TaggedResponse):
                return upload
            uploads.append(upload)
            if args.at_end():
                break
            args.space()
            if len(uploads) >= MAX_MESSAGES:
                return no("Too many messages at once", "LIMIT")
        is_submitted = True
        result = await session.executor.run_in_pool(store.append_messages, target, uploads)
    finally:
        _discard(session, uploads, is_submitted)
    if isinstance(result, Refusal):
        return target_refusal_response(result)
    return ok("Append completed.", _appenduid_code(result))


def _discard(session: "Session", uploads: list[Upload], is_submitted: bool) -> None:
    """Delete the files of uploads that were not used."""
    if not is_submitted or any(isinstance(upload.content, str) for upload in uploads):
        session.in_background(store.discard_uploads, uploads)


def _appenduid_code(result: store.AppendResult) -> str:
    return f"APPENDUID {result.uid_validity} {sequence_set.format_numbers(result.uids).decode()}"


async def replace(call: "Call") -> TaggedResponse:
    """Execute REPLACE or UID REPLACE (RFC 8508): the message is replaced in one step."""
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    number = args.nz_number()
    args.space()
    name = args.mailbox()
    args.space()
    if view.read_only:
        return READ_ONLY
    if not view.box.has_rights("te"):
        return DENIED
    uid = number if call.by_uid else (view.uids[number - 1] if number <= len(view) else 0)
    if not view.sequence(uid):
        return no("No such message", "NONEXISTENT") if call.by_uid else bad("Invalid message sequence number")
    target = await session.executor.run_read(boxes.find_mailbox, session.owner, name, "i")
    if isinstance(target, Refusal):
        return target_refusal_response(target)
    upload, args = await _read_message(session, args)
    if isinstance(upload, TaggedResponse):
        return upload
    is_submitted = False
    try:
        args.end()
        is_submitted = True
        result = await session.executor.run_in_pool(store.replace_message, view.box, uid, target, upload)
    finally:
        _discard(session, [upload], is_submitted)
    if isinstance(result, Refusal):
        return target_refusal_response(result)
    session.in_background(expunge.remove_files, view.box.directory, result.source.files)
    session.untagged(f"OK [{_appenduid_code(result.target)}] Replacement is there.")
    return ok("Replace completed.")


async def _read_message(session: "Session", args: Cursor) -> tuple[Upload | TaggedResponse, Cursor]:
    """Read [flags SP] [date SP] and the message: a literal, one in UTF8 (…), or CATENATE (…).

    Return the upload, or a refusal, and the rest of the command.
    """
    bits: int = 0
    keywords: tuple[str, ...] = ()
    if args.next_is(b"("):
        bits, keywords = split_flags(args.flags())
        args.space()
    internal_at = None
    if args.next_is(b'"'):
        internal_at = args.date_time()
        args.space()
    if args.skip_word(b"CATENATE"):
        args.space()
        content, args = await _read_catenate(session, args)
        return Upload(content, bits, keywords, internal_at) if not isinstance(
            content, TaggedResponse
        ) else content, args
    in_list = _skip_utf8(session, args)
    announced = session.announced
    content = await _read_literal(session, args)
    if isinstance(content, TaggedResponse):
        return content, args
    args = await _read_rest(session)
    upload = Upload(content, bits, keywords, internal_at, announced is not None and announced.binary)
    if in_list and not args.skip_list_end():
        _discard(session, [upload], is_submitted=False)
        raise BadSyntax(") expected")
    return upload, args


def _skip_utf8(session: "Session", args: Cursor) -> bool:
    """Skip "UTF8 (" before a message with UTF-8 in its header; a ")" follows the message (RFC 6855 §4)."""
    if not args.skip_word(b"UTF8"):
        return False
    if not session.utf8:
        raise BadSyntax("UTF8=ACCEPT is not enabled")
    args.space()
    args.open_list()
    return True


async def _read_literal(session: "Session", args: Cursor) -> bytes | str | TaggedResponse:
    announced = session.announced
    if announced is None or not (args.next_is(b"{") or args.next_is(b"~{")):
        raise BadSyntax("Literal expected")
    limit = conf.current().message_size_limit
    if limit and announced.size > limit:
        return no("Message is too large", "TOOBIG")
    if not announced.size:
        return bad("Message is empty")
    return await _read_content(session, announced)


async def _read_catenate(session: "Session", args: Cursor) -> tuple[bytes | str | TaggedResponse, Cursor]:
    """Read "(" ("URL" SP url / "TEXT" SP literal) … ")" (RFC 4469 §5)."""
    parts: list[bytes | str] = []
    is_joined = False
    size = 0
    limit = conf.current().message_size_limit
    args.open_list()
    try:
        while True:
            part, args = await _read_part(session, args)
            if isinstance(part, TaggedResponse):
                return part, args
            parts.append(part)
            size += len(part) if isinstance(part, bytes) else os.path.getsize(part)
            if limit and size > limit:
                return no("Message is too large", "TOOBIG"), args
            if args.skip_list_end():
                break
            args.space()
        if not size:
            return bad("Message is empty"), args
        content = await session.executor.run_in_pool(catenate.join_parts, parts)
        is_joined = True
        return content, args
    finally:
        if not is_joined:
            _discard(session, [Upload(part, 0, (), None) for part in parts], is_submitted=False)


async def _read_part(session: "Session", args: Cursor) -> tuple[bytes | str | TaggedResponse, Cursor]:
    if args.skip_word(b"TEXT"):
        args.space()
        part = await _read_literal(session, args)
        return part, args if isinstance(part, TaggedResponse) else await _read_rest(session)
    if not args.skip_word(b"URL"):
        raise BadSyntax("URL or TEXT expected")
    args.space()
    if session.announced is not None and args.next_is(b"{"):
        raw = await _read_literal(session, args)
        if not isinstance(raw, bytes):
            return raw if isinstance(raw, TaggedResponse) else no("URL is too long"), args
        args = await _read_rest(session)
    else:
        raw = args.astring()
    text = raw.decode("utf-8", "replace")
    try:
        url = imap_url.parse_url(text)
    except imap_url.BadUrl:
        url = None
    found = await session.executor.run_in_pool(catenate.read_part, session.owner, url) if url and not url.host else None
    if found is None:
        return no("No such part", f'BADURL "{_quotable(text)}"'), args
    return found, args


def _quotable(text: str) -> str:
    return "".join(character for character in text if " " <= character <= "~" and character not in '"\\]')


async def _read_content(session: "Session", announced: LiteralStart) -> bytes | str:
    """Return the bytes of a literal, or the path of the file they were written to."""
    session.announced = None
    session.connection.stream_literal()
    if announced.waits:
        await session.send_continuation("OK")
    pieces: list[bytes] = []
    descriptor, path = (
        (-1, "") if announced.size <= _IN_MEMORY else await session.executor.run_in_pool(store.open_spool_file)
    )
    try:
        while True:
            event = await session.connection.event()
            assert isinstance(event, LiteralChunk)
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
    """Write to the page cache, fast enough for the event loop; a thread makes the file durable."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


async def _read_rest(session: "Session") -> Cursor:
    """Read the rest of the command after a literal, up to its end or the next literal."""
    event = await session.connection.event()
    if isinstance(event, LiteralStart):
        session.announced = event
        return Cursor(session.connection.command_text(), utf8=session.utf8)
    if not isinstance(event, Line):
        raise BadSyntax("Line is too long")
    return Cursor(event.text, utf8=session.utf8)
