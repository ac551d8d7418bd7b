"""A letter's commands: MAIL, RCPT, DATA, BDAT (RFC 5321 §3.3, RFC 3030), and what they know of it so far."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mailcore import conf, log
from mailcore.post import accept
from mailcore.servers.smtp import limits
from mailcore.servers.smtp.authentication import SEND_HELO
from mailcore.servers.smtp.letter import finish, receive
from mailcore.terms import LetterRecipient, Reply, Verdict
from mailcore.wire import smtp as grammar
from mailcore.wire.smtp import DotStream, MailParameters

if TYPE_CHECKING:
    from mailcore.servers.smtp.content import Reception
    from mailcore.servers.smtp.session import SmtpSession

_CHUNK = 65536


@dataclass(slots=True)
class Transaction:
    """From MAIL to the answer to the letter's end, or to RSET."""

    sender: str
    parameters: MailParameters
    recipients: list[LetterRecipient] = field(default_factory=list)
    final: str = ""  # Verdict.final of the only recipient
    overshoot: int = 0  # recipients refused because there are too many
    reception: "Reception | None" = None  # between BDAT chunks


async def mail(session: "SmtpSession", argument: str) -> Reply:
    parameters, service = conf.current(), session.server.service
    if not session.helo and (parameters.smtpd_helo_required or service.lmtp):
        return SEND_HELO
    if session.transaction is not None:
        return Reply(503, "5.5.1", "Error: nested MAIL command")
    if service.auth_required and not session.login:
        return Reply(530, "5.7.0", "Authentication required")
    path = grammar.parse_path(argument, "FROM")
    given = grammar.mail_parameters(path.parameters)
    refusal = limits.message(session) or accept.sender_size(given.size)
    if refusal is not None:
        return refusal
    session.transaction = Transaction(path.address, given)
    return Reply(250, "2.1.0", "Ok")


async def rcpt(session: "SmtpSession", argument: str) -> Reply:
    transaction = session.transaction
    if transaction is None:
        return Reply(503, "5.5.1", "Error: need MAIL command")
    if transaction.reception is not None:
        return Reply(503, "5.5.1", "Error: RCPT after BDAT")
    path = grammar.parse_path(argument, "TO")
    notify, orcpt = grammar.rcpt_parameters(path.parameters)
    refusal = limits.recipient(session)
    if refusal is not None:
        return refusal
    if len(transaction.recipients) >= conf.current().smtpd_recipient_limit:
        return Reply(452, "4.5.3", "Error: too many recipients")
    answer = await verdict(session, path.address)
    if not answer.accepted:
        log.write(
            session.server.service.name,
            f"NOQUEUE: reject: RCPT from {session.who}: {answer.reply};"
            f" from=<{transaction.sender}> to=<{path.address}> proto={session.protocol} helo=<{session.helo}>",
        )
        return answer.reply
    transaction.recipients.append(LetterRecipient(path.address, notify, orcpt))
    transaction.final = answer.final if len(transaction.recipients) == 1 else ""
    return answer.reply


async def verdict(session: "SmtpSession", address: str) -> Verdict:
    """What RCPT (or VRFY) of this address is answered."""
    transaction = session.transaction
    sender, size = (transaction.sender, transaction.parameters.size) if transaction else ("", 0)
    return await session.server.bridge.read(accept.recipient, session.client(), sender, address, size)


def _not_ready(session: "SmtpSession") -> Reply | None:
    if session.transaction is None:
        return Reply(503, "5.5.1", "Error: need RCPT command")
    if not session.transaction.recipients:
        return Reply(554, "5.5.1", "Error: no valid recipients")
    return None


async def data(session: "SmtpSession", argument: str) -> Reply | None:
    if argument:
        return Reply(501, "5.5.4", "Syntax: DATA")
    refusal = _not_ready(session)
    if refusal is not None or session.transaction is None:
        return refusal
    if session.transaction.reception is not None:
        return Reply(503, "5.5.1", "Error: DATA after BDAT")
    reception = receive(session, session.transaction)
    session.reply(Reply(354, "", "End data with <CR><LF>.<CR><LF>"))
    session.flush()
    stream, clock = DotStream(), _Clock(session)
    try:
        while not stream.ended:
            chunk = await session.read(_CHUNK)
            clock.arrived(len(chunk))
            await reception.add(stream.feed(chunk))
    except BaseException:
        reception.file.discard()
        raise
    session.unread(stream.rest)
    reception.bare = stream.bare
    return await finish(session, session.transaction, reception)


async def bdat(session: "SmtpSession", argument: str) -> Reply | None:
    """RFC 3030: chunks of a size said beforehand; binary content is not offered."""
    try:
        left, last = grammar.bdat(argument)
    except grammar.SyntaxFault as fault:
        session.hang_up(Reply(fault.code, fault.enhanced, fault.text))
    size, transaction = left, session.transaction
    refusal = _not_ready(session)
    reception = None
    if refusal is None and transaction is not None:
        reception = transaction.reception = transaction.reception or receive(session, transaction)
    clock = _Clock(session)
    try:
        while left:
            chunk = await session.read(min(left, _CHUNK))
            clock.arrived(len(chunk))
            left -= len(chunk)
            if reception is not None:
                await reception.add(chunk)
    except BaseException:
        if reception is not None:
            reception.file.discard()
        raise
    if reception is None or transaction is None:
        return refusal
    if not last:
        return Reply(250, "2.0.0", f"Ok: {size} bytes")
    return await finish(session, transaction, reception)


class _Clock:
    """How long content may take: smtpd_timeout from octet to octet, or, with smtpd_per_request_deadline,
    in all, and longer only at smtpd_min_data_rate. Who sends drop by drop is not waited for."""

    def __init__(self, session: "SmtpSession") -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._limit = float(conf.current().smtpd_timeout)
        self._end = self._loop.time() + self._limit

    def arrived(self, octets: int) -> None:
        parameters, now = conf.current(), self._loop.time()
        if parameters.smtpd_per_request_deadline:
            self._end += octets / max(parameters.smtpd_min_data_rate, 1)
        else:
            self._end = now + self._limit
        self._end = min(self._end, now + self._limit)
        self._session.allow(max(self._end - now, 0.0))
