"""GETQUOTA and GETQUOTAROOT (RFC 9208): what the account uses and may use. Limits are the administrator's to set."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, no, ok, refused
from mailcore.store import box as boxes
from mailcore.store import quota as store
from mailcore.terms import Refusal
from mailcore.wire.imap import names, render

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_ROOT = b"User quota"
_UNIT = 1024  # octets of one STORAGE (RFC 9208 §5.1)


async def get_quota(call: "Call") -> Answer:
    root = call.args.astring()
    call.args.end()
    if root != _ROOT:
        return no("No such quota root", "NONEXISTENT")
    await _tell(call.session)
    return ok("Getquota completed.")


async def get_quota_root(call: "Call") -> Answer:
    """Every mailbox of an account is below one root."""
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.bridge.read(boxes.find, session.owner, name)
    if isinstance(found, Refusal):
        return refused(found)
    if found.prefix:  # somebody else's quota is theirs to know
        session.write(b"* QUOTAROOT %b\r\n" % names.encode(name, session.utf8))
        return ok("Getquotaroot completed.")
    session.write(b"* QUOTAROOT %b %b\r\n" % (names.encode(name, session.utf8), render.string(_ROOT)))
    await _tell(session)
    return ok("Getquotaroot completed.")


async def _tell(session: "Session") -> None:
    """Only what is limited is listed."""
    assert session.owner is not None
    purse = await session.bridge.read(store.look, session.owner.account_id)
    told = []
    if purse is not None and purse.limit_bytes:
        told.append(b"STORAGE %d %d" % (-(-purse.used_bytes // _UNIT), purse.limit_bytes // _UNIT))
    if purse is not None and purse.limit_messages:
        told.append(b"MESSAGE %d %d" % (purse.used_messages, purse.limit_messages))
    session.write(b"* QUOTA %b (%b)\r\n" % (render.string(_ROOT), b" ".join(told)))
