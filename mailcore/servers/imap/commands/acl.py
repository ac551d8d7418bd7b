"""Rights to mailboxes (RFC 4314): GETACL, SETACL, DELETEACL, LISTRIGHTS, MYRIGHTS."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, ok, refused
from mailcore.store import access
from mailcore.store.login import full_address
from mailcore.terms import Refusal
from mailcore.wire.imap import acl as wire
from mailcore.wire.imap import names

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def get_acl(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.bridge.run(access.entries, session.owner, name)
    if isinstance(found, Refusal):
        return refused(found)
    told = b"".join([b" %b %b" % (_quoted(who), _quoted(wire.spelled(rights))) for who, rights in found])
    session.write(b"* ACL %b%b\r\n" % (names.encode(name, session.utf8), told))
    return ok("Getacl completed.")


async def set_acl(call: "Call") -> Answer:
    args = call.args
    name = args.mailbox()
    args.space()
    identifier = wire.identifier(args)
    args.space()
    return await _change(call, name, identifier, wire.change(args))


async def delete_acl(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.space()
    return await _change(call, name, wire.identifier(call.args), wire.Change("", ""))


async def _change(call: "Call", name: str, identifier: str, wanted: wire.Change) -> Answer:
    call.args.end()
    session = call.session
    who = await session.bridge.run(_canonical, identifier)
    refusal = await session.bridge.run(access.change, session.owner, name, who, wanted)
    return refused(refusal) if refusal is not None else ok(f"{call.name.capitalize()} completed.")


def _canonical(identifier: str) -> str:
    who = identifier.removeprefix("-")
    found = access.ANYONE if who.lower() == access.ANYONE else full_address(who)
    return ("-" if identifier.startswith("-") else "") + found


async def list_rights(call: "Call") -> Answer:
    """Every right can be given by itself; the owner has them all, always."""
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    identifier = wire.identifier(args)
    args.end()
    found = await session.bridge.run(access.entries, session.owner, name)
    if isinstance(found, Refusal):
        return refused(found)
    owners = found[0][0] == await session.bridge.run(_canonical, identifier)
    rights = wire.ALL if owners else '"" ' + " ".join(wire.ALL)
    told = (names.encode(name, session.utf8), _quoted(identifier), rights.encode())
    session.write(b"* LISTRIGHTS %b %b %b\r\n" % told)
    return ok("Listrights completed.")


async def my_rights(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.end()
    session = call.session
    found = await session.bridge.run(access.rights, session.owner, name)
    if isinstance(found, Refusal):
        return refused(found)
    session.untagged(f"MYRIGHTS {names.encode(name, session.utf8).decode()} {wire.spelled(found)}")
    return ok("Myrights completed.")


def _quoted(text: str) -> bytes:
    """An astring: an address or rights, seldom more than an atom."""
    return names.encode(text, utf8=True)
