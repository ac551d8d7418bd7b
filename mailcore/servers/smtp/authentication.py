"""AUTH (RFC 4954): the mechanisms of `servers.sasl` in SMTP's words."""

import base64
from typing import TYPE_CHECKING

from mailcore import conf, log
from mailcore.servers import sasl
from mailcore.servers.sasl import Door
from mailcore.terms import Reply
from mailcore.wire.sasl import SaslError, Unauthorized, decode
from mailcore.wire.smtp import SyntaxFault

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession

SEND_HELO = Reply(503, "5.5.1", "Error: send HELO/EHLO first")
_FAILED = Reply(535, "5.7.8", "Error: authentication failed")


def mechanisms(session: "SmtpSession") -> tuple[str, ...]:
    """What AUTH may be used with on this connection as it is; empty: not at all."""
    parameters = conf.current()
    if not parameters.smtpd_sasl_auth_enable or session.server.service.lmtp:
        return ()
    if session.tls:
        return sasl.mechanisms(parameters.smtpd_sasl_tls_security_options, clear=True)
    if parameters.smtpd_tls_auth_only:
        return ()
    return sasl.mechanisms(parameters.smtpd_sasl_security_options, clear=True)


async def authenticate(session: "SmtpSession", argument: str) -> Reply:
    """The AUTH command: `session.login` is set when it succeeds."""
    refusal = _not_now(session)
    if refusal is not None:
        return refusal
    word, _, initial = argument.partition(" ")
    mechanism = word.upper()
    if not mechanism:
        return Reply(501, "5.5.4", "Syntax: AUTH mechanism")
    if mechanism not in mechanisms(session):
        return Reply(504, "5.5.4", "Error: unsupported authentication mechanism")

    async def ask(challenge: bytes) -> bytes:
        return await _challenge(session, challenge)

    door = Door(session.server.bridge, "smtp", session.client_address)
    try:
        owner = await sasl.authenticate(door, mechanism, _decode(initial) if initial else None, ask)
    except Unauthorized:
        return _FAILED
    except sasl.Busy:
        return Reply(454, "4.7.0", f"Temporary authentication failure: {sasl.BUSY}")
    except SaslError:
        return Reply(501, "5.5.2", "Error: malformed authentication response")
    if owner is None:
        log.write(
            session.server.service.name,
            f"warning: {session.who}: SASL {mechanism} authentication failed: authentication failure",
        )
        return _FAILED
    session.login, session.method = owner.address, mechanism
    session.is_known()
    return Reply(235, "2.7.0", "Authentication successful")


def _not_now(session: "SmtpSession") -> Reply | None:
    parameters = conf.current()
    if not session.extended:
        return SEND_HELO
    if not mechanisms(session):
        if parameters.smtpd_sasl_auth_enable and not session.server.service.lmtp and not session.tls:
            return Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
        return Reply(503, "5.5.1", "Error: authentication not enabled")
    if session.login:
        return Reply(503, "5.5.1", "Error: already authenticated")
    if session.sender is not None:
        return Reply(503, "5.5.1", "Error: MAIL transaction in progress")
    return None


async def _challenge(session: "SmtpSession", octets: bytes) -> bytes:
    session.say(b"334 " + base64.b64encode(octets) + b"\r\n")
    line = await session.next_line()
    if line is None:
        raise ConnectionAbortedError
    if line == b"*":
        raise SyntaxFault("5.7.0", "Error: authentication aborted")
    return decode(line)


def _decode(initial: str) -> bytes:
    return decode(initial.encode("utf-8", "surrogateescape"))
