"""GETMETADATA and SETMETADATA (RFC 5464)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, ok, refused
from mailcore.store import annotations
from mailcore.terms import Refusal
from mailcore.wire.imap import metadata as wire
from mailcore.wire.imap import names, render

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call, Session


async def get_metadata(call: "Call") -> Answer:
    asked = wire.question(call.args)
    session = call.session
    found = await session.bridge.read(annotations.get, session.owner, asked.mailbox, asked.entries, asked.depth)
    if isinstance(found, Refusal):
        return refused(found)
    told: dict[str, bytes | None] = {**dict.fromkeys(asked.entries), **found}
    too_long = [len(value) for value in found.values() if 0 <= asked.max_size < len(value)]
    tell(session, asked.mailbox, {
        name: value for name, value in told.items() if value is None or not 0 <= asked.max_size < len(value)
    })  # fmt: skip
    return ok("Getmetadata completed.", f"METADATA LONGENTRIES {max(too_long)}" if too_long else "")


def tell(session: "Session", mailbox: str, values: Mapping[str, bytes | None]) -> None:
    if values:
        told = b" ".join([name.encode() + b" " + _value(value) for name, value in values.items()])
        session.write(b"* METADATA %b (%b)\r\n" % (names.encode(mailbox, session.utf8), told))


def _value(value: bytes | None) -> bytes:
    return render.literal8(value) if value is not None and b"\0" in value else render.nstring(value)


async def set_metadata(call: "Call") -> Answer:
    mailbox, values = wire.changes(call.args)
    refusal = await call.session.bridge.run(annotations.put, call.session.owner, mailbox, values)
    return refused(refusal) if refusal is not None else ok("Setmetadata completed.")
