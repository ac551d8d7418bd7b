"""A message's commands: MAIL, RCPT, DATA, BDAT (RFC 5321 §3.3, RFC 3030), and what they know of it so far."""

import asyncio
import os
from dataclasses import dataclass, field
from time import time, time_ns
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.servers.smtp import rate_limits
from mailcore.servers.smtp.auth_command import SEND_HELO
from mailcore.servers.smtp.policy_checks import check_recipient, check_stage
from mailcore.servers.smtp.receive import BUSY, begin_message, finish_message
from mailcore.values import Actions, MessageRecipient, Reply, TemporaryFault
from mailcore.wire import smtp_commands as grammar
from mailcore.wire.smtp_commands import BareNewlineDetector, DotUnstuffer, MailParameters

if TYPE_CHECKING:
    from mailcore.servers.smtp.message_body import MessageBody
    from mailcore.servers.smtp.session import SmtpSession

_CHUNK = 65536
_NO_ACTIONS = Actions()


@dataclass(slots=True)
class Transaction:
    """From MAIL to the answer to the message's end, or to RSET."""

    sender: str
    parameters: MailParameters
    recipients: list[MessageRecipient] = field(default_factory=list)
    actions: Actions = _NO_ACTIONS  # what restrictions asked for
    final: str = ""  # Verdict.final of the only recipient
    accepted: int = 0  # recipients that were told so
    overshoot: int = 0  # recipients refused because there are too many
    reception: "MessageBody | None" = None  # between BDAT chunks
    line_ends: BareNewlineDetector = field(default_factory=BareNewlineDetector)  # of those
    instance: str = field(default_factory=lambda: f"{os.getpid():x}.{time_ns():x}")  # names it to policy services

    def merge(self, more: Actions) -> None:
        """Add what a restriction asked for."""
        if more == _NO_ACTIONS:
            return
        mine = self.actions
        self.actions = Actions(
            mine.hold or more.hold,
            mine.discard or more.discard,
            more.redirect or mine.redirect,
            (*mine.bcc, *more.bcc),
            (*mine.prepend, *more.prepend),
        )


async def mail(session: "SmtpSession", argument: str) -> Reply:
    parameters, service = conf.current(), session.server.service
    if not session.helo and (parameters.smtpd_helo_required or service.lmtp):
        return SEND_HELO
    if session.transaction is not None:
        return Reply(503, "5.5.1", "Error: nested MAIL command")
    if service.auth_required and not session.login:
        return Reply(530, "5.7.0", "Authentication required")
    path = grammar.parse_path(argument, "FROM")
    given = grammar.parse_mail_parameters(path.parameters)
    refusal = rate_limits.check_message(session) or accept.check_size(given.size) or _future_release(session, given)
    if refusal is not None:
        return refusal
    await session.wait_for_client_name()
    transaction = Transaction(path.address, given)
    if not parameters.smtpd_delay_reject:
        question = RestrictionInput(
            "MAIL", session.client(), path.address, size=given.size, instance=transaction.instance
        )
        answer = await session.ask(accept.check_sender, question)
        if not answer.accepted:
            return answer.reply
        transaction.merge(answer.actions)
    session.transaction = transaction
    return Reply(250, "2.1.0", "Ok")


def _future_release(session: "SmtpSession", given: MailParameters) -> Reply | None:
    """RFC 4865: on submission, and not later than smtpd_future_release_limit."""
    if given.hold_seconds is None and given.hold_until is None:
        return None
    limit, now = conf.current().smtpd_future_release_limit, time()
    name = "HOLDUNTIL" if given.hold_seconds is None else "HOLDFOR"
    if not limit or not session.server.service.auth_required:
        return Reply(555, "5.5.4", f"Unsupported option: {name}")
    if given.release(now) > now + limit:
        return Reply(501, "5.5.4", f"Error: {name} is more than {limit} seconds ahead")
    return None


async def rcpt(session: "SmtpSession", argument: str) -> Reply | None:
    transaction = session.transaction
    if transaction is None:
        return Reply(503, "5.5.1", "Error: need MAIL command")
    if transaction.reception is not None:
        return Reply(503, "5.5.1", "Error: RCPT after BDAT")
    path = grammar.parse_path(argument, "TO")
    notify, orcpt = grammar.parse_rcpt_parameters(path.parameters)
    refusal = rate_limits.check_recipient(session)
    if refusal is not None:
        return refusal
    if len(transaction.recipients) >= conf.current().smtpd_recipient_limit:
        _too_many(session, transaction)
        return None
    answer = await check_recipient(session, "RCPT", path.address)
    if not answer.accepted:
        return answer.reply
    transaction.merge(answer.actions)
    transaction.accepted += 1
    transaction.recipients.append(MessageRecipient(path.address, notify, orcpt))
    transaction.final = answer.final if len(transaction.recipients) == 1 else ""
    return answer.reply


def _too_many(session: "SmtpSession", transaction: Transaction) -> None:
    """A client may go on asking for a while: its other recipients come with the next message (RFC 5321 §4.5.3.1.10)."""
    transaction.overshoot += 1
    session.reply(Reply(452, "4.5.3", "Error: too many recipients"))
    if transaction.overshoot > conf.current().smtpd_recipient_overshoot_limit:
        session.errors += 1


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
    refusal = await check_stage(session, session.transaction, "DATA", "", session.transaction.parameters.size)
    if refusal is not None:
        return refusal
    try:
        reception = begin_message(session, session.transaction)
    except TemporaryFault:
        return BUSY
    session.reply(Reply(354, "", "End data with <CR><LF>.<CR><LF>"))
    session.flush()
    stream, clock = DotUnstuffer(), _Clock(session)
    try:
        while not stream.ended:
            chunk = await session.read(_CHUNK)
            clock.arrived(len(chunk))
            await reception.write_chunk(stream.feed(chunk))
    except BaseException:
        reception.file.discard()
        raise
    session.push_back(stream.rest)
    reception.bare = stream.bare
    return await finish_message(session, session.transaction, reception)


async def bdat(session: "SmtpSession", argument: str) -> Reply | None:
    """RFC 3030: chunks of a size said beforehand; binary content is not offered."""
    try:
        left, last = grammar.parse_bdat(argument)
    except grammar.SmtpSyntaxError as fault:
        session.close_with(Reply(fault.code, fault.enhanced, fault.text))
    size, transaction = left, session.transaction
    refusal = _not_ready(session)
    if refusal is None and transaction is not None and transaction.reception is None:
        refusal = await check_stage(session, transaction, "DATA", "", transaction.parameters.size)
    reception = None
    if refusal is None and transaction is not None:
        try:
            reception = transaction.reception = transaction.reception or begin_message(session, transaction)
        except TemporaryFault:
            refusal = BUSY
    clock = _Clock(session)
    try:
        while left:
            chunk = await session.read(min(left, _CHUNK))
            clock.arrived(len(chunk))
            left -= len(chunk)
            if reception is not None and transaction is not None:
                transaction.line_ends.feed(chunk)
                await reception.write_chunk(chunk)
    except BaseException:
        if reception is not None:
            reception.file.discard()
        raise
    if reception is None or transaction is None:
        return refusal
    if not last:
        return Reply(250, "2.0.0", f"Ok: {size} bytes")
    transaction.line_ends.end()
    reception.bare = transaction.line_ends.bare
    return await finish_message(session, transaction, reception)


class _Clock:
    """How long content may take: smtpd_timeout from byte to byte, or, with smtpd_per_request_deadline,
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
        self._session.reset_deadline(max(self._end - now, 0.0))
