"""SEARCH and SORT with their UID forms (RFC 9051 §6.4.4, RFC 4731, RFC 5182, RFC 5256, RFC 7162, RFC 9394)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, bad, no, ok
from mailcore.servers.imap.view import View
from mailcore.store import search as store
from mailcore.store.index import UidRanges
from mailcore.store.search import Frame
from mailcore.wire.imap import fetch as fetch_wire
from mailcore.wire.imap import search as wire
from mailcore.wire.imap import sequence
from mailcore.wire.imap import thread as threads
from mailcore.wire.imap.sequence import SAVED

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

_BAD_CHARSET = no("Charset is not supported", "BADCHARSET (US-ASCII UTF-8)")


def frame(view: View, key: wire.Key) -> Frame:
    """What the store has to know of the session to answer `key`."""
    sets: dict[wire.Numbers, UidRanges] = {}

    def visit(each: wire.Key) -> None:
        if isinstance(each, wire.Numbers):
            if each.ranges is SAVED:
                sets[each] = view.saved
            elif isinstance(each.ranges, tuple):
                sets[each] = view.uid_ranges(each.ranges) if each.uid else view.clipped(each.ranges)

    wire.walk(key, visit)
    return Frame(view.known, sets, view.recent)


async def search(call: "Call") -> Answer:
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    returning = wire.returning(args, fetch_wire.partial_range)
    charset = "UTF-8"
    if args.skip_word(b"CHARSET"):
        args.space()
        charset = wire.charset(args)
        args.space()
    try:
        key = wire.program(args, charset)
    except wire.UnknownCharset:
        return _BAD_CHARSET
    with_modseq = wire.mentions_modseq(key)
    modseqs: list[int] = []
    if with_modseq:
        session.enable("CONDSTORE")
        rows = await session.bridge.run(store.find_with_modseq, view.box.id, key, frame(view, key))
        uids, modseqs = [row[0] for row in rows], [row[1] for row in rows]
    else:
        uids = await session.bridge.run(store.find, view.box.id, key, frame(view, key))
    if returning.extended or "IMAP4REV2" in session.enabled:
        _extended(call, view, returning, uids, modseqs)
    else:
        numbers = uids if call.by_uid else view.sequences(uids)
        words = "".join([f" {number}" for number in numbers])
        modseq = f" (MODSEQ {max(modseqs)})" if modseqs else ""
        session.write(f"* SEARCH{words}{modseq}\r\n".encode())
    return ok("Search completed.")


def _extended(call: "Call", view: View, returning: wire.Returning, uids: list[int], modseqs: list[int]) -> None:
    """An ESEARCH response; what was asked to be saved is saved."""
    session = call.session
    if returning.save:
        _save(view, returning, uids)
    numbers = uids if call.by_uid else view.sequences(uids)
    told = [f'(TAG "{call.tag.decode()}")'.encode()]
    if call.by_uid:
        told.append(b"UID")
    if numbers and returning.minimum:
        told.append(b"MIN %d" % numbers[0])
    if numbers and returning.maximum:
        told.append(b"MAX %d" % numbers[-1])
    if returning.count:
        told.append(b"COUNT %d" % len(numbers))
    if numbers and (returning.all or not returning.extended):
        told.append(b"ALL " + sequence.render_numbers(numbers))
    if returning.partial is not None:
        told.append(_partial(returning.partial, numbers))
    if modseqs:
        told.append(b"MODSEQ %d" % _modseq(returning, modseqs))
    if returning.save and len(told) == (2 if call.by_uid else 1) and not _shows(returning):
        return
    session.write(b"* ESEARCH " + b" ".join(told) + b"\r\n")


def _shows(returning: wire.Returning) -> bool:
    return any((returning.minimum, returning.maximum, returning.all, returning.count, returning.partial))


def _modseq(returning: wire.Returning, modseqs: list[int]) -> int:
    """RFC 4731 §3.2: with only MIN or MAX asked for, theirs; else the highest of all."""
    if not (returning.all or returning.count or returning.partial):
        if returning.minimum and returning.maximum:
            return max(modseqs[0], modseqs[-1])
        if returning.minimum:
            return modseqs[0]
        if returning.maximum:
            return modseqs[-1]
    return max(modseqs)


def _partial(wanted: tuple[int, int], numbers: list[int]) -> bytes:
    """RFC 9394 §3.1: "PARTIAL (1:500 set)"."""
    low, high = sorted((abs(wanted[0]), abs(wanted[1])))
    if wanted[0] > 0:
        chosen = numbers[low - 1 : high]
    else:
        chosen = numbers[max(len(numbers) - high, 0) : len(numbers) - low + 1] if len(numbers) >= low else []
    rendered = sequence.render_numbers(chosen) if chosen else b"NIL"
    return b"PARTIAL (%d:%d %b)" % (*wanted, rendered)


def _save(view: View, returning: wire.Returning, uids: list[int]) -> None:
    """RFC 5182 §2.4: MIN and MAX alone save only theirs."""
    if not (returning.all or returning.count or returning.partial) and (returning.minimum or returning.maximum):
        ends = ([uids[0]] if returning.minimum else []) + ([uids[-1]] if returning.maximum else []) if uids else []
        uids = sorted(set(ends))
    view.saved = view.ranges_of(uids)


async def sort(call: "Call") -> Answer:
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    criteria = wire.sort_criteria(args)
    args.space()
    charset = wire.charset(args)
    args.space()
    try:
        key = wire.program(args, charset)
    except wire.UnknownCharset:
        return _BAD_CHARSET
    uids = await session.bridge.run(store.sort, view.box.id, key, frame(view, key), criteria)
    numbers = uids if call.by_uid else view.sequences(uids)
    session.write(("* SORT" + "".join([f" {number}" for number in numbers]) + "\r\n").encode())
    return ok("Sort completed.")


async def thread(call: "Call") -> Answer:
    """RFC 5256 §4."""
    args, session = call.args, call.session
    view = session.view
    assert view is not None
    algorithm = args.keyword()
    if algorithm not in threads.ALGORITHMS:
        return bad("Unknown threading algorithm")
    args.space()
    charset = wire.charset(args)
    args.space()
    try:
        key = wire.program(args, charset)
    except wire.UnknownCharset:
        return _BAD_CHARSET
    number = None if call.by_uid else view.sequence
    rendered = await session.bridge.run(_thread, view.box.id, key, frame(view, key), algorithm, number)
    session.write(b"* THREAD" + (b" " + rendered if rendered else b"") + b"\r\n")
    return ok("Thread completed.")


def _thread(mailbox_id: int, key: wire.Key, known: Frame, algorithm: str, number: Callable[[int], int] | None) -> bytes:
    """In a thread: trees of ten thousand messages take their time."""
    return threads.render(store.thread(mailbox_id, key, known, algorithm), number)
