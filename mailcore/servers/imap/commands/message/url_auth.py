"""GENURLAUTH, URLFETCH, RESETKEY (RFC 4467)."""

import contextlib
from typing import TYPE_CHECKING

from mailcore.servers.imap.tagged_response import TaggedResponse, bad, ok, refusal_response
from mailcore.store.access import urlauth
from mailcore.wire.imap import imap_url, response_format
from mailcore.wire.imap.cursor import BadSyntax

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

MAX_URLS = 100  # Per command.


async def generate_url_auth(call: "Call") -> TaggedResponse:
    args, session = call.args, call.session
    signed: list[str] = []
    while True:
        text = args.text_astring("URL")
        args.space()
        if args.keyword() != urlauth.MECHANISM or len(signed) >= MAX_URLS:
            return bad("Unknown mechanism, or too many URLs")
        try:
            url = imap_url.parse_authorized_url(text)
        except imap_url.BadUrl:
            return bad("URL is not valid")
        signed_url = (
            await session.executor.run_in_pool(urlauth.sign_url, session.owner, url) if not url.mechanism else None
        )
        if signed_url is None:
            return bad("URL is not of a mailbox of yours here")
        signed.append(signed_url)
        if not args.skip_space():
            break
    args.end()
    session.write(
        b"* GENURLAUTH " + b" ".join([response_format.format_string(each.encode()) for each in signed]) + b"\r\n"
    )
    return ok("Genurlauth completed.")


async def url_fetch(call: "Call") -> TaggedResponse:
    """Execute URLFETCH; an inaccessible URL gives NIL, whatever the reason."""
    args, session = call.args, call.session
    texts = [args.text_astring("URL")]
    while args.skip_space():
        texts.append(args.text_astring("URL"))
    args.end()
    if len(texts) > MAX_URLS:
        raise BadSyntax("Too many URLs")
    for each in texts:
        content: bytes | None = None
        with contextlib.suppress(imap_url.BadUrl):
            content = await session.executor.run_in_pool(
                urlauth.fetch_url, session.owner, imap_url.parse_authorized_url(each)
            )
        response = response_format.format_literal(content) if content is not None else b"NIL"
        session.write(b"* URLFETCH %b %b\r\n" % (response_format.format_string(each.encode()), response))
        await session.connection.flush()
    return ok("Urlfetch completed.")


async def reset_key(call: "Call") -> TaggedResponse:
    """Execute RESETKEY [mailbox [mechanism …]]."""
    args, session = call.args, call.session
    mailbox = None if args.at_end() else args.mailbox()
    while args.skip_space():
        if args.keyword() != urlauth.MECHANISM:
            return bad("Unknown mechanism")
    args.end()
    refusal = await session.executor.run_in_pool(urlauth.reset_keys, session.owner, mailbox)
    return (
        refusal_response(refusal) if refusal is not None else ok("Resetkey completed.", f"URLMECH {urlauth.MECHANISM}")
    )
