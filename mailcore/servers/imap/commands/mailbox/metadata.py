"""GETMETADATA and SETMETADATA (RFC 5464)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, ok, refusal_response
from mailcore.store.mailbox import mailbox_metadata
from mailcore.values import Refusal
from mailcore.wire.imap import mailbox_names, response_format
from mailcore.wire.imap.syntax import metadata_syntax as wire

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


async def get_metadata(call: "Call") -> TaggedResponse:
    request = wire.parse_request(call.args)
    session = call.session
    found = await session.executor.run_read(
        mailbox_metadata.get_entries, session.owner, request.mailbox, request.entries, request.depth
    )
    if isinstance(found, Refusal):
        return refusal_response(found)
    shown: dict[str, bytes | None] = {**dict.fromkeys(request.entries), **found}
    too_long = [len(value) for value in found.values() if 0 <= request.max_size < len(value)]
    metadata_response(session, request.mailbox, {
        name: value for name, value in shown.items() if value is None or not 0 <= request.max_size < len(value)
    })  # fmt: skip
    return ok("Getmetadata completed.", f"METADATA LONGENTRIES {max(too_long)}" if too_long else "")


def metadata_response(session: "Session", mailbox: str, values: Mapping[str, bytes | None]) -> None:
    if values:
        shown = b" ".join([name.encode() + b" " + _format_value(value) for name, value in values.items()])
        session.write(b"* METADATA %b (%b)\r\n" % (mailbox_names.encode_name(mailbox, session.utf8), shown))


def _format_value(value: bytes | None) -> bytes:
    return (
        response_format.format_literal8(value)
        if value is not None and b"\0" in value
        else response_format.format_nstring(value)
    )


async def set_metadata(call: "Call") -> TaggedResponse:
    mailbox, values = wire.parse_changes(call.args)
    refusal = await call.session.executor.run_in_pool(mailbox_metadata.set_entries, call.session.owner, mailbox, values)
    return refusal_response(refusal) if refusal is not None else ok("Setmetadata completed.")
