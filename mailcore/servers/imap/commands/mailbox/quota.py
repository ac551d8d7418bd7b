"""GETQUOTA and GETQUOTAROOT (RFC 9208): the account's usage and limits; only the administrator sets limits."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, no, ok, refusal_response
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox import quota_limits as store
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names, response_format

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_ROOT = b"User quota"
_UNIT = 1024  # Bytes per STORAGE unit (RFC 9208 §5.1).


async def get_quota(call: "Call") -> TaggedResponse:
    root = call.args.astring()
    call.args.end()
    if root != _ROOT:
        return no("No such quota root", "NONEXISTENT")
    await _send_quota(call.session)
    return ok("Getquota completed.")


async def get_quota_root(call: "Call") -> TaggedResponse:
    """Execute GETQUOTAROOT; all mailboxes of an account have one root."""
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.executor.run_read(boxes.find_mailbox, session.owner, name)
    if isinstance(found, Refusal):
        return refusal_response(found)
    if found.prefix:  # Another user's quota is not shown.
        session.write(b"* QUOTAROOT %b\r\n" % mailbox_names.encode_name(name, session.utf8))
        return ok("Getquotaroot completed.")
    session.write(
        b"* QUOTAROOT %b %b\r\n" % (mailbox_names.encode_name(name, session.utf8), response_format.format_string(_ROOT))
    )
    await _send_quota(session)
    return ok("Getquotaroot completed.")


async def _send_quota(session: "Session") -> None:
    """Send the QUOTA response; only limited resources are listed."""
    assert session.owner is not None
    allowance = await session.executor.run_read(store.read_allowance, session.owner.account_id)
    resources = []
    if allowance is not None and allowance.limit_bytes:
        resources.append(b"STORAGE %d %d" % (-(-allowance.used_bytes // _UNIT), allowance.limit_bytes // _UNIT))
    if allowance is not None and allowance.limit_messages:
        resources.append(b"MESSAGE %d %d" % (allowance.used_messages, allowance.limit_messages))
    session.write(b"* QUOTA %b (%b)\r\n" % (response_format.format_string(_ROOT), b" ".join(resources)))
