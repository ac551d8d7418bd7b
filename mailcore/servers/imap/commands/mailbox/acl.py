"""Access rights of mailboxes (RFC 4314): GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, ok, refusal_response
from mailcore.store.auth.account_login import full_address
from mailcore.store.mailbox import access_rights
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.syntax import acl_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def get_acl(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    entries = await session.executor.run_in_pool(access_rights.list_entries, session.owner, name)
    if isinstance(entries, Refusal):
        return refusal_response(entries)
    response = b"".join(
        [
            b" %b %b" % (_format_astring(identifier), _format_astring(wire.format_rights(rights)))
            for identifier, rights in entries
        ]
    )
    session.write(b"* ACL %b%b\r\n" % (mailbox_names.encode_name(name, session.utf8), response))
    return ok("Getacl completed.")


async def set_acl(call: "Call") -> TaggedResponse:
    args = call.args
    name = args.mailbox()
    args.space()
    identifier = wire.parse_identifier(args)
    args.space()
    return await _change(call, name, identifier, wire.parse_change(args))


async def delete_acl(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.space()
    return await _change(call, name, wire.parse_identifier(call.args), wire.AclChange("", ""))


async def _change(call: "Call", name: str, identifier: str, change: wire.AclChange) -> TaggedResponse:
    call.args.end()
    session = call.session
    identifier = await session.executor.run_in_pool(_normalize_identifier, identifier)
    refusal = await session.executor.run_in_pool(access_rights.change_entry, session.owner, name, identifier, change)
    return refusal_response(refusal) if refusal is not None else ok(f"{call.name.capitalize()} completed.")


def _normalize_identifier(identifier: str) -> str:
    name = identifier.removeprefix("-")
    normalized = access_rights.ANYONE if name.lower() == access_rights.ANYONE else full_address(name)
    return ("-" if identifier.startswith("-") else "") + normalized


async def list_rights(call: "Call") -> TaggedResponse:
    """Execute LISTRIGHTS: each right can be granted separately; the owner always has all."""
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    identifier = wire.parse_identifier(args)
    args.end()
    entries = await session.executor.run_in_pool(access_rights.list_entries, session.owner, name)
    if isinstance(entries, Refusal):
        return refusal_response(entries)
    owners = entries[0][0] == await session.executor.run_in_pool(_normalize_identifier, identifier)
    rights = wire.ALL if owners else '"" ' + " ".join(wire.ALL)
    response = (mailbox_names.encode_name(name, session.utf8), _format_astring(identifier), rights.encode())
    session.write(b"* LISTRIGHTS %b %b %b\r\n" % response)
    return ok("Listrights completed.")


async def my_rights(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    rights = await session.executor.run_in_pool(access_rights.my_rights, session.owner, name)
    if isinstance(rights, Refusal):
        return refusal_response(rights)
    session.untagged(f"MYRIGHTS {mailbox_names.encode_name(name, session.utf8).decode()} {wire.format_rights(rights)}")
    return ok("Myrights completed.")


def _format_astring(text: str) -> bytes:
    """Format an astring: an address or rights, which are usually an atom."""
    return mailbox_names.encode_name(text, utf8=True)
