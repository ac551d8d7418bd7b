"""COPY and MOVE, with their UID forms (RFC 9051 §6.4.7, §6.4.8, RFC 4315)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, bad, ok, refused_target
from mailcore.servers.imap.commands.fetch import chosen
from mailcore.servers.imap.commands.store import DENIED, READ_ONLY
from mailcore.store import box as boxes
from mailcore.store import expunge, transfer
from mailcore.store.index import UidRanges
from mailcore.store.transfer import Transferred
from mailcore.terms import Refusal
from mailcore.wire.imap import sequence

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def _arguments(call: "Call") -> tuple[UidRanges, boxes.Box] | Answer:
    args, session = call.args, call.session
    numbers = args.sequence_set()
    args.space()
    name = args.mailbox()
    args.end()
    view = session.view
    assert view is not None
    ranges = chosen(view, numbers, call.by_uid)
    if ranges is None:
        return bad("Invalid message sequence number")
    target = await session.bridge.read(boxes.find, session.owner, name, "i")
    if isinstance(target, Refusal):
        return refused_target(target)
    return ranges, target


async def copy(call: "Call") -> Answer:
    arguments = await _arguments(call)
    if isinstance(arguments, Answer):
        return arguments
    ranges, target = arguments
    view = call.session.view
    assert view is not None
    if not ranges:
        return ok("Copy completed.")
    done = await call.session.bridge.run(transfer.copy, view.box, ranges, target)
    if isinstance(done, Refusal):
        return refused_target(done)
    return ok("Copy completed.", _copied(done))


def _copied(done: Transferred) -> str:
    if not done.source:
        return ""
    source, target = sequence.render_numbers(done.source), sequence.render_numbers(done.target)
    return f"COPYUID {done.uid_validity} {source.decode()} {target.decode()}"


async def move(call: "Call") -> Answer:
    """COPYUID goes out before the messages are told to be gone (RFC 6851 §4.3)."""
    session = call.session
    view = session.view
    assert view is not None
    arguments = await _arguments(call)
    if isinstance(arguments, Answer):
        return arguments
    ranges, target = arguments
    if view.read_only:
        return READ_ONLY
    if not view.box.allows("te"):
        return DENIED
    if not ranges:
        return ok("Move completed.")
    done = await session.bridge.run(transfer.move, view.box, ranges, target)
    if isinstance(done, Refusal):
        return refused_target(done)
    if done.source:
        session.untagged(f"OK [{_copied(done)}] Moved UIDs.")
        session.in_background(expunge.remove_files, view.box.directory, done.files)
    code = f"HIGHESTMODSEQ {done.modseq}" if done.modseq and session.condstore else ""
    return ok("Move completed.", code)
