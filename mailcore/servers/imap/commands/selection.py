"""SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2, RFC 7162 §3.1.8)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, ok, refused
from mailcore.servers.imap.view import View
from mailcore.store import box as boxes
from mailcore.store import expunge
from mailcore.terms import Refusal
from mailcore.wire.imap import names
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


async def select(call: "Call") -> Answer:
    args, session = call.args, call.session
    name = args.mailbox()
    if args.skip(b" "):
        for word in args.list_of(args.keyword):
            if word != "CONDSTORE":
                raise BadSyntax(f"Unknown parameter {word[:30]}")
            session.enable("CONDSTORE")
    args.end()
    if session.view is not None:
        session.leave_mailbox()
        session.untagged("OK [CLOSED] Previous mailbox is now closed.")
    read_only = call.name == "EXAMINE"
    opened = await session.bridge.run(boxes.open_mailbox, session.owner, name, read_only)
    if isinstance(opened, Refusal):
        return refused(opened)
    view = View(opened, read_only)
    session.enter_mailbox(view)
    _describe(session, view, opened)
    return ok(f"{call.name.capitalize()} completed.", "READ-ONLY" if read_only else "READ-WRITE")


def _describe(session: "Session", view: View, opened: boxes.Opened) -> None:
    session.tell_flags(view)
    session.untagged(f"{len(view)} EXISTS")
    if "IMAP4REV2" in session.enabled:
        session.write(b'* LIST () "/" ' + names.encode(view.box.name, session.utf8) + b"\r\n")
    else:
        session.untagged(f"{view.recent_count} RECENT")
        if opened.first_unseen:
            session.untagged(f"OK [UNSEEN {view.sequence(opened.first_unseen)}] First unseen.")
    session.untagged(f"OK [UIDVALIDITY {view.box.uid_validity}] UIDs valid")
    session.untagged(f"OK [UIDNEXT {opened.uid_next}] Predicted next UID")
    session.untagged(f"OK [HIGHESTMODSEQ {opened.highest_modseq}] Highest")
    session.untagged(f"OK [MAILBOXID (F{view.box.id})] Ok")


async def close(call: "Call") -> Answer:
    """Expunges silently, unless the mailbox was only examined."""
    call.args.end()
    session = call.session
    view = session.view
    assert view is not None
    if not view.read_only and len(view):
        removed = await session.bridge.run(expunge.expunge, view.box, view.known)
        if removed.files:
            session.in_background(expunge.remove_files, view.box.directory, removed.files)
    session.leave_mailbox()
    return ok("Close completed.")


async def unselect(call: "Call") -> Answer:
    call.args.end()
    call.session.leave_mailbox()
    return ok("Unselect completed.")
