"""Commands that make, name and remove mailboxes (RFC 9051 §6.3.4–§6.3.8, §6.3.10, RFC 6154)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, no, ok, refused
from mailcore.store import mailboxes
from mailcore.terms import Refusal
from mailcore.wire.imap import names
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def namespace(call: "Call") -> Answer:
    """RFC 2342: one's own mailboxes, and those that others share."""
    call.args.end()
    call.session.untagged(f'NAMESPACE (("" "/")) (("{names.OTHERS}/" "/")) NIL')
    return ok("Namespace completed.")


async def create(call: "Call") -> Answer:
    args = call.args
    name = args.mailbox()
    uses: list[str] = []
    if args.skip(b" "):
        args.expect(b"(")
        if args.keyword() != "USE":
            raise BadSyntax("USE expected")
        args.space()
        uses = args.list_of(args.flag)
        args.expect(b")")
    args.end()
    spelled = {use.lower(): use for use in mailboxes.SPECIAL_USES}
    if any(use.lower() not in spelled for use in uses) or len(uses) > 1:
        return no("Special use is not supported.", "USEATTR")
    use = spelled[uses[0].lower()] if uses else ""
    made = await call.session.bridge.run(mailboxes.create, call.session.owner, name, use)
    if isinstance(made, Refusal):
        return refused(made)
    return ok("Create completed.", f"MAILBOXID (F{made.id})")


async def delete(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.end()
    return _done(call, await call.session.bridge.run(mailboxes.delete, call.session.owner, name))


async def rename(call: "Call") -> Answer:
    args = call.args
    old = args.mailbox()
    args.space()
    new = args.mailbox()
    args.end()
    return _done(call, await call.session.bridge.run(mailboxes.rename, call.session.owner, old, new))


async def subscribe(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.end()
    return _done(call, await call.session.bridge.run(mailboxes.subscribe, call.session.owner, name))


async def unsubscribe(call: "Call") -> Answer:
    name = call.args.mailbox()
    call.args.end()
    return _done(call, await call.session.bridge.run(mailboxes.unsubscribe, call.session.owner, name))


def _done(call: "Call", refusal: Refusal | None) -> Answer:
    return refused(refusal) if refusal is not None else ok(f"{call.name.capitalize()} completed.")
