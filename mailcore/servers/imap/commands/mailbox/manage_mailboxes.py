"""Commands that create, rename, delete and subscribe to mailboxes (RFC 9051 §6.3.4–§6.3.8, §6.3.10, RFC 6154)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, no, ok, refusal_response
from mailcore.store.mailbox import mailboxes
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call


async def namespace(call: "Call") -> TaggedResponse:
    """Execute NAMESPACE (RFC 2342): the user's own mailboxes, and those shared by other users."""
    call.args.end()
    call.session.untagged(f'NAMESPACE (("" "/")) (("{mailbox_names.OTHER_USERS}/" "/")) NIL')
    return ok("Namespace completed.")


async def create(call: "Call") -> TaggedResponse:
    args = call.args
    name = args.mailbox()
    uses: list[str] = []
    if args.skip_space():
        args.open_list()
        if args.keyword() != "USE":
            raise BadSyntax("USE expected")
        args.space()
        uses = args.list_of(args.flag)
        args.close_list()
    args.end()
    canonical = {use.lower(): use for use in mailboxes.SPECIAL_USES}
    if any(use.lower() not in canonical for use in uses) or len(uses) > 1:
        return no("Special use is not supported.", "USEATTR")
    use = canonical[uses[0].lower()] if uses else ""
    created = await call.session.executor.run_in_pool(mailboxes.create_mailbox, call.session.owner, name, use)
    if isinstance(created, Refusal):
        return refusal_response(created)
    return ok("Create completed.", f"MAILBOXID (F{created.id})")


async def delete(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    return _respond(call, await call.session.executor.run_in_pool(mailboxes.delete_mailbox, call.session.owner, name))


async def rename(call: "Call") -> TaggedResponse:
    args = call.args
    old = args.mailbox()
    args.space()
    new = args.mailbox()
    args.end()
    return _respond(
        call, await call.session.executor.run_in_pool(mailboxes.rename_mailbox, call.session.owner, old, new)
    )


async def subscribe(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    return _respond(call, await call.session.executor.run_in_pool(mailboxes.subscribe_name, call.session.owner, name))


async def unsubscribe(call: "Call") -> TaggedResponse:
    name = call.args.mailbox()
    call.args.end()
    return _respond(call, await call.session.executor.run_in_pool(mailboxes.unsubscribe_name, call.session.owner, name))


def _respond(call: "Call", refusal: Refusal | None) -> TaggedResponse:
    return refusal_response(refusal) if refusal is not None else ok(f"{call.name.capitalize()} completed.")
