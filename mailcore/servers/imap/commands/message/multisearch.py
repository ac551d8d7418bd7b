"""ESEARCH: search of several mailboxes at once (RFC 7377)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.commands.message.search import esearch_items, search_context, search_limits
from mailcore.servers.imap.tagged_response import UID_REQUIRED, TaggedResponse, bad, no, ok
from mailcore.store.db.message_table import UidRanges
from mailcore.store.mailbox import mailboxes
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox import search_query as store
from mailcore.store.mailbox.search_query import SearchContext
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names, sequence_set
from mailcore.wire.imap.syntax import fetch_syntax as fetch_wire
from mailcore.wire.imap.syntax import mailbox_filter
from mailcore.wire.imap.syntax import search_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


async def esearch(call: "Call") -> TaggedResponse:
    """Execute ESEARCH: one response for each mailbox with matches."""
    args, session = call.args, call.session
    scopes = [mailbox_filter.MailboxFilter("SELECTED")]
    if args.skip_word(b"IN"):
        args.space()
        scopes = args.list_of(lambda: mailbox_filter.parse_filter(args))
        args.space()
    returning = wire.parse_return_options(args, fetch_wire.parse_partial_range)
    charset = "UTF-8"
    if args.skip_word(b"CHARSET"):
        args.space()
        charset = wire.parse_charset(args)
        args.space()
    try:
        key = wire.parse_program(args, charset, search_limits())
    except wire.UnknownCharset:
        return no("Charset is not supported", "BADCHARSET (US-ASCII UTF-8)")
    if any(each.kind == "SELECTED-DELAYED" for each in scopes):
        return bad("selected-delayed is for NOTIFY")
    if returning.save or returning.update:
        return bad("SAVE and UPDATE are for SEARCH")
    if wire.uses_sequence_numbers(key):
        return UID_REQUIRED if "UIDONLY" in session.enabled else bad("Message numbers need a single mailbox")
    names = await _selected_names(session, scopes)
    if names is None:
        return bad("No mailbox is selected")
    for name in names:
        await _search_mailbox(call, name, key, returning)
    return ok("Esearch completed.")


async def _selected_names(session: "Session", scopes: list[mailbox_filter.MailboxFilter]) -> list[str] | None:
    """Return the names of the mailboxes to search; None if the selected one is requested and there is none."""
    names: dict[str, None] = {}
    if any(each.kind == "SELECTED" for each in scopes):
        if session.view is None:
            return None
        names[session.view.box.display_name] = None
    if any(each.kind != "SELECTED" for each in scopes):
        everything = await session.executor.run_read(mailboxes.list_mailboxes, session.owner)
        names.update(
            dict.fromkeys(
                listed.name
                for listed in everything
                if listed.exists
                and listed.selectable
                and mailbox_filter.matches_any(scopes, listed.name, listed.subscribed)
            )
        )
    return list(names)


async def _search_mailbox(call: "Call", name: str, key: wire.SearchKey, returning: wire.ReturnOptions) -> None:
    session = call.session
    opened = await session.executor.run_in_pool(boxes.open_mailbox, session.owner, name, True)
    if isinstance(opened, Refusal):  # Removed meanwhile.
        return
    view = session.view
    context = (
        search_context(view, key) if view is not None and view.box.id == opened.box.id else _search_context(opened, key)
    )
    rows = await session.executor.run_in_pool(store.find_with_modseq, opened.box.id, key, context)
    session.server.on_search(opened.box.id, len(opened.uids), key)
    if not rows:
        return
    modseqs = [modseq for _, modseq in rows] if wire.uses_modseq(key) else []
    items = b" ".join(esearch_items(returning, [uid for uid, _ in rows], modseqs))
    fields = (call.tag, mailbox_names.encode_name(name, session.utf8), opened.box.uid_validity, items)
    session.write(b'* ESEARCH (TAG "%b" MAILBOX %b UIDVALIDITY %d) UID %b\r\n' % fields)


def _search_context(opened: boxes.OpenedMailbox, key: wire.SearchKey) -> SearchContext:
    r"""Return the context of a mailbox that is not selected: without \\Recent or saved results."""
    last = opened.uids[-1] if opened.uids else 0
    sets: dict[wire.Numbers, UidRanges] = {}

    def visit(each: wire.SearchKey) -> None:
        if isinstance(each, wire.Numbers):
            sets[each] = sequence_set.resolve_ranges(each.ranges, last) if isinstance(each.ranges, tuple) else ()

    wire.walk_keys(key, visit)
    return SearchContext(((1, last),) if last else (), sets, ())
