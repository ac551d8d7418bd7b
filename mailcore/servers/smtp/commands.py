"""The commands of SMTP and LMTP but for a letter's (RFC 5321 §4.1.1, RFC 2033, 1985, 3207), and the table of all.

A command gets the session and the argument, and returns the reply; None: it has replied itself.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.servers.smtp.authentication import authenticate, mechanisms
from mailcore.servers.smtp.transaction import bdat, data, mail, rcpt, verdict
from mailcore.terms import Reply
from mailcore.wire import smtp as grammar

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
    session.helo, session.extended, session.transaction = name, False, None
    return Reply(250, "", session.hostname)


async def ehlo(session: "SmtpSession", name: str) -> Reply | None:
    if session.server.service.lmtp:
        return _NOT_HERE
    return _hello(session, name, "EHLO")


async def lhlo(session: "SmtpSession", name: str) -> Reply | None:
    if not session.server.service.lmtp:
        return _NOT_HERE
    return _hello(session, name, "LHLO")


def _hello(session: "SmtpSession", name: str, verb: str) -> Reply | None:
    if not name:
        return Reply(501, "", f"Syntax: {verb} hostname")
    session.helo, session.extended, session.transaction = name, True, None
    *most, last = (session.hostname, *_extensions(session))
    for word in most:
        session.say(f"250-{word}\r\n".encode())
    session.say(f"250 {last}\r\n".encode())
    return None


def _extensions(session: "SmtpSession") -> list[str]:
    """In Postfix's order."""
    parameters = conf.current()
    words = ["PIPELINING", f"SIZE {parameters.message_size_limit}"]
    if not parameters.disable_vrfy_command:
        words.append("VRFY")
    if session.server.tls_context is not None and not session.tls:
        words.append("STARTTLS")
    if offered := mechanisms(session):
        words.append(f"AUTH {' '.join(offered)}")
    return [*words, "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"]


async def noop(session: "SmtpSession", _: str) -> Reply:
    return _OK


async def rset(session: "SmtpSession", argument: str) -> Reply:
    if argument:
        return Reply(501, "5.5.4", "Syntax: RSET")
    session.transaction = None
    return _OK


async def quit_(session: "SmtpSession", _: str) -> None:
    session.hang_up(_BYE)


async def help_(session: "SmtpSession", _: str) -> Reply:
    return Reply(214, "2.0.0", f"Commands: {' '.join(COMMANDS)}")


async def vrfy(session: "SmtpSession", argument: str) -> Reply:
    if conf.current().disable_vrfy_command:
        return Reply(502, "5.5.1", "VRFY command is disabled")
    argument = argument.removesuffix(" SMTPUTF8").strip()
    if not argument:
        return Reply(501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]")
    path = grammar.parse_path(f"TO:{argument}", "TO")
    answer = await verdict(session, path.address)
    return Reply(252, "2.0.0", path.address) if answer.accepted else answer.reply


async def starttls(session: "SmtpSession", argument: str) -> Reply | None:
    if argument:
        return Reply(501, "5.5.4", "Syntax: STARTTLS")
    if session.tls:
        return Reply(554, "5.5.1", "Error: TLS already active")
    context = session.server.tls_context
    if context is None:
        return _NOT_HERE
    session.reply(Reply(220, "2.0.0", "Ready to start TLS"))
    await session.start_tls(context)
    return None


@dataclass(frozen=True, slots=True)
class Command:
    obey: Callable[["SmtpSession", str], Awaitable[Reply | None]]
    last: bool = False  # nothing may be sent behind it before its answer has come (RFC 2920 §3.1)
    junk: bool = False  # does nothing for a letter: smtpd_junk_command_limit


COMMANDS: dict[str, Command] = {
    "HELO": Command(helo, last=True, junk=True),
    "EHLO": Command(ehlo, last=True, junk=True),
    "LHLO": Command(lhlo, last=True, junk=True),
    "STARTTLS": Command(starttls),  # what came behind it is thrown away
    "AUTH": Command(authenticate),
    "MAIL": Command(mail),
    "RCPT": Command(rcpt),
    "DATA": Command(data, last=True),
    "BDAT": Command(bdat),
    "RSET": Command(rset, junk=True),
    "NOOP": Command(noop, last=True, junk=True),
    "VRFY": Command(vrfy, last=True, junk=True),
    "HELP": Command(help_),
    "QUIT": Command(quit_),
}
