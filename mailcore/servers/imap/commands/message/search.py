"""SEARCH, SORT and THREAD with their UID forms.

RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 5267, RFC 7162, RFC 9394.
"""

from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap.live_search import LiveSearch
from mailcore.servers.imap.sequence_view import SequenceView
from mailcore.servers.imap.tagged_response import UID_REQUIRED, TaggedResponse, bad, no, ok
from mailcore.store.db.message_table import UidRanges
from mailcore.store.mailbox import search_query as store
from mailcore.store.mailbox import sort_thread
from mailcore.store.mailbox.search_query import SearchContext
from mailcore.wire.imap import sequence_set
from mailcore.wire.imap import threading_algorithms as threads
from mailcore.wire.imap.sequence_set import SAVED_RESULT
from mailcore.wire.imap.syntax import fetch_syntax as fetch_wire
from mailcore.wire.imap.syntax import search_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

_DEEPEST = 200  # a level takes three of the thousand calls that Python allows in each other
_MOST_ALTERNATIONS = 30  # of SQLite's parser
_BAD_CHARSET = no("Charset is not supported", "BADCHARSET (US-ASCII UTF-8)")


def search_context(view: SequenceView, key: wire.SearchKey) -> SearchContext:
    """Return the session's state that the store needs to evaluate `key`."""
    sets: dict[wire.Numbers, UidRanges] = {}

    def visit(each: wire.SearchKey) -> None:
        if isinstance(each, wire.Numbers):
            if each.ranges is SAVED_RESULT:
                sets[each] = view.saved
            elif isinstance(each.ranges, tuple):
                sets[each] = view.uid_ranges(each.ranges) if each.uid else view.clip_to_known(each.ranges)

    wire.walk_keys(key, visit)
    return SearchContext(view.known, sets, view.recent)


async def search(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    returning = wire.parse_return_options(args, fetch_wire.parse_partial_range)
    charset = "UTF-8"
    if args.skip_word(b"CHARSET"):
        if "UTF8=ACCEPT" in session.enabled:
            return bad("CHARSET is not used with UTF8=ACCEPT")  # RFC 6855 §3.
        args.space()
        charset = wire.parse_charset(args)
        args.space()
    key = _parse_program(call, charset)
    if isinstance(key, TaggedResponse):
        return key
    modseqs: list[int] = []
    context = search_context(view, key)
    if wire.uses_modseq(key):
        session.enable("CONDSTORE")
        rows = await session.executor.run_in_pool(store.find_with_modseq, view.box.id, key, context)
        uids, modseqs = [row[0] for row in rows], [row[1] for row in rows]
    else:
        uids = await session.executor.run_in_pool(store.find_uids, view.box.id, key, context)
    if returning.extended or "IMAP4REV2" in session.enabled:
        _extended_response(call, view, returning, uids, modseqs)
        _register_live_search(call, view, returning, LiveSearch(call.tag, call.by_uid, key, context, (), uids))
    else:
        _plain_response(call, view, uids, modseqs)
    session.server.on_search(view.box.id, len(view), key)
    return ok("Search completed.")


def search_limits() -> wire.SearchLimits:
    """Return the limits of search programs, as far as Python's and SQLite's parsers allow them."""
    parameters = conf.current()
    return wire.SearchLimits(
        depth=min(parameters.imap_search_max_depth, _DEEPEST),
        keys=parameters.imap_search_max_keys,
        string=parameters.imap_search_max_string,
        alternations=min(parameters.imap_search_max_alternations, _MOST_ALTERNATIONS),
    )


def _parse_program(call: "Call", charset: str) -> wire.SearchKey | TaggedResponse:
    try:
        key = wire.parse_program(call.args, charset, search_limits())
    except wire.UnknownCharset:
        return _BAD_CHARSET
    if "UIDONLY" in call.session.enabled and wire.uses_sequence_numbers(key):
        return UID_REQUIRED
    return key


def _plain_response(call: "Call", view: SequenceView, uids: list[int], modseqs: list[int]) -> None:
    """Send a SEARCH or SORT response, with MODSEQ if the search used it (RFC 7162 §3.1.5, §3.1.6)."""
    numbers = uids if call.by_uid else view.sequences(uids)
    words = "".join([f" {number}" for number in numbers])
    modseq = f" (MODSEQ {max(modseqs)})" if modseqs else ""
    call.session.write(f"* {call.name.removeprefix('UID ')}{words}{modseq}\r\n".encode())


def _register_live_search(
    call: "Call", view: SequenceView, returning: wire.ReturnOptions, live_search: LiveSearch
) -> None:
    """Register a live search for RETURN (UPDATE), if there are not too many (RFC 5267 §4.3.1)."""
    if not returning.update:
        return
    if len(view.live_searches) >= conf.current().imap_max_live_searches or call.tag in view.live_searches:
        call.session.untagged(f'NO [NOUPDATE "{call.tag.decode()}"] Too many contexts')
    else:
        view.live_searches[call.tag] = live_search


async def cancel_update(call: "Call") -> TaggedResponse:
    """Execute CANCELUPDATE (RFC 5267 §4.3.5)."""
    args = call.args
    tags = [args.string()]
    while args.skip_space():
        tags.append(args.string())
    args.end()
    view = call.session.view
    assert view is not None
    if any(tag not in view.live_searches for tag in tags):
        return bad("No such context")
    for tag in tags:
        del view.live_searches[tag]
    return ok("Contexts are gone.")


def _extended_response(
    call: "Call", view: SequenceView, returning: wire.ReturnOptions, uids: list[int], modseqs: list[int]
) -> None:
    """Send an ESEARCH response and save the result if requested; numbers are in SORT's order."""
    session = call.session
    if returning.save:
        _save_result(view, returning, uids)
    numbers = uids if call.by_uid else view.sequences(uids)
    items = esearch_items(returning, numbers, modseqs)
    if returning.save and not items and not _wants_output(returning):
        return
    kind = b" UID" if call.by_uid else b""
    session.write(b" ".join([b'* ESEARCH (TAG "%b")%b' % (call.tag, kind), *items]) + b"\r\n")


def esearch_items(returning: wire.ReturnOptions, numbers: list[int], modseqs: list[int]) -> list[bytes]:
    """Return the items of an ESEARCH response (RFC 4731 §3.1)."""
    items = []
    if numbers and returning.minimum:
        items.append(b"MIN %d" % numbers[0])
    if numbers and returning.maximum:
        items.append(b"MAX %d" % numbers[-1])
    if returning.count:
        items.append(b"COUNT %d" % len(numbers))
    if numbers and (returning.all or not returning.extended):
        items.append(b"ALL " + sequence_set.format_numbers(numbers))
    if returning.partial is not None:
        items.append(_partial_item(returning.partial, numbers))
    if modseqs:
        items.append(b"MODSEQ %d" % _result_modseq(returning, modseqs))
    return items


def _wants_output(returning: wire.ReturnOptions) -> bool:
    return any((returning.minimum, returning.maximum, returning.all, returning.count, returning.partial))


def _result_modseq(returning: wire.ReturnOptions, modseqs: list[int]) -> int:
    """Return the MODSEQ of a result: of MIN or MAX if only these are requested, else the highest (RFC 4731 §3.2)."""
    if not (returning.all or returning.count or returning.partial):
        if returning.minimum and returning.maximum:
            return max(modseqs[0], modseqs[-1])
        if returning.minimum:
            return modseqs[0]
        if returning.maximum:
            return modseqs[-1]
    return max(modseqs)


def _partial_item(requested: tuple[int, int], numbers: list[int]) -> bytes:
    """Return "PARTIAL (1:500 set)" (RFC 9394 §3.1)."""
    selected = sequence_set.slice_partial(requested, numbers)
    rendered = sequence_set.format_numbers(selected) if selected else b"NIL"
    return b"PARTIAL (%d:%d %b)" % (*requested, rendered)


def _save_result(view: SequenceView, returning: wire.ReturnOptions, uids: list[int]) -> None:
    """Save the result for "$"; with MIN or MAX alone, only those (RFC 5182 §2.4)."""
    if not (returning.all or returning.count or returning.partial) and (returning.minimum or returning.maximum):
        ends = ([uids[0]] if returning.minimum else []) + ([uids[-1]] if returning.maximum else []) if uids else []
        uids = sorted(set(ends))
    view.saved = view.ranges_of(sorted(uids))


async def sort(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    returning = wire.parse_return_options(args, fetch_wire.parse_partial_range)
    criteria = wire.parse_sort_criteria(args)
    args.space()
    charset = wire.parse_charset(args)
    args.space()
    key = _parse_program(call, charset)
    if isinstance(key, TaggedResponse):
        return key
    context = search_context(view, key)
    rows = await session.executor.run_in_pool(sort_thread.sort_messages, view.box, key, context, criteria)
    uids, modseqs = [row[0] for row in rows], []
    if wire.uses_modseq(key):
        session.enable("CONDSTORE")
        modseqs = [row[1] for row in rows]
    if returning.extended:
        _extended_response(call, view, returning, uids, modseqs)
        _register_live_search(call, view, returning, LiveSearch(call.tag, call.by_uid, key, context, criteria, uids))
    else:
        _plain_response(call, view, uids, modseqs)
    session.server.on_search(view.box.id, len(view), key)
    return ok("Sort completed.")


async def thread(call: "Call") -> TaggedResponse:
    """Execute THREAD (RFC 5256 §4)."""
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    algorithm = args.keyword()
    if algorithm not in threads.ALGORITHMS:
        return bad("Unknown threading algorithm")
    args.space()
    charset = wire.parse_charset(args)
    args.space()
    key = _parse_program(call, charset)
    if isinstance(key, TaggedResponse):
        return key
    numbers_of = None if call.by_uid else view.sequences
    rendered = await session.executor.run_in_pool(
        sort_thread.thread_messages, view.box, key, search_context(view, key), algorithm, numbers_of
    )
    session.write(b"* THREAD" + (b" " + rendered if rendered else b"") + b"\r\n")
    session.server.on_search(view.box.id, len(view), key)
    return ok("Thread completed.")
