"""Rights to mailboxes (RFC 4314): GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS."""

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
    found = await session.executor.run_in_pool(access_rights.list_entries, session.owner, name)
    if isinstance(found, Refusal):
        return refusal_response(found)
    told = b"".join([b" %b %b" % (_quoted(who), _quoted(wire.format_rights(rights))) for who, rights in found])
    session.write(b"* ACL %b%b\r\n" % (mailbox_names.encode_name(name, session.utf8), told))
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


async def _change(call: "Call", name: str, identifier: str, wanted: wire.AclChange) -> TaggedResponse:
    call.args.end()
    session = call.session
    who = await session.executor.run_in_pool(_canonical, identifier)
    refusal = await session.executor.run_in_pool(access_rights.change_entry, session.owner, name, who, wanted)
    return refusal_response(refusal) if refusal is not None else ok(f"{call.name.capitalize()} completed.")


def _canonical(identifier: str) -> str:
    who = identifier.removeprefix("-")
    found = access_rights.ANYONE if who.lower() == access_rights.ANYONE else full_address(who)
    return ("-" if identifier.startswith("-") else "") + found


async def list_rights(call: "Call") -> TaggedResponse:
    """Every right can be given by itself; the owner has them all, always."""
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    identifier = wire.parse_identifier(args)
    args.end()
    found = await session.executor.run_in_pool(access_rights.list_entries, session.owner, name)
    if isinstance(found, Refusal):
        return refusal_response(found)
    owners = found[0][0] == await session.executor.run_in_pool(_canonical, identifier)
    rights = wire.ALL if owners else '"" ' + " ".join(wire.ALL)
    told = (mailbox_names.encode_name(name, session.utf8), _quoted(identifier), rights.encode())
    session.write(b"* LISTRIGHTS %b %b %b\r\n" % told)
    return ok("Listrights completed.")


async def my_rights(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.executor.run_in_pool(access_rights.my_rights, session.owner, name)
    if isinstance(found, Refusal):
        return refusal_response(found)
    session.untagged(f"MYRIGHTS {mailbox_names.encode_name(name, session.utf8).decode()} {wire.format_rights(found)}")
    return ok("Myrights completed.")


def _quoted(text: str) -> bytes:
    """An astring: an address or rights, seldom more than an atom."""
    return mailbox_names.encode_name(text, utf8=True)
