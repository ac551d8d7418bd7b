"""NOTIFY (RFC 5465)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.notify_state import NotifyState
from mailcore.servers.imap.tagged_response import TaggedResponse, no, ok
from mailcore.wire.imap.syntax import notify_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def notify(call: "Call") -> TaggedResponse:
    session = call.session
    try:
        request = wire.parse_notify(call.args)
    except wire.UnservedEvent:
        return no("Event is not served", f"BADEVENT ({' '.join(wire.EVENTS)})")
    if session.notify is not None:
        session.notify.end(session)
        session.notify = None
    if request is not None:
        session.notify = NotifyState(request)
        await session.notify.begin(session, request.status)
    return ok("Notify completed.")
