"""NOTIFY (RFC 5465)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, no, ok
from mailcore.servers.imap.notify import Notify
from mailcore.wire.imap import notify as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def notify(call: "Call") -> Answer:
    session = call.session
    try:
        request = wire.request(call.args)
    except wire.UnservedEvent:
        return no("Event is not served", f"BADEVENT ({' '.join(wire.EVENTS)})")
    if session.notify is not None:
        session.notify.end(session)
        session.notify = None
    if request is not None:
        session.notify = Notify(request)
        await session.notify.begin(session, request.status)
    return ok("Notify completed.")
