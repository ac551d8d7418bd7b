"""GETQUOTA and GETQUOTAROOT (RFC 9208): what the account uses and may use. Limits are the administrator's to set."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, no, ok, refusal_response
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox import quota_limits as store
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names, response_format

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_ROOT = b"User quota"
_UNIT = 1024  # bytes of one STORAGE (RFC 9208 §5.1)


async def get_quota(call: "Call") -> TaggedResponse:
    root = call.args.astring()
    call.args.end()
    if root != _ROOT:
        return no("No such quota root", "NONEXISTENT")
    await _send_quota(call.session)
    return ok("Getquota completed.")


async def get_quota_root(call: "Call") -> TaggedResponse:
    """Every mailbox of an account is below one root."""
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.executor.run_read(boxes.find_mailbox, session.owner, name)
    if isinstance(found, Refusal):
        return refusal_response(found)
    if found.prefix:  # somebody else's quota is theirs to know
        session.write(b"* QUOTAROOT %b\r\n" % mailbox_names.encode_name(name, session.utf8))
        return ok("Getquotaroot completed.")
    session.write(
        b"* QUOTAROOT %b %b\r\n" % (mailbox_names.encode_name(name, session.utf8), response_format.format_string(_ROOT))
    )
    await _send_quota(session)
    return ok("Getquotaroot completed.")


async def _send_quota(session: "Session") -> None:
    """Only what is limited is listed."""
    assert session.owner is not None
    purse = await session.executor.run_read(store.read_allowance, session.owner.account_id)
    told = []
    if purse is not None and purse.limit_bytes:
        told.append(b"STORAGE %d %d" % (-(-purse.used_bytes // _UNIT), purse.limit_bytes // _UNIT))
    if purse is not None and purse.limit_messages:
        told.append(b"MESSAGE %d %d" % (purse.used_messages, purse.limit_messages))
    session.write(b"* QUOTA %b (%b)\r\n" % (response_format.format_string(_ROOT), b" ".join(told)))
