"""Authentication and connection commands (RFC 9051 §6.2).

LOGIN, AUTHENTICATE (RFC 4422, RFC 4959), UNAUTHENTICATE, STARTTLS, COMPRESS.
"""

import base64
from typing import TYPE_CHECKING

from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.servers.imap import capability
from mailcore.servers.imap.tagged_response import TaggedResponse, bad, no, ok
from mailcore.values import Owner
from mailcore.wire.auth.sasl import CLEAR, RESPONSE_LIMIT, SaslError, Unauthorized, decode_name, decode_response
from mailcore.wire.imap.cursor import BadSyntax
from mailcore.wire.imap.framing import Line

if TYPE_CHECKING:
    from mailcore.servers.imap.session import Call

_BUSY = no(f"{authentication.BUSY}.", "UNAVAILABLE")
_CLEAR = no("Plaintext authentication disallowed on non-secure (SSL/TLS) connections.", "PRIVACYREQUIRED")


async def starttls(call: "Call") -> TaggedResponse:
    call.args.end()
    session = call.session
    context = session.server.tls_context
    if context is None or session.connection.tls:
        return bad("TLS is not available")

    async def begin() -> None:
        await session.connection.start_tls(context)

    return TaggedResponse("OK", "Begin TLS negotiation now.", then=begin)


async def compress(call: "Call") -> TaggedResponse:
    """Execute COMPRESS DEFLATE (RFC 4978)."""
    mechanism = call.args.keyword()
    call.args.end()
    connection = call.session.connection
    if mechanism != "DEFLATE":
        return no("Unknown compression")
    if connection.compressed:
        return no("Compression is active already", "COMPRESSIONACTIVE")

    async def begin() -> None:
        connection.start_compression()

    return TaggedResponse("OK", "Deflate active.", then=begin)


async def unauthenticate(call: "Call") -> TaggedResponse:
    """Execute UNAUTHENTICATE (RFC 8437); TLS and compression stay."""
    call.args.end()
    session = call.session
    session.reset_login()
    return ok("Unauthenticate completed.", f"CAPABILITY {capability.capability_words(session)}")


async def login(call: "Call") -> TaggedResponse:
    args = call.args
    name = args.astring()
    args.space()
    password = args.astring()
    args.end()
    if not capability.is_plaintext_allowed(call.session):
        return _CLEAR
    try:
        return _finish_login(
            call,
            await authentication.authenticate_password(_auth_context(call), decode_name(name), decode_name(password)),
        )
    except authentication.TooManyAttempts:
        return _BUSY


async def authenticate(call: "Call") -> TaggedResponse:
    args = call.args
    mechanism = args.keyword()
    initial: bytes | None = None
    if args.skip_space():
        initial = args.text[args.at :]
    else:
        args.end()
    if mechanism not in capability.auth_mechanisms(call.session):
        clear = mechanism in CLEAR and not capability.is_plaintext_allowed(call.session)
        return _CLEAR if clear else no("Unsupported authentication mechanism.")

    async def send_challenge(challenge: bytes) -> bytes:
        return await _challenge(call, challenge)

    try:
        initial_response = None if initial is None else decode_response(initial)
        return _finish_login(
            call, await authentication.authenticate(_auth_context(call), mechanism, initial_response, send_challenge)
        )
    except authentication.TooManyAttempts:
        return _BUSY
    except Unauthorized:
        return no("Authorization as another user is not supported.", "AUTHORIZATIONFAILED")
    except SaslError:
        return bad("Invalid authentication data")


def _auth_context(call: "Call") -> AuthContext:
    return AuthContext(call.session.executor, "imap", call.session.connection.peer)


async def _challenge(call: "Call", challenge: bytes) -> bytes:
    """Send a challenge and return the client's decoded response."""
    session = call.session
    await session.send_continuation(base64.b64encode(challenge).decode())
    event = await session.connection.event()
    if not isinstance(event, Line) or len(event.text) > RESPONSE_LIMIT:
        raise BadSyntax("Authentication data expected")
    if event.text == b"*":
        raise BadSyntax("Authentication cancelled")
    return decode_response(event.text)


def _finish_login(call: "Call", owner: Owner | None) -> TaggedResponse:
    session = call.session
    if owner is None:
        return no("Authentication failed.", "AUTHENTICATIONFAILED")
    if not session.server.register_login(session, owner):
        return no("Maximum number of connections from this address exceeded.", "LIMIT")
    return ok("Logged in", f"CAPABILITY {capability.capability_words(session)}")
