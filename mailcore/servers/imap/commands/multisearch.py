"""ESEARCH: several mailboxes searched at once (RFC 7377)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import UID_REQUIRED, Answer, bad, no, ok
from mailcore.servers.imap.commands.search import frame, result
from mailcore.store import box as boxes
from mailcore.store import mailboxes
from mailcore.store import search as store
from mailcore.store.index import UidRanges
from mailcore.store.search import Frame
from mailcore.terms import Refusal
from mailcore.wire.imap import fetch as fetch_wire
from mailcore.wire.imap import names, scope, sequence
from mailcore.wire.imap import search as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


async def esearch(call: "Call") -> Answer:
    """One response for each mailbox that has matches."""
    args, session = call.args, call.session
    scopes = [scope.Scope("SELECTED")]
    if args.skip_word(b"IN"):
        args.space()
        scopes = args.list_of(lambda: scope.scope(args))
        args.space()
    returning = wire.returning(args, fetch_wire.partial_range)
    charset = "UTF-8"
    if args.skip_word(b"CHARSET"):
        args.space()
        charset = wire.charset(args)
        args.space()
    try:
        key = wire.program(args, charset)
    except wire.UnknownCharset:
        return no("Charset is not supported", "BADCHARSET (US-ASCII UTF-8)")
    if any(each.kind == "SELECTED-DELAYED" for each in scopes):
        return bad("selected-delayed is for NOTIFY")
    if returning.save or returning.update:
        return bad("SAVE and UPDATE are for SEARCH")
    if wire.uses_sequence_numbers(key):
        return UID_REQUIRED if "UIDONLY" in session.enabled else bad("Message numbers need a single mailbox")
    chosen = await _chosen(session, scopes)
    if chosen is None:
        return bad("No mailbox is selected")
    for name in chosen:
        await _search(call, name, key, returning)
    return ok("Esearch completed.")


async def _chosen(session: "Session", scopes: list[scope.Scope]) -> list[str] | None:
    """Names of mailboxes, each once; None where the selected one is asked for and there is none."""
    found: dict[str, None] = {}
    if any(each.kind == "SELECTED" for each in scopes):
        if session.view is None:
            return None
        found[session.view.box.shown] = None
    if any(each.kind != "SELECTED" for each in scopes):
        everything = await session.bridge.read(mailboxes.listing, session.owner)
        found.update(
            dict.fromkeys(
                listed.name
                for listed in everything
                if listed.exists and listed.selectable and scope.covers(scopes, listed.name, listed.subscribed)
            )
        )
    return list(found)


async def _search(call: "Call", name: str, key: wire.Key, returning: wire.Returning) -> None:
    session = call.session
    opened = await session.bridge.run(boxes.open_mailbox, session.owner, name, True)
    if isinstance(opened, Refusal):  # removed meanwhile
        return
    view = session.view
    known = frame(view, key) if view is not None and view.box.id == opened.box.id else _frame(opened, key)
    rows = await session.bridge.run(store.find_with_modseq, opened.box.id, key, known)
    session.server.searched(opened.box.id, len(opened.uids), key)
    if not rows:
        return
    modseqs = [modseq for _, modseq in rows] if wire.mentions_modseq(key) else []
    told = b" ".join(result(returning, [uid for uid, _ in rows], modseqs))
    about = (call.tag, names.encode(name, session.utf8), opened.box.uid_validity, told)
    session.write(b'* ESEARCH (TAG "%b" MAILBOX %b UIDVALIDITY %d) UID %b\r\n' % about)


def _frame(opened: boxes.Opened, key: wire.Key) -> Frame:
    """Of a mailbox that is not selected: nothing is recent there, nothing saved."""
    last = opened.uids[-1] if opened.uids else 0
    sets: dict[wire.Numbers, UidRanges] = {}

    def visit(each: wire.Key) -> None:
        if isinstance(each, wire.Numbers):
            sets[each] = sequence.resolve(each.ranges, last) if isinstance(each.ranges, tuple) else ()

    wire.walk(key, visit)
    return Frame(((1, last),) if last else (), sets, ())
