"""The SMTP and LMTP commands other than a message's (RFC 5321 §4.1.1, RFC 2033, 1985, 3207), and the command table.

A command gets the session and the argument, and returns the reply, or None if it has replied itself.
"""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.mta.queue import fast_flush
from mailcore.servers.smtp import rate_limits
from mailcore.servers.smtp.auth_command import auth_mechanisms, authenticate
from mailcore.servers.smtp.policy_checks import check_recipient
from mailcore.servers.smtp.transaction import bdat, data, mail, rcpt
from mailcore.values import Reply
from mailcore.wire import smtp_commands as grammar

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession

_OK = Reply(250, "2.0.0", "Ok")
_BYE = Reply(221, "2.0.0", "Bye")
_NOT_HERE = Reply(502, "5.5.1", "Error: command not implemented")


async def helo(session: "SmtpSession", name: str) -> Reply:
    if session.server.service.lmtp:
        return _NOT_HERE
    if not name:
        return Reply(501, "", "Syntax: HELO hostname")
    refusal = await _introduce(session, name, extended=False)
    return refusal or Reply(250, "", session.hostname)


async def ehlo(session: "SmtpSession", name: str) -> Reply | None:
    if session.server.service.lmtp:
        return _NOT_HERE
    return await _hello(session, name, "EHLO")


async def lhlo(session: "SmtpSession", name: str) -> Reply | None:
    if not session.server.service.lmtp:
        return _NOT_HERE
    return await _hello(session, name, "LHLO")


async def _introduce(session: "SmtpSession", name: str, *, extended: bool) -> Reply | None:
    """Record the client's HELO name; return the rejection, if it is checked at once."""
    previous = session.helo, session.extended
    session.helo, session.extended = name, extended
    if not conf.current().smtpd_delay_reject:
        verdict = await session.evaluate(accept.check_helo, RestrictionInput("HELO", session.client()))
        if not verdict.accepted:
            session.helo, session.extended = previous
            return verdict.reply
    session.transaction = None
    return None


async def _hello(session: "SmtpSession", name: str, verb: str) -> Reply | None:
    if not name:
        return Reply(501, "", f"Syntax: {verb} hostname")
    refusal = await _introduce(session, name, extended=True)
    if refusal is not None:
        return refusal
    *first, last = (session.hostname, *_extensions(session))
    for word in first:
        session.write_line(f"250-{word}\r\n".encode())
    session.write_line(f"250 {last}\r\n".encode())
    return None


def _extensions(session: "SmtpSession") -> list[str]:
    """Return the EHLO keywords, in Postfix's order.

    RFC 2920, RFC 1870, RFC 5321 (VRFY), RFC 1985, RFC 3207, RFC 4954, RFC 2034, RFC 6152, RFC 3461, RFC 6531, RFC 3030,
    RFC 4865.
    """
    parameters = conf.current()
    words = ["PIPELINING", f"SIZE {parameters.message_size_limit}"]
    if not parameters.disable_vrfy_command:
        words.append("VRFY")
    words.append("ETRN")
    if tls_context(session) is not None and not session.tls:
        words.append("STARTTLS")
    if offered := auth_mechanisms(session):
        words.append(f"AUTH {' '.join(offered)}")
    words += ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"]
    limit = parameters.smtpd_future_release_limit
    if limit and session.server.service.auth_required:
        latest = datetime.now(UTC) + timedelta(seconds=limit)
        words.append(f"FUTURERELEASE {limit} {latest:%Y-%m-%dT%H:%M:%SZ}")
    return words


def tls_context(session: "SmtpSession") -> ssl.SSLContext | None:
    """Return the TLS context for STARTTLS, None if it is not offered."""
    return None if conf.current().smtpd_tls_security_level == "none" else session.server.tls_context


async def noop(session: "SmtpSession", _: str) -> Reply:
    return _OK


async def rset(session: "SmtpSession", argument: str) -> Reply:
    if argument:
        return Reply(501, "5.5.4", "Syntax: RSET")
    session.transaction = None
    return _OK


async def quit_(session: "SmtpSession", _: str) -> None:
    session.close_with(_BYE)


async def help_(session: "SmtpSession", _: str) -> Reply:
    return Reply(214, "2.0.0", f"Commands: {' '.join(COMMANDS)}")


async def vrfy(session: "SmtpSession", argument: str) -> Reply:
    if conf.current().disable_vrfy_command:
        return Reply(502, "5.5.1", "VRFY command is disabled")
    argument = argument.removesuffix(" SMTPUTF8").strip()
    if not argument:
        return Reply(501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]")
    path = grammar.parse_path(f"TO:{argument}", "TO")
    refusal = rate_limits.check_recipient(session)
    if refusal is not None:
        return refusal
    verdict = await check_recipient(session, "VRFY", path.address)
    return Reply(252, "2.0.0", argument) if verdict.accepted else verdict.reply


async def etrn(session: "SmtpSession", argument: str) -> Reply:
    """Execute ETRN (RFC 1985) for the domains we relay to (fast_flush_domains)."""
    if not session.helo:
        return Reply(503, "", "Error: send HELO/EHLO first")
    if session.transaction is not None:
        return Reply(503, "", "Error: MAIL transaction in progress")
    domain = argument.removeprefix("@").removeprefix("#").lower()
    if not domain or " " in argument:
        return Reply(500, "", "Syntax: ETRN domain")
    if not grammar.is_domain(domain):
        return Reply(501, "", "Error: invalid parameter syntax")
    await session.wait_for_client_name()
    verdict = await session.evaluate(accept.check_etrn, RestrictionInput("ETRN", session.client(), etrn_domain=domain))
    if not verdict.accepted:
        return verdict.reply
    if not await session.server.executor.run_in_pool(fast_flush.flush_domain, domain):
        return Reply(459, "", f"<{domain}>: service unavailable")
    return Reply(250, "", "Queuing started")


async def auth(session: "SmtpSession", argument: str) -> Reply | None:
    return rate_limits.check_auth(session) or await authenticate(session, argument)


async def starttls(session: "SmtpSession", argument: str) -> Reply | None:
    if argument:
        return Reply(501, "5.5.4", "Syntax: STARTTLS")
    if session.tls:
        return Reply(554, "5.5.1", "Error: TLS already active")
    context = tls_context(session)
    if context is None:
        return _NOT_HERE
    refusal = rate_limits.check_tls(session)
    if refusal is not None:
        return refusal
    session.reply(Reply(220, "2.0.0", "Ready to start TLS"))
    await session.start_tls(context)
    return None


@dataclass(frozen=True, slots=True)
class Command:
    run: Callable[["SmtpSession", str], Awaitable[Reply | None]]
    ends_pipeline: bool = False  # Nothing may be sent after it before its reply (RFC 2920 §3.1).
    allowed_before_tls: bool = False  # Also before STARTTLS, with smtpd_tls_security_level = encrypt.
    junk: bool = False  # Does nothing for a message: counts for smtpd_junk_command_limit.


COMMANDS: dict[str, Command] = {
    "HELO": Command(helo, ends_pipeline=True, allowed_before_tls=True, junk=True),
    "EHLO": Command(ehlo, ends_pipeline=True, allowed_before_tls=True, junk=True),
    "LHLO": Command(lhlo, ends_pipeline=True, allowed_before_tls=True, junk=True),
    "STARTTLS": Command(starttls, allowed_before_tls=True),  # Input after it is discarded.
    "AUTH": Command(auth),
    "MAIL": Command(mail),
    "RCPT": Command(rcpt),
    "DATA": Command(data, ends_pipeline=True),
    "BDAT": Command(bdat),
    "RSET": Command(rset, junk=True),
    "NOOP": Command(noop, ends_pipeline=True, allowed_before_tls=True, junk=True),
    "VRFY": Command(vrfy, ends_pipeline=True, junk=True),
    "ETRN": Command(etrn, junk=True),
    "HELP": Command(help_, allowed_before_tls=True),
    "QUIT": Command(quit_, allowed_before_tls=True),
}
