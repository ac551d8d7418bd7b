"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467)."""

import contextlib
from typing import TYPE_CHECKING

from mailcore.servers.imap.answer import Answer, bad, ok, refused
from mailcore.store import urlauth
from mailcore.wire.imap import render, url
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

MAX_URLS = 100  # of one command


async def generate(call: "Call") -> Answer:
    args, session = call.args, call.session
    signed: list[str] = []
    while True:
        given = args.text_astring("URL")
        args.space()
        if args.keyword() != urlauth.MECHANISM or len(signed) >= MAX_URLS:
            return bad("Unknown mechanism, or too many URLs")
        try:
            asked = url.parse_authorized(given)
        except url.BadUrl:
            return bad("URL is not valid")
        done = await session.bridge.run(urlauth.sign, session.owner, asked) if not asked.mechanism else None
        if done is None:
            return bad("URL is not of a mailbox of yours here")
        signed.append(done)
        if not args.skip(b" "):
            break
    args.end()
    session.write(b"* GENURLAUTH " + b" ".join([render.string(each.encode()) for each in signed]) + b"\r\n")
    return ok("Genurlauth completed.")


async def fetch(call: "Call") -> Answer:
    """What cannot be had is NIL, whatever the reason."""
    args, session = call.args, call.session
    given = [args.text_astring("URL")]
    while args.skip(b" "):
        given.append(args.text_astring("URL"))
    args.end()
    if len(given) > MAX_URLS:
        raise BadSyntax("Too many URLs")
    for each in given:
        found: bytes | None = None
        with contextlib.suppress(url.BadUrl):
            found = await session.bridge.run(urlauth.fetch, session.owner, url.parse_authorized(each))
        told = render.literal(found) if found is not None else b"NIL"
        session.write(b"* URLFETCH %b %b\r\n" % (render.string(each.encode()), told))
        await session.connection.flush()
    return ok("Urlfetch completed.")


async def reset_key(call: "Call") -> Answer:
    """RESETKEY [mailbox [mechanism …]]."""
    args, session = call.args, call.session
    mailbox = None if args.at_end() else args.mailbox()
    while args.skip(b" "):
        if args.keyword() != urlauth.MECHANISM:
            return bad("Unknown mechanism")
    args.end()
    refusal = await session.bridge.run(urlauth.reset, session.owner, mailbox)
    return refused(refusal) if refusal is not None else ok("Resetkey completed.", f"URLMECH {urlauth.MECHANISM}")
