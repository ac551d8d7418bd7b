"""STORE and EXPUNGE, with their UID forms (RFC 9051 §6.4.6, §6.4.3, RFC 4315, RFC 7162)."""

from typing import TYPE_CHECKING

from mailcore.servers.imap.commands.message.fetch import resolve_numbers
from mailcore.servers.imap.sequence_view import SequenceView
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, no, ok
from mailcore.store.mailbox import expunge as removal
from mailcore.store.mailbox import messages
from mailcore.store.mailbox.messages import Mode, StoreResult
from mailcore.wire.imap import sequence_set
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.cursor import BadSyntax, Cursor
from mailcore.wire.imap.sequence_set import SAVED_RESULT
from mailcore.wire.imap.syntax.acl_syntax import flags_mask

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

READ_ONLY = no("Mailbox is read-only", "READ-ONLY")
DENIED = no("Permission denied", "NOPERM")
_MODES: dict[str, Mode] = {"FLAGS": "replace", "+FLAGS": "add", "-FLAGS": "remove"}
MAX_KEYWORD = 100
MAX_KEYWORDS = 100


def split_flags(names: list[str]) -> tuple[int, tuple[str, ...]]:
    r"""Split flags into (bits, keywords); \\Recent is ignored, other unknown system flags are errors."""
    bits, keywords = 0, []
    for name in names:
        if name.startswith("\\"):
            if (bit := wire_flags.BITS.get(name.lower())) is not None:
                bits |= bit
            elif name.lower() != "\\recent":
                raise BadSyntax(f"Unknown system flag {name[:30]}")
        elif len(name) > MAX_KEYWORD:
            raise BadSyntax("Keyword is too long")
        else:
            keywords.append(name)
    if len(keywords) > MAX_KEYWORDS:
        raise BadSyntax("Too many keywords")
    return bits, tuple(keywords)


async def store(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    numbers = args.sequence_set()
    args.space()
    unchanged_since = _parse_unchanged_since(args)
    word = args.keyword()
    silent = word.endswith(".SILENT")
    mode = _MODES.get(word.removesuffix(".SILENT"))
    if mode is None:
        raise BadSyntax("FLAGS, +FLAGS or -FLAGS expected")
    args.space()
    bits, keywords = split_flags(args.flags())
    args.end()
    view = session.view
    assert view is not None
    if view.read_only:
        return READ_ONLY
    if not _has_flag_rights(view, mode, bits, keywords):
        return DENIED
    ranges = resolve_numbers(view, numbers, call.by_uid)
    if ranges is None:
        return bad("Invalid message sequence number")
    if unchanged_since >= 0:
        session.enable("CONDSTORE")
    if not ranges:
        return ok("Store completed.")
    result = await session.executor.run_write(
        messages.store_flags, view.box, ranges, mode, bits, keywords, unchanged_since
    )
    view.record_own_change(result.modseq)
    _send_results(call, view, result, silent)
    if result.stale:
        session.in_background(messages.write_flag_names, view.box, result.stale)
    if result.failed:
        failed = result.failed if call.by_uid else view.sequences(result.failed)
        return ok("Conditional STORE failed for some.", f"MODIFIED {sequence_set.format_numbers(failed).decode()}")
    return ok("Store completed.")


def _has_flag_rights(view: SequenceView, mode: Mode, bits: int, keywords: tuple[str, ...]) -> bool:
    """Return True if any of the flags may be changed: those without a right are ignored (RFC 4314 §4)."""
    mask = flags_mask(view.box.rights)
    if mode == "replace" or not (bits or keywords):
        return bool(mask)
    return bool(bits & mask) or bool(keywords and view.box.has_rights("w"))


def _parse_unchanged_since(args: Cursor) -> int:
    if not args.next_is(b"("):
        return -1
    args.open_list()
    if args.keyword() != "UNCHANGEDSINCE":
        raise BadSyntax("UNCHANGEDSINCE expected")
    args.space()
    value = args.number()
    args.close_list()
    args.space()
    return value


def _send_results(call: "Call", view: SequenceView, result: StoreResult, silent: bool) -> None:
    """Send an untagged FETCH for every message; for a silent STORE only MODSEQ, and only with CONDSTORE."""
    session = call.session
    if silent and not session.condstore:
        return
    session.announce_keywords(view, {row[2] for row in result.rows})
    numbers = view.sequences([row[0] for row in result.rows if row[0] < view.uid_next])
    out = []
    for number, (uid, flags, keywords, modseq) in zip(numbers, result.rows, strict=False):
        if not silent:
            out.append(session.flags_response(view, number, uid, flags, keywords, modseq, call.by_uid))
        elif modseq == result.modseq:
            if "UIDONLY" in session.enabled:
                out.append(b"* %d UIDFETCH (MODSEQ (%d))\r\n" % (uid, modseq))
            else:
                out.append(b"* %d FETCH (UID %d MODSEQ (%d))\r\n" % (number, uid, modseq))
    session.write(b"".join(out))


async def expunge(call: "Call") -> TaggedResponse:
    """Execute EXPUNGE or UID EXPUNGE (RFC 4315 §2.1)."""
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    ranges = view.known
    if call.by_uid:
        numbers = args.sequence_set()
        ranges = view.saved if numbers is SAVED_RESULT else (resolve_numbers(view, numbers, by_uid=True) or ())
    args.end()
    if view.read_only:
        return READ_ONLY
    if not view.box.has_rights("e"):
        return DENIED
    if not ranges:
        return ok("Expunge completed.")
    removed = await session.executor.run_in_pool(removal.expunge_deleted, view.box, ranges)
    if removed.files:
        session.in_background(removal.remove_files, view.box.directory, removed.files)
    code = f"HIGHESTMODSEQ {removed.modseq}" if removed.modseq and session.condstore else ""
    return ok("Expunge completed.", code)
