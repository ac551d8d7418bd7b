"""LIST, LSUB, STATUS (RFC 9051 §6.3.9, §6.3.11, RFC 3501 §6.3.9, RFC 3348, RFC 5258, RFC 5819, RFC 6154,
RFC 8438, RFC 9590)."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.answer import Answer, ok, refused
from mailcore.servers.imap.commands import metadata
from mailcore.store import annotations, mailboxes
from mailcore.store.access import NO_SUCH
from mailcore.store.mailboxes import Listed, Status
from mailcore.wire.imap import listing as wire
from mailcore.wire.imap import names
from mailcore.wire.imap.listing import ListArguments
from mailcore.wire.imap.pattern import compile_pattern

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

_INLINE_MATCHES = 1000  # names times patterns that are matched on the event loop


async def list_names(call: "Call") -> Answer:
    arguments = wire.arguments(call.args)
    session = call.session
    if arguments.patterns == ("",):
        session.write(b'* LIST (\\Noselect) "/" ""\r\n')
        return ok("List completed.")
    everything = await session.bridge.read(mailboxes.listing, session.owner)
    # Matching costs up to 20 µs a name and pattern: an account with 10,000 names is not for the event loop.
    if len(everything) * len(arguments.patterns) > _INLINE_MATCHES:
        shown = await session.bridge.run(_shown, everything, arguments)
    else:
        shown = _shown(everything, arguments)
    statuses: dict[str, Status] = {}
    if arguments.status:
        wanted = [listed.name for listed, _ in shown if listed.selectable]
        statuses = await session.bridge.run(mailboxes.status, session.owner, wanted, _wants_deleted(arguments.status))
    notes: dict[str, dict[str, bytes]] = {}
    if arguments.metadata:
        there = [listed.name for listed, _ in shown if listed.exists]
        notes = await session.bridge.run(annotations.get_many, session.owner, there, arguments.metadata)
    above = parents(everything)
    for listed, child_subscribed in shown:
        session.write(line(session, listed, above, arguments, child_subscribed))
        if listed.name in statuses:
            session.write(status_response(session, statuses[listed.name], arguments.status))
        if listed.name in notes:
            metadata.tell(session, listed.name, {**dict.fromkeys(arguments.metadata), **notes[listed.name]})
    return ok("List completed.")


def line(
    session: "Session", listed: Listed, above: set[str], arguments: ListArguments, child_subscribed: bool = False,
    old_name: str = "",
) -> bytes:  # fmt: skip
    """A LIST response. `above`: names that have others below them; `old_name`: what it was renamed from."""
    attributes = " ".join(_attributes(listed, above, arguments)).encode()
    extended = b' ("CHILDINFO" ("SUBSCRIBED"))' if child_subscribed else b""
    if old_name:
        extended = b' ("OLDNAME" (%b))' % names.encode(old_name, session.utf8)
    return b'* LIST (%b) "/" %b%b\r\n' % (attributes, names.encode(listed.name, session.utf8), extended)


def parents(everything: Iterable[Listed]) -> set[str]:
    """Names that have existing names below them."""
    return {
        listed.name[:at]
        for listed in everything
        if listed.exists
        for at, character in enumerate(listed.name)
        if character == names.SEPARATOR
    }


def _shown(everything: list[Listed], arguments: ListArguments) -> list[tuple[Listed, bool]]:
    """What is listed, and whether something subscribed below it is the reason to say so (RFC 5258 §3.5)."""
    patterns = [compile_pattern(arguments.reference + pattern) for pattern in dict.fromkeys(arguments.patterns)]
    subscribed_only = "SUBSCRIBED" in arguments.selections
    recursive = "RECURSIVEMATCH" in arguments.selections
    below = _parents_of_subscribed(everything) if recursive else set()
    found: list[tuple[Listed, bool]] = []
    for listed in everything:
        if not any(pattern.matches(listed.name) for pattern in patterns):
            continue
        if "SPECIAL-USE" in arguments.selections and not listed.special_use:
            continue
        if subscribed_only and not listed.subscribed:
            if listed.name in below:
                found.append((listed, True))
            continue
        if listed.exists or subscribed_only:
            found.append((listed, listed.name in below))
    return found


def _parents_of_subscribed(everything: Iterable[Listed]) -> set[str]:
    return {
        listed.name[:at]
        for listed in everything
        if listed.subscribed
        for at, character in enumerate(listed.name)
        if character == names.SEPARATOR
    }


def _attributes(listed: Listed, above: set[str], arguments: ListArguments) -> list[str]:
    attributes = []
    if not listed.exists:
        attributes.append("\\NonExistent")
    elif not listed.selectable:
        attributes.append("\\Noselect")
    attributes.append("\\HasChildren" if listed.name in above else "\\HasNoChildren")
    if listed.subscribed and ("SUBSCRIBED" in arguments.returns or "SUBSCRIBED" in arguments.selections):
        attributes.append("\\Subscribed")
    if listed.special_use:
        attributes.append(listed.special_use)
    return attributes


async def list_subscribed(call: "Call") -> Answer:
    """LSUB: a name that "%" stops at while something below is subscribed is listed as \\Noselect."""
    args = call.args
    reference = "" if args.skip(b'""') else args.mailbox()
    args.space()
    pattern = args.list_mailbox()
    args.end()
    session = call.session
    everything = await session.bridge.read(mailboxes.listing, session.owner)
    if len(everything) > _INLINE_MATCHES:
        found = await session.bridge.run(_subscribed, everything, reference + pattern)
    else:
        found = _subscribed(everything, reference + pattern)
    for name, selectable in sorted(found.items()):
        attributes = b"" if selectable else b"\\Noselect"
        session.write(b'* LSUB (%b) "/" %b\r\n' % (attributes, names.encode(name, session.utf8)))
    return ok("Lsub completed.")


def _subscribed(everything: Iterable[Listed], pattern: str) -> dict[str, bool]:
    """Names for LSUB; False where only something below a name is subscribed to."""
    matcher = compile_pattern(pattern)
    found: dict[str, bool] = {}
    for listed in everything:
        if not listed.subscribed:
            continue
        if matcher.matches(listed.name):
            found[listed.name] = listed.selectable or not listed.exists
        elif pattern.endswith("%"):
            for at, character in enumerate(listed.name):
                if character == names.SEPARATOR and matcher.matches(listed.name[:at]):
                    found.setdefault(listed.name[:at], False)
    return found


# --- STATUS ---------------------------------------------------------------------------------------


async def status(call: "Call") -> Answer:
    args, session = call.args, call.session
    name = args.mailbox()
    args.space()
    items = wire.status_items(args)
    args.end()
    if "HIGHESTMODSEQ" in items:
        session.enable("CONDSTORE")
    found = await session.bridge.read(mailboxes.status, session.owner, [name], _wants_deleted(items))
    if name not in found:
        return refused(NO_SUCH)
    session.write(status_response(session, found[name], items))
    return ok("Status completed.")


def _wants_deleted(items: Iterable[str]) -> bool:
    return any(item.startswith("DELETED") for item in items)


def status_response(session: "Session", found: Status, items: Iterable[str]) -> bytes:
    values = {
        "MESSAGES": found.messages,
        "RECENT": found.recent,
        "UIDNEXT": found.uid_next,
        "UIDVALIDITY": found.uid_validity,
        "UNSEEN": found.unseen,
        "SIZE": found.size,
        "HIGHESTMODSEQ": found.highest_modseq,
        "DELETED": found.deleted,
        "DELETED-STORAGE": found.deleted_size,
        "APPENDLIMIT": conf.current().message_size_limit or "NIL",
        "MAILBOXID": f"(F{found.mailbox_id})",
    }
    told = " ".join(f"{item} {values[item]}" for item in items)
    return b"* STATUS %b (%b)\r\n" % (names.encode(found.name, session.utf8), told.encode())
