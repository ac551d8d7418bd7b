"""The AUTH command (RFC 4954): the mechanisms of `servers.authentication` in SMTP's syntax."""

import base64
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.logs import writer
from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.values import Reply
from mailcore.wire.auth.sasl import SaslError, Unauthorized, decode_response
from mailcore.wire.smtp_commands import SmtpSyntaxError

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession

SEND_HELO = Reply(503, "5.5.1", "Error: send HELO/EHLO first")
_FAILED = Reply(535, "5.7.8", "Error: authentication failed")


def auth_mechanisms(session: "SmtpSession") -> tuple[str, ...]:
    """Return the mechanisms that AUTH may use on this connection now, () for none."""
    parameters = conf.current()
    if not parameters.smtpd_sasl_auth_enable or session.server.service.lmtp:
        return ()
    if session.tls:
        return authentication.offered_mechanisms(parameters.smtpd_sasl_tls_security_options, clear=True)
    if parameters.smtpd_tls_auth_only:
        return ()
    return authentication.offered_mechanisms(parameters.smtpd_sasl_security_options, clear=True)


async def authenticate(session: "SmtpSession", argument: str) -> Reply:
    """Execute AUTH; `session.login` is set if it succeeds."""
    refusal = _auth_refusal(session)
    if refusal is not None:
        return refusal
    word, _, initial = argument.partition(" ")
    mechanism = word.upper()
    if not mechanism:
        return Reply(501, "5.5.4", "Syntax: AUTH mechanism")
    if mechanism not in auth_mechanisms(session):
        return Reply(504, "5.5.4", "Error: unsupported authentication mechanism")

    async def send_challenge(challenge: bytes) -> bytes:
        return await _challenge(session, challenge)

    context = AuthContext(session.server.executor, "smtp", session.client_address)
    try:
        owner = await authentication.authenticate(
            context, mechanism, _decode(initial) if initial else None, send_challenge
        )
    except Unauthorized:
        return _FAILED
    except authentication.TooManyAttempts:
        return Reply(454, "4.7.0", f"Temporary authentication failure: {authentication.BUSY}")
    except SaslError:
        return Reply(501, "5.5.2", "Error: malformed authentication response")
    if owner is None:
        writer.write(
            session.server.service.name,
            f"warning: {session.client_label}: SASL {mechanism} authentication failed: authentication failure",
        )
        return _FAILED
    session.login, session.method = owner.address, mechanism
    session.mark_authenticated()
    return Reply(235, "2.7.0", "Authentication successful")


def _auth_refusal(session: "SmtpSession") -> Reply | None:
    parameters = conf.current()
    if not session.extended:
        return SEND_HELO
    if not auth_mechanisms(session):
        if parameters.smtpd_sasl_auth_enable and not session.server.service.lmtp and not session.tls:
            return Reply(538, "5.7.11", "Encryption required for requested authentication mechanism")
        return Reply(503, "5.5.1", "Error: authentication not enabled")
    if session.login:
        return Reply(503, "5.5.1", "Error: already authenticated")
    if session.sender is not None:
        return Reply(503, "5.5.1", "Error: MAIL transaction in progress")
    return None


async def _challenge(session: "SmtpSession", data: bytes) -> bytes:
    session.write_line(b"334 " + base64.b64encode(data) + b"\r\n")
    line = await session.next_line()
    if line is None:
        raise ConnectionAbortedError
    if line == b"*":
        raise SmtpSyntaxError("5.7.0", "Error: authentication aborted")
    return decode_response(line)


def _decode(initial: str) -> bytes:
    return decode_response(initial.encode("utf-8", "surrogateescape"))
