"""COPY and MOVE, with their UID forms (RFC 9051 §6.4.7, §6.4.8, RFC 4315)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.commands.message.fetch import resolve_numbers
from mailcore.servers.imap.commands.message.store import DENIED, READ_ONLY
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, ok, target_refusal_response
from mailcore.store.db.message_table import UidRanges
from mailcore.store.mailbox import copy_move, expunge
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox.copy_move import CopyResult
from mailcore.values import Refusal
from mailcore.wire.imap import sequence_set

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def _parse_arguments(call: "Call") -> tuple[UidRanges, boxes.MailboxHandle] | TaggedResponse:
    args, session = call.args, call.session
    numbers = args.sequence_set()
    args.space()
    name = args.mailbox()
    args.end()
    view = session.view
    assert view is not None
    ranges = resolve_numbers(view, numbers, call.by_uid)
    if ranges is None:
        return bad("Invalid message sequence number")
    target = await session.executor.run_read(boxes.find_mailbox, session.owner, name, "i")
    if isinstance(target, Refusal):
        return target_refusal_response(target)
    return ranges, target


async def copy(call: "Call") -> TaggedResponse:
    arguments = await _parse_arguments(call)
    if isinstance(arguments, TaggedResponse):
        return arguments
    ranges, target = arguments
    view = call.session.view
    assert view is not None
    if not ranges:
        return ok("Copy completed.")
    result = await call.session.executor.run_in_pool(copy_move.copy_messages, view.box, ranges, target)
    if isinstance(result, Refusal):
        return target_refusal_response(result)
    return ok("Copy completed.", _copyuid_code(result))


def _copyuid_code(result: CopyResult) -> str:
    if not result.source:
        return ""
    source, target = sequence_set.format_numbers(result.source), sequence_set.format_numbers(result.target)
    return f"COPYUID {result.uid_validity} {source.decode()} {target.decode()}"


async def move(call: "Call") -> TaggedResponse:
    """Execute MOVE; COPYUID is sent before EXPUNGE (RFC 6851 §4.3)."""
    session = call.session
    view = session.view
    assert view is not None
    arguments = await _parse_arguments(call)
    if isinstance(arguments, TaggedResponse):
        return arguments
    ranges, target = arguments
    if view.read_only:
        return READ_ONLY
    if not view.box.has_rights("te"):
        return DENIED
    if not ranges:
        return ok("Move completed.")
    result = await session.executor.run_in_pool(copy_move.move_messages, view.box, ranges, target)
    if isinstance(result, Refusal):
        return target_refusal_response(result)
    if result.source:
        session.untagged(f"OK [{_copyuid_code(result)}] Moved UIDs.")
        session.in_background(expunge.remove_files, view.box.directory, result.files)
    code = f"HIGHESTMODSEQ {result.modseq}" if result.modseq and session.condstore else ""
    return ok("Move completed.", code)
