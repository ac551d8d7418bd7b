"""SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2, RFC 3691, RFC 7162 §3.1.8)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.sequence_view import SequenceView
from mailcore.servers.imap.tagged_response import UID_REQUIRED, TaggedResponse, bad, ok, refusal_response
from mailcore.store.access.urlauth import MECHANISM
from mailcore.store.mailbox import expunge, messages
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.sequence_set import MAX, format_numbers, resolve_ranges
from mailcore.wire.imap.syntax import select_syntax as wire
from mailcore.wire.imap.syntax.select_syntax import QresyncRequest

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


_CHANGES = frozenset("iswte")  # Without one of these rights a mailbox is read-only (RFC 4314 §5.2).


async def select(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    name = args.mailbox()
    parameters = wire.parse_select_parameters(args)
    if parameters.resync is not None and "QRESYNC" not in session.enabled:
        return bad("QRESYNC is not enabled")
    if parameters.resync is not None and parameters.resync.matched and "UIDONLY" in session.enabled:
        return UID_REQUIRED
    if session.view is not None:
        session.clear_selected()
        session.untagged("OK [CLOSED] Previous mailbox is now closed.")
    if parameters.condstore:
        session.enable("CONDSTORE")
    await session.index_external_files(name)
    read_only = call.name == "EXAMINE"
    opened = await session.executor.run_in_pool(boxes.open_mailbox, session.owner, name, read_only)
    if isinstance(opened, Refusal):
        return refusal_response(opened)
    read_only = read_only or not set(opened.box.rights) & _CHANGES
    view = SequenceView(opened, read_only)
    session.set_selected(view)
    _send_mailbox_state(session, view, opened)
    if parameters.resync is not None and parameters.resync.uid_validity == view.box.uid_validity:
        await _send_resync(session, view, parameters.resync)
    return ok(f"{call.name.capitalize()} completed.", "READ-ONLY" if read_only else "READ-WRITE")


def _send_mailbox_state(session: "Session", view: SequenceView, opened: boxes.OpenedMailbox) -> None:
    session.send_flag_updates(view)
    session.untagged(f"{len(view)} EXISTS")
    if "IMAP4REV2" in session.enabled:
        session.write(b'* LIST () "/" ' + mailbox_names.encode_name(view.box.display_name, session.utf8) + b"\r\n")
    else:
        session.untagged(f"{view.recent_count} RECENT")
        if opened.first_unseen:
            session.untagged(f"OK [UNSEEN {view.sequence(opened.first_unseen)}] First unseen.")
    session.untagged(f"OK [UIDVALIDITY {view.box.uid_validity}] UIDs valid")
    session.untagged(f"OK [UIDNEXT {opened.uid_next}] Predicted next UID")
    session.untagged(f"OK [HIGHESTMODSEQ {opened.highest_modseq}] Highest")
    session.untagged(f"OK [MAILBOXID (F{view.box.id})] Ok")
    session.untagged(f"OK [URLMECH {MECHANISM}] Ok")


async def _send_resync(session: "Session", view: SequenceView, parameters: QresyncRequest) -> None:
    """Send the changes since the client last selected the mailbox (RFC 7162 §3.2.5.1)."""
    known = resolve_ranges(parameters.known or ((1, MAX),), view.uid_next - 1)
    rows, vanished = await session.executor.run_in_pool(messages.changed_since, view.box.id, parameters.modseq, known)
    # Messages expunged since SELECT are sent as updates later.
    if vanished := [uid for uid in vanished if uid < view.uid_next and not view.sequence(uid)]:
        session.write(b"* VANISHED (EARLIER) %b\r\n" % format_numbers(vanished))
    session.announce_keywords(view, {row[2] for row in rows})
    for uid, flags, keywords, modseq in rows:
        if number := view.sequence(uid):
            session.write(session.flags_response(view, number, uid, flags, keywords, modseq))


async def close(call: "Call") -> TaggedResponse:
    """Execute CLOSE: expunge silently, unless the mailbox is read-only."""
    call.args.end()
    session = call.session
    view = session.view
    assert view is not None
    if not view.read_only and len(view) and view.box.has_rights("e"):
        removed = await session.executor.run_in_pool(expunge.expunge_deleted, view.box, view.known)
        if removed.files:
            session.in_background(expunge.remove_files, view.box.directory, removed.files)
    session.clear_selected()
    return ok("Close completed.")


async def unselect(call: "Call") -> TaggedResponse:
    call.args.end()
    call.session.clear_selected()
    return ok("Unselect completed.")
