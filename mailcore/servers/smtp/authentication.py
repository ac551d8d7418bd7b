"""AUTH (RFC 4954): PLAIN and LOGIN. Whoever signs in is judged by `store.login`; a wrong password waits."""

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING

from mailcore import conf, log
from mailcore.store.login import sign_in
from mailcore.terms import Reply
from mailcore.wire.smtp import SyntaxFault

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession

SEND_HELO = Reply(503, "5.5.1", "Error: send HELO/EHLO first")


async def authenticate(session: "SmtpSession", argument: str) -> Reply:
    """The AUTH command: `session.login` is set when it succeeds."""
    if not session.extended:
        return SEND_HELO
    if not session.auth_offered:
        if conf.current().smtpd_sasl_auth_enable and not session.server.service.lmtp:
            return Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
        return Reply(503, "5.5.1", "Error: authentication not enabled")
    if session.login:
        return Reply(503, "5.5.1", "Error: already authenticated")
    if session.sender is not None:
        return Reply(503, "5.5.1", "Error: MAIL transaction in progress")
    mechanism, _, initial = argument.partition(" ")
    match mechanism.upper():
        case "PLAIN":
            name, password = await _plain(session, initial)
        case "LOGIN":
            name, password = await _login(session, initial)
        case "":
            return Reply(501, "5.5.4", "Syntax: AUTH mechanism")
        case _:
            return Reply(504, "5.5.4", "Error: unsupported authentication mechanism")
    owner = await session.server.bridge.run(sign_in, name, password, "smtp", session.client_address)
    if owner is None:
        who = name.encode("ascii", "replace").decode()[:100]
        log.write(session.server.service.name, f"warning: {session.who}: SASL authentication failed: user={who}")
        await asyncio.sleep(conf.current().auth_failure_delay)
        return Reply(535, "5.7.8", "Error: authentication failed")
    session.login = owner.address
    return Reply(235, "2.7.0", "Authentication successful")


async def _plain(session: "SmtpSession", initial: str) -> tuple[str, str]:
    """RFC 4616: [authzid] NUL authcid NUL password. Nobody may act for another."""
    octets = _decode64(initial) if initial else await _challenge(session, "")
    parts = octets.split(b"\0")
    if len(parts) != 3 or (parts[0] and parts[0] != parts[1]):
        raise SyntaxFault("5.7.8", "Error: authentication failed", 535)
    return parts[1].decode("utf-8", "replace"), parts[2].decode("utf-8", "replace")


async def _login(session: "SmtpSession", initial: str) -> tuple[str, str]:
    name = _decode64(initial) if initial else await _challenge(session, "Username:")
    password = await _challenge(session, "Password:")
    return name.decode("utf-8", "replace"), password.decode("utf-8", "replace")


async def _challenge(session: "SmtpSession", text: str) -> bytes:
    session.say(b"334 " + base64.b64encode(text.encode()) + b"\r\n")
    line = await session.next_line()
    if line is None:
        raise ConnectionAbortedError
    if line == b"*":
        raise SyntaxFault("5.7.0", "Error: authentication aborted")
    return _decode64(line.decode("ascii", "replace"))


def _decode64(text: str) -> bytes:
    try:
        return b"" if text == "=" else base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SyntaxFault("5.5.2", "Error: malformed authentication response") from error
