"""Signing in and out (RFC 9051 §6.2): LOGIN, AUTHENTICATE (RFC 4422, RFC 4959), UNAUTHENTICATE; what changes the
connection: STARTTLS, COMPRESS."""

import base64
from typing import TYPE_CHECKING

from mailcore.servers import sasl
from mailcore.servers.imap import capability
from mailcore.servers.imap.answer import Answer, bad, no, ok
from mailcore.servers.sasl import Door
from mailcore.terms import Owner
from mailcore.wire.imap.cursor import BadSyntax
from mailcore.wire.imap.framing import Line
from mailcore.wire.sasl import CLEAR, RESPONSE_LIMIT, SaslError, Unauthorized, decode, text

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

_BUSY = no(f"{sasl.BUSY}.", "UNAVAILABLE")
_CLEAR = no("Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "PRIVACYREQUIRED")


async def starttls(call: "Call") -> Answer:
    call.args.end()
    session = call.session
    context = session.server.tls_context
    if context is None or session.connection.tls:
        return bad("TLS is not available")

    async def begin() -> None:
        await session.connection.start_tls(context)

    return Answer("OK", "Begin TLS negotiation now.", then=begin)


async def compress(call: "Call") -> Answer:
    """COMPRESS DEFLATE (RFC 4978)."""
    mechanism = call.args.keyword()
    call.args.end()
    connection = call.session.connection
    if mechanism != "DEFLATE":
        return no("Unknown compression")
    if connection.compressed:
        return no("Compression is active already", "COMPRESSIONACTIVE")

    async def begin() -> None:
        connection.start_compression()

    return Answer("OK", "Deflate active.", then=begin)


async def unauthenticate(call: "Call") -> Answer:
    """Back to the beginning, TLS and compression apart (RFC 8437)."""
    call.args.end()
    session = call.session
    session.sign_out()
    return ok("Unauthenticate completed.", f"CAPABILITY {capability.words(session)}")


async def login(call: "Call") -> Answer:
    args = call.args
    name = args.astring()
    args.space()
    password = args.astring()
    args.end()
    if not capability.plaintext_allowed(call.session):
        return _CLEAR
    try:
        return _enter(call, await sasl.with_password(_door(call), text(name), text(password)))
    except sasl.Busy:
        return _BUSY


async def authenticate(call: "Call") -> Answer:
    args = call.args
    mechanism = args.keyword()
    initial: bytes | None = None
    if args.skip(b" "):
        initial = args.text[args.at :]
    else:
        args.end()
    if mechanism not in capability.mechanisms(call.session):
        clear = mechanism in CLEAR and not capability.plaintext_allowed(call.session)
        return _CLEAR if clear else no("Unsupported authentication mechanism.")

    async def ask(challenge: bytes) -> bytes:
        return await _challenge(call, challenge)

    try:
        given = None if initial is None else decode(initial)
        return _enter(call, await sasl.authenticate(_door(call), mechanism, given, ask))
    except sasl.Busy:
        return _BUSY
    except Unauthorized:
        return no("Authorization as somebody else is not supported.", "AUTHORIZATIONFAILED")
    except SaslError:
        return bad("Invalid authentication data")


def _door(call: "Call") -> Door:
    return Door(call.session.bridge, "imap", call.session.connection.peer)


async def _challenge(call: "Call", octets: bytes) -> bytes:
    """What the client answers to a challenge, decoded."""
    session = call.session
    await session.go_on(base64.b64encode(octets).decode())
    event = await session.connection.event()
    if not isinstance(event, Line) or len(event.text) > RESPONSE_LIMIT:
        raise BadSyntax("Authentication data expected")
    if event.text == b"*":
        raise BadSyntax("Authentication cancelled")
    return decode(event.text)


def _enter(call: "Call", owner: Owner | None) -> Answer:
    session = call.session
    if owner is None:
        return no("Authentication failed.", "AUTHENTICATIONFAILED")
    if not session.server.signed_in(session, owner):
        return no("Maximum number of connections from this address exceeded.", "LIMIT")
    return ok("Logged in", f"CAPABILITY {capability.words(session)}")
