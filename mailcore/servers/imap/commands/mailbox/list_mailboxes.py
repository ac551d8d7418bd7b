"""LIST, LSUB and STATUS.

RFC 9051 §6.3.9, §6.3.11, RFC 3501 §6.3.9, RFC 3348, RFC 5258, RFC 5819, RFC 6154, RFC 8438, RFC 9590.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.commands.mailbox import metadata
from mailcore.servers.imap.tagged_response import TaggedResponse, ok, refusal_response
from mailcore.store.mailbox import mailbox_metadata, mailboxes
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.store.mailbox.mailboxes import ListedMailbox, MailboxStatus
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.list_pattern import compile_pattern
from mailcore.wire.imap.syntax import list_syntax as wire
from mailcore.wire.imap.syntax.list_syntax import ListArguments

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_INLINE_MATCHES = 1000  # Names times patterns that are matched on the event loop.


async def list_names(call: "Call") -> TaggedResponse:
    arguments = wire.parse_list_arguments(call.args)
    session = call.session
    if arguments.patterns == ("",):
        session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return ok("List completed.")
    everything = await session.executor.run_read(mailboxes.list_mailboxes, session.owner)
    # Matching takes up to 20 µs per name and pattern: an account with 10,000 names must not block the event loop.
    if len(everything) * len(arguments.patterns) > _INLINE_MATCHES:
        matches = await session.executor.run_in_pool(_select_names, everything, arguments)
    else:
        matches = _select_names(everything, arguments)
    statuses: dict[str, MailboxStatus] = {}
    if arguments.status:
        selectable_names = [listed.name for listed, _ in matches if listed.selectable]
        statuses = await session.executor.run_in_pool(
            mailboxes.mailbox_status, session.owner, selectable_names, _wants_deleted(arguments.status)
        )
    entries: dict[str, dict[str, bytes]] = {}
    if arguments.metadata:
        existing = [listed.name for listed, _ in matches if listed.exists]
        entries = await session.executor.run_in_pool(
            mailbox_metadata.get_entries_of, session.owner, existing, arguments.metadata
        )
    parents = parent_names(everything)
    for listed, child_subscribed in matches:
        session.write(list_response(session, listed, parents, arguments, child_subscribed))
        if listed.name in statuses:
            session.write(status_response(session, statuses[listed.name], arguments.status))
        if listed.name in entries:
            metadata.metadata_response(
                session, listed.name, {**dict.fromkeys(arguments.metadata), **entries[listed.name]}
            )
    return ok("List completed.")


def list_response(
    session: "Session",
    listed: ListedMailbox,
    parents: set[str],
    arguments: ListArguments,
    child_subscribed: bool = False,
    old_name: str = "",
) -> bytes:
    """Return a LIST response. `parents`: names that have children; `old_name`: the name before a rename."""
    attributes = " ".join(_name_attributes(listed, parents, arguments)).encode()
    extended = b' ("CHILDINFO" ("SUBSCRIBED"))' if child_subscribed else b""
    if old_name:
        extended = b' ("OLDNAME" (%b))' % mailbox_names.encode_name(old_name, session.utf8)
    return b'* LIST (%b) "/" %b%b\r\n' % (attributes, mailbox_names.encode_name(listed.name, session.utf8), extended)


def parent_names(everything: Iterable[ListedMailbox]) -> set[str]:
    """Return the names that have existing names below them."""
    return _parent_names(listed.name for listed in everything if listed.exists)


def _select_names(everything: list[ListedMailbox], arguments: ListArguments) -> list[tuple[ListedMailbox, bool]]:
    """Return the listed mailboxes, each with True if a subscribed child is to be reported (RFC 5258 §3.5).

    That is so with RECURSIVEMATCH, for a mailbox with a subscribed child that is not itself among the results.
    """
    patterns = [compile_pattern(arguments.reference + pattern) for pattern in dict.fromkeys(arguments.patterns)]
    matching = [listed for listed in everything if any(pattern.matches(listed.name) for pattern in patterns)]
    results = {listed.name for listed in matching if _is_wanted(listed, arguments)}
    parents: set[str] = set()
    if "RECURSIVEMATCH" in arguments.selections:
        parents = _parent_names(
            listed.name for listed in everything if _is_wanted(listed, arguments) and listed.name not in results
        )
    return [(listed, listed.name in parents) for listed in matching if listed.name in results or listed.name in parents]


def _is_wanted(listed: ListedMailbox, arguments: ListArguments) -> bool:
    """Return True if the mailbox meets the selection options."""
    if "SPECIAL-USE" in arguments.selections and not listed.special_use:
        return False
    return listed.subscribed if "SUBSCRIBED" in arguments.selections else listed.exists


def _parent_names(names: Iterable[str]) -> set[str]:
    """Return the names above these."""
    return {name[:at] for name in names for at, character in enumerate(name) if character == mailbox_names.SEPARATOR}


def _name_attributes(listed: ListedMailbox, parents: set[str], arguments: ListArguments) -> list[str]:
    attributes = []
    if not listed.exists:
        attributes.append("\\NonExistent")
    elif not listed.selectable:
        attributes.append("\\Noselect")
    attributes.append("\\HasChildren" if listed.name in parents else "\\HasNoChildren")
    if listed.subscribed and ("SUBSCRIBED" in arguments.returns or "SUBSCRIBED" in arguments.selections):
        attributes.append("\\Subscribed")
    if listed.special_use:
        attributes.append(listed.special_use)
    return attributes


async def list_subscribed(call: "Call") -> TaggedResponse:
    r"""Execute LSUB: a name at which "%" stops, with a subscribed name below it, is listed as \\Noselect."""
    args = call.args
    reference = "" if args.skip_token(b'""') else args.mailbox()
    args.space()
    pattern = args.list_mailbox()
    args.end()
    session = call.session
    everything = await session.executor.run_read(mailboxes.list_mailboxes, session.owner)
    if len(everything) > _INLINE_MATCHES:
        names = await session.executor.run_in_pool(_subscribed, everything, reference + pattern)
    else:
        names = _subscribed(everything, reference + pattern)
    for name, selectable in sorted(names.items()):
        attributes = b"" if selectable else b"\\Noselect"
        session.write(b'* LSUB (%b) "/" %b\r\n' % (attributes, mailbox_names.encode_name(name, session.utf8)))
    return ok("Lsub completed.")


def _subscribed(everything: Iterable[ListedMailbox], pattern: str) -> dict[str, bool]:
    """Return the names for LSUB; False for a name that only has a subscribed name below it."""
    matcher = compile_pattern(pattern)
    names: dict[str, bool] = {}
    for listed in everything:
        if not listed.subscribed:
            continue
        if matcher.matches(listed.name):
            names[listed.name] = listed.selectable or not listed.exists
        elif pattern.endswith("%"):
            for at, character in enumerate(listed.name):
                if character == mailbox_names.SEPARATOR and matcher.matches(listed.name[:at]):
                    names.setdefault(listed.name[:at], False)
    return names


# --- STATUS ---------------------------------------------------------------------------------------


async def status(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    items = wire.parse_status_items(args)
    args.end()
    if "HIGHESTMODSEQ" in items:
        session.enable("CONDSTORE")
    statuses = await session.executor.run_read(mailboxes.mailbox_status, session.owner, [name], _wants_deleted(items))
    if name not in statuses:
        return refusal_response(NO_SUCH_MAILBOX)
    session.write(status_response(session, statuses[name], items))
    return ok("Status completed.")


def _wants_deleted(items: Iterable[str]) -> bool:
    return any(item.startswith("DELETED") for item in items)


def status_response(session: "Session", mailbox_status: MailboxStatus, items: Iterable[str]) -> bytes:
    values = {
        "MESSAGES": mailbox_status.messages,
        "RECENT": mailbox_status.recent,
        "UIDNEXT": mailbox_status.uid_next,
        "UIDVALIDITY": mailbox_status.uid_validity,
        "UNSEEN": mailbox_status.unseen,
        "SIZE": mailbox_status.size,
        "HIGHESTMODSEQ": mailbox_status.highest_modseq,
        "DELETED": mailbox_status.deleted,
        "DELETED-STORAGE": mailbox_status.deleted_size,
        "APPENDLIMIT": conf.current().message_size_limit or "NIL",
        "MAILBOXID": f"(F{mailbox_status.mailbox_id})",
    }
    values_text = " ".join(f"{item} {values[item]}" for item in items)
    return b"* STATUS %b (%b)\r\n" % (
        mailbox_names.encode_name(mailbox_status.name, session.utf8),
        values_text.encode(),
    )
