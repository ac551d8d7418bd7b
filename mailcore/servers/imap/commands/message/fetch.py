"""FETCH and UID FETCH (RFC 9051 §6.4.5, RFC 3516, RFC 7162, RFC 8474, RFC 8514, RFC 8970, RFC 9394).

Index data is answered from the index, column by column; files are opened only for content.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mailcore.servers.imap import fetch_columns
from mailcore.servers.imap.sequence_view import SequenceView
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, no, ok
from mailcore.store.db.message_table import UidRanges
from mailcore.store.mailbox import flag_cache, messages
from mailcore.store.mailbox.messages import MessageFile
from mailcore.wire.imap import response_format
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.sequence_set import SAVED_RESULT, NumberSet, format_numbers, resolve_ranges, slice_partial
from mailcore.wire.imap.syntax import fetch_syntax as wire
from mailcore.wire.message import body_section, mime

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session

log = logging.getLogger(__name__)

_ROWS = 2000  # Rows written between two waits for the client to read.
_BATCH_SIZE = 1 << 22  # Bytes of content read at once.
_RESPONSE_SIZE = 1 << 22  # Bytes of content after which a message's items continue in another response.
_INLINE_SIZE = 1 << 17  # Bytes of content short enough to be read without a thread.


async def fetch(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    numbers = args.sequence_set()
    args.space()
    items = wire.parse_fetch_items(args)
    modifiers = wire.parse_modifiers(args)
    view = session.view
    assert view is not None
    if modifiers.vanished and not ("QRESYNC" in session.enabled and call.by_uid):
        return bad("VANISHED needs QRESYNC and UID FETCH")
    if modifiers.partial is not None and not call.by_uid:
        return bad("PARTIAL needs UID FETCH")
    if modifiers.changed_since is not None or "MODSEQ" in items.attributes:
        session.enable("CONDSTORE")
    ranges = resolve_numbers(view, numbers, call.by_uid)
    if ranges is None:
        return bad("Invalid message sequence number")
    if modifiers.vanished:
        await _send_vanished(session, view, numbers, modifiers.changed_since or 0)
    if modifiers.partial is not None:
        ranges = view.ranges_of(slice_partial(modifiers.partial, view.uids_in(ranges)))
    if not ranges:
        return ok("Fetch completed.")
    attributes = _effective_attributes(call, items, modifiers.changed_since is not None)
    since = -1 if modifiers.changed_since is None else modifiers.changed_since
    if items.contents:
        # With and without PEEK an item is answered alike, and once.
        contents = list({(each.label, each.partial): each for each in items.contents}.values())
        modseq, changed = 0, set[int]()
        if items.sets_seen and not view.read_only and view.box.has_rights("s"):
            modseq, changed = await _mark_seen(session, view, ranges)
        failure = await _send_contents(session, view, ranges, attributes, contents, since, changed)
        if not changed:
            # Reported once is enough: some clients take a second report for another message.
            view.record_own_change(modseq)
        if failure is not None:
            return failure
    else:
        await _send_listed(session, view, ranges, attributes, since)
    return ok("Fetch completed.")


async def send_new_messages(
    session: "Session", view: SequenceView, uids: Sequence[int], items: wire.FetchItems | None
) -> None:
    """Send FETCH responses for new messages, as NOTIFY requested (RFC 5465 §5.2)."""
    if items is None:
        return
    ranges, attributes = view.ranges_of(uids), list(items.attributes)
    if "UID" not in attributes and "UIDONLY" not in session.enabled:
        attributes.insert(0, "UID")
    if items.contents:
        await _send_contents(session, view, ranges, attributes, items.contents, -1, set())
    else:
        await _send_listed(session, view, ranges, attributes, -1)


def resolve_numbers(view: SequenceView, numbers: NumberSet, by_uid: bool) -> UidRanges | None:
    """Return the UIDs of a command's messages; None if a sequence number does not exist."""
    if numbers is SAVED_RESULT:
        return view.saved
    assert isinstance(numbers, tuple)
    return view.uid_ranges(numbers) if by_uid else view.uids_of_sequences(numbers)


async def _send_vanished(session: "Session", view: SequenceView, numbers: NumberSet, since: int) -> None:
    """Send VANISHED for the requested UIDs that are expunged (RFC 7162 §3.2.6), even if unknown to the client."""
    ranges = view.saved if numbers is SAVED_RESULT else resolve_ranges(numbers, view.uid_next - 1)
    vanished = await session.executor.run_in_pool(messages.vanished_uids, view.box.id, since, ranges)
    if vanished := [uid for uid in vanished if uid < view.uid_next and not view.sequence(uid)]:
        session.write(b"* VANISHED (EARLIER) %b\r\n" % format_numbers(vanished))


def _effective_attributes(call: "Call", items: wire.FetchItems, with_modseq: bool) -> list[str]:
    attributes = list(items.attributes)
    if call.by_uid and "UID" not in attributes and "UIDONLY" not in call.session.enabled:
        attributes.insert(0, "UID")
    if with_modseq and "MODSEQ" not in attributes:
        attributes.append("MODSEQ")
    return attributes


async def _mark_seen(session: "Session", view: SequenceView, ranges: UidRanges) -> tuple[int, set[int]]:
    r"""Set \\Seen for BODY[] without PEEK; return the change's MODSEQ and the UIDs, 0 if nothing changed."""
    rows = await session.executor.run_read(messages.list_columns, view.box.id, ("uid", "flags"), ranges)
    unseen = [uid for uid, flags in rows if not flags & wire_flags.SEEN and view.sequence(uid)]
    if not unseen:
        return 0, set()
    result = await session.executor.run_write(
        messages.store_flags, view.box, view.ranges_of(unseen), "add", wire_flags.SEEN, ()
    )
    session.in_background(messages.write_flag_names, view.box, result.stale)
    return result.modseq, set(unseen) if result.modseq else set()


def _response_prefixes(session: "Session", view: SequenceView, uids: Sequence[int]) -> tuple[bytes, Sequence[int]]:
    """Return the beginning of the responses, and the number in each: sequence number or, with UIDONLY, UID."""
    if "UIDONLY" in session.enabled:
        return b"* %d UIDFETCH (", uids
    return b"* %d FETCH (", view.sequences_of_rows(uids)


async def _send_listed(
    session: "Session", view: SequenceView, ranges: UidRanges, attributes: list[str], since: int
) -> None:
    if (
        since < 0
        and set(attributes) <= _FLAGS
        and view.count_in(ranges) >= _CACHE_FROM
        and await _send_flags(session, view, ranges, attributes)
    ):
        return
    form = fetch_columns.fetch_template(attributes)
    for piece in messages.uid_batches(ranges, _ROWS):
        rows = await session.executor.run_read(messages.list_columns, view.box.id, form.columns, piece, since)
        if rows:
            _announce_keywords(session, view, rows, form)
            begin, numbers = _response_prefixes(session, view, [row[0] for row in rows])
            arguments = fetch_columns.format_rows(form, rows)
            _mark_recent(session, view, rows, form, attributes, arguments)
            template = begin + form.template + b")\r\n"
            session.write(b"".join(map(template.__mod__, zip(numbers, *arguments, strict=True))))
            await session.connection.drain()


_FLAGS = {"UID", "FLAGS"}
_CACHE_FROM = 100  # Messages from which on the flag cache is faster than the index.


async def _send_flags(session: "Session", view: SequenceView, ranges: UidRanges, attributes: list[str]) -> bool:
    """Send many messages' flags from the flag cache. Return False, with nothing sent, if they are not cached."""
    if session.shows_recent and view.recent_count:
        return False
    known = await session.executor.run_read(flag_cache.cached_flags, view.box.id)
    if known is None or known.uid_validity != view.box.uid_validity:
        return False
    session.announce_keywords(view, known.keywords)
    for piece in messages.uid_batches(ranges, _ROWS):
        for first, last in piece:
            uids, flags = known.between(first, last)
            if not uids:
                continue
            begin, numbers = _response_prefixes(session, view, uids)
            template = begin + b" ".join(b"UID %d" if each == "UID" else b"FLAGS %b" for each in attributes) + b")\r\n"
            arguments = [uids if each == "UID" else flags for each in attributes]
            session.write(b"".join(map(template.__mod__, zip(numbers, *arguments, strict=True))))
        await session.connection.drain()
    return True


def _announce_keywords(
    session: "Session", view: SequenceView, rows: Sequence[tuple[Any, ...]], form: fetch_columns.FetchTemplate
) -> None:
    """Announce the keywords of rows before they are sent."""
    if "keywords" in form.columns:
        index = form.columns.index("keywords")
        session.announce_keywords(view, {row[index] for row in rows})


def _mark_recent(
    session: "Session",
    view: SequenceView,
    rows: Sequence[tuple[Any, ...]],
    form: fetch_columns.FetchTemplate,
    attributes: list[str],
    arguments: list[Any],
) -> None:
    r"""Format the flags of recent messages again, since only the session knows \\Recent."""
    if "FLAGS" not in attributes or not session.shows_recent or not view.recent_count:
        return
    flags, keywords = form.columns.index("flags"), form.columns.index("keywords")
    arguments[attributes.index("FLAGS")] = [
        response_format.format_flags(row[flags], row[keywords], view.is_recent(row[0])) for row in rows
    ]


# --- Content --------------------------------------------------------------------------------------


async def _send_contents(
    session: "Session",
    view: SequenceView,
    ranges: UidRanges,
    attributes: list[str],
    contents: Sequence[wire.ContentItem],
    since: int,
    changed: set[int],
) -> TaggedResponse | None:
    r"""Send content message by message; return a tagged response if some of it could not be read.

    A message whose file is missing is reported and skipped: the client gets the others. `changed` are the UIDs that
    the command has made \\Seen: their responses carry FLAGS (RFC 3501 §6.4.5), and they are removed from the set.
    """
    more = ("keywords", "modseq") if changed else ()
    form = fetch_columns.fetch_template(attributes, ("base_name", "flags", "size", *more))
    indexes = [form.columns.index(name) for name in ("base_name", "flags", "size")]
    failure: TaggedResponse | None = None
    written = 0
    lost: list[MessageFile] = []
    for piece in messages.uid_batches(ranges, _ROWS):
        rows = await session.executor.run_read(messages.list_columns, view.box.id, form.columns, piece, since)
        if not rows:
            continue
        _announce_keywords(session, view, rows, form)
        begin, numbers = _response_prefixes(session, view, [row[0] for row in rows])
        arguments = fetch_columns.format_rows(form, rows) if attributes else []
        _mark_recent(session, view, rows, form, attributes, arguments)
        template = begin + form.template
        heads = list(map(template.__mod__, zip(numbers, *arguments, strict=True)))
        updates = _flag_updates(session, view, rows, changed, form, attributes) if changed else {}
        files = [MessageFile(row[0], row[indexes[0]], row[indexes[1]], row[indexes[2]]) for row in rows]
        for start, end in _read_batches(files):
            bodies = await _read_files(session, view, files[start:end])
            for file, head, content in zip(files[start:end], heads[start:end], bodies, strict=True):
                if content is None:
                    lost.append(file)
                    continue
                prefix = b"%b%b%b" % (head, b" " if attributes else b"", updates.get(file.uid, b""))
                try:
                    await _send_message(session, prefix, content, contents)
                except body_section.UndecodablePart:
                    failure = no("Unknown transfer encoding", "UNKNOWN-CTE")
                    continue
                written += 1
                changed.discard(file.uid)
            await session.connection.drain()
    return failure or (await _report_lost(session, view, lost, written) if lost else None)


def _flag_updates(
    session: "Session",
    view: SequenceView,
    rows: Sequence[tuple[Any, ...]],
    changed: set[int],
    form: fetch_columns.FetchTemplate,
    attributes: list[str],
) -> dict[int, bytes]:
    """Return the items that report changed flags and were not requested, by UID."""
    updates: dict[int, bytes] = {}
    for row in rows:
        if row[0] not in changed:
            continue
        column = dict(zip(form.columns, row, strict=True))
        items = b""
        if "FLAGS" not in attributes:
            is_recent = session.shows_recent and view.is_recent(row[0])
            items += b"FLAGS %b " % response_format.format_flags(column["flags"], column["keywords"], is_recent)
        if session.condstore and "MODSEQ" not in attributes:
            items += b"MODSEQ (%d) " % column["modseq"]
        updates[row[0]] = items
    return updates


async def _report_lost(
    session: "Session", view: SequenceView, lost: Sequence[MessageFile], written: int
) -> TaggedResponse | None:
    """Return the response to a FETCH of messages without files: expunged by another session, or lost."""
    ranges = view.ranges_of([file.uid for file in lost])
    existing = {file.uid for file in await session.executor.run_in_pool(messages.message_files, view.box.id, ranges)}
    if not existing:
        return no("Some messages could not be read", "EXPUNGEISSUED")
    for file in lost:
        if file.uid in existing:
            log.error(
                "imap: file is lost: mailbox=%d %s, uid=%d, file=%s/%s; see mailindex --restore",
                *(view.box.id, view.box.name, file.uid, view.box.directory, file.base_name),
            )
    numbers = format_numbers(sorted(existing)).decode()
    text = f"Content of UID {numbers} is lost, the administrator can restore it"
    if not written:
        return no(text, "CONTACTADMIN")
    session.untagged(f"NO [CONTACTADMIN] {text}")
    return None


def _read_batches(files: Sequence[MessageFile]) -> list[tuple[int, int]]:
    """Return the slices of files to read together, limited by _BATCH_SIZE bytes."""
    batches: list[tuple[int, int]] = []
    start = size = 0
    for at, file in enumerate(files):
        if at > start and size + file.size > _BATCH_SIZE:
            batches.append((start, at))
            start, size = at, 0
        size += file.size
    batches.append((start, len(files)))
    return batches


async def _read_files(session: "Session", view: SequenceView, files: Sequence[MessageFile]) -> list[bytes | None]:
    if len(files) == 1 and files[0].size < _INLINE_SIZE:
        return [await session.executor.run_read(messages.read_message, view.box, files[0])]
    return await session.executor.run_in_pool(messages.read_messages, view.box, files)


async def _send_message(session: "Session", head: bytes, content: bytes, items: Sequence[wire.ContentItem]) -> None:
    """Send one message's content.

    A command of 64 KB can name thousands of items, each as large as the message. Those beyond _RESPONSE_SIZE bytes go
    into further responses, so memory stays bounded; and other sessions get a turn after as many bytes were searched.
    """
    # Parsed once for all: a page of the webmail asks for up to 500 parts, at 2.4 ms for each parse of such a message.
    tree = mime.parse_message(content) if len(items) > 1 and any(item.section.path for item in items) else None
    previous: tuple[object, bytes | None] = (None, None)
    parts: list[bytes] = []
    size = searched = 0
    for item in items:
        key = (item.kind == "raw", item.section)
        if previous[0] != key:
            previous = (key, _extract(content, item, tree))
            searched += len(content)
        if size > _RESPONSE_SIZE:
            session.write(b"%b%b)\r\n" % (head, b" ".join(parts)))
            parts, size = [], 0
            await session.connection.drain()
        parts.append(_format_content(previous[1], item))
        size += len(parts[-1])
        if searched > _RESPONSE_SIZE and len(items) > 1:
            searched = 0
            await asyncio.sleep(0)
    session.write(b"%b%b)\r\n" % (head, b" ".join(parts)))


def _extract(content: bytes, item: wire.ContentItem, tree: mime.Part | None) -> bytes | None:
    if item.kind == "raw":
        return body_section.extract_section(content, item.section, tree)
    return body_section.decode_part(content, item.section.path, tree)


def _format_content(data: bytes | None, item: wire.ContentItem) -> bytes:
    if item.kind == "binary size":
        return b"%b %d" % (item.label, len(data or b""))
    label = item.label
    if item.partial is not None:
        first, length = item.partial
        label += b"<%d>" % first
        if data is not None:
            data = data[first : first + length]
    if data is None:
        return label + b" NIL"
    value = (
        response_format.format_literal8(data)
        if item.kind == "binary" and b"\0" in data
        else response_format.format_literal(data)
    )
    return b"%b %b" % (label, value)
