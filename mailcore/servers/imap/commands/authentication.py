"""Signing in and out (RFC 9051 §6.2): LOGIN, AUTHENTICATE (PLAIN, LOGIN; RFC 4616, RFC 4959), UNAUTHENTICATE; what
changes the connection: STARTTLS, COMPRESS."""

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.imap import capability
from mailcore.servers.imap.answer import Answer, bad, no, ok
from mailcore.store.login import sign_in
from mailcore.wire.imap.cursor import BadSyntax
from mailcore.wire.imap.framing import Line

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

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
    return await _sign_in(call, name, password)


async def authenticate(call: "Call") -> Answer:
    args = call.args
    mechanism = args.keyword()
    initial: bytes | None = None
    if args.skip(b" "):
        initial = args.text[args.at :]
    else:
        args.end()
    if mechanism not in ("PLAIN", "LOGIN"):
        return no("Unsupported authentication mechanism.")
    if not capability.plaintext_allowed(call.session):
        return _CLEAR
    try:
        if mechanism == "PLAIN":
            identity, name, password = (await _answer(call, "", initial)).split(b"\0")
            if identity not in (b"", name):
                return no("Authorization as somebody else is not supported.", "AUTHORIZATIONFAILED")
        else:
            name = await _answer(call, "VXNlcm5hbWU6", initial)
            password = await _answer(call, "UGFzc3dvcmQ6", None)
    except (ValueError, binascii.Error):
        return bad("Invalid authentication data")
    return await _sign_in(call, name, password)


async def _answer(call: "Call", challenge: str, initial: bytes | None) -> bytes:
    """What the client answers to a challenge, decoded; its initial response if it sent one."""
    if initial is None:
        session = call.session
        await session.go_on(challenge)
        event = await session.connection.event()
        if not isinstance(event, Line):
            raise BadSyntax("Authentication data expected")
        initial = event.text
        if initial == b"*":
            raise BadSyntax("Authentication cancelled")
    if initial == b"=":
        return b""
    return base64.b64decode(initial, validate=True)


async def _sign_in(call: "Call", name: bytes, password: bytes) -> Answer:
    session = call.session
    owner = await session.bridge.run(sign_in, _text(name), _text(password), "imap", session.connection.peer)
    if owner is None:
        await session.connection.flush()
        await asyncio.sleep(conf.current().auth_failure_delay)
        return no("Authentication failed.", "AUTHENTICATIONFAILED")
    if not session.server.sign_in_allowed(session, owner.account_id):
        return no("Maximum number of connections from this address exceeded.", "LIMIT")
    session.owner = owner
    return ok("Logged in", f"CAPABILITY {capability.words(session)}")


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "surrogateescape")
