"""The commands of a mail transaction: MAIL, RCPT, DATA, BDAT (RFC 5321 §3.3, RFC 3030), and its state."""

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
    """A mail transaction: from MAIL to the reply to the end of data, or to RSET."""

    sender: str
    parameters: MailParameters
    recipients: list[MessageRecipient] = field(default_factory=list)
    actions: Actions = _NO_ACTIONS  # The actions requested by restrictions.
    final: str = ""  # Verdict.final of the only recipient.
    accepted: int = 0  # The number of recipients accepted so far.
    overshoot: int = 0  # The number of recipients refused because there are too many.
    body: "MessageBody | None" = None  # Between BDAT chunks.
    line_ends: BareNewlineDetector = field(default_factory=BareNewlineDetector)  # Of the BDAT chunks.
    # Identifies the transaction to policy services.
    instance: str = field(default_factory=lambda: f"{os.getpid():x}.{time_ns():x}")

    def merge(self, more: Actions) -> None:
        """Add the actions requested by a restriction."""
        if more == _NO_ACTIONS:
            return
        own = self.actions
        self.actions = Actions(
            own.hold or more.hold,
            own.discard or more.discard,
            more.redirect or own.redirect,
            (*own.bcc, *more.bcc),
            (*own.prepend, *more.prepend),
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
    mail_parameters = grammar.parse_mail_parameters(path.parameters)
    refusal = (
        rate_limits.check_message(session)
        or accept.check_size(mail_parameters.size)
        or _check_future_release(session, mail_parameters)
    )
    if refusal is not None:
        return refusal
    await session.wait_for_client_name()
    transaction = Transaction(path.address, mail_parameters)
    if not parameters.smtpd_delay_reject:
        question = RestrictionInput(
            "MAIL", session.client(), path.address, size=mail_parameters.size, instance=transaction.instance
        )
        verdict = await session.evaluate(accept.check_sender, question)
        if not verdict.accepted:
            return verdict.reply
        transaction.merge(verdict.actions)
    session.transaction = transaction
    return Reply(250, "2.1.0", "Ok")


def _check_future_release(session: "SmtpSession", mail_parameters: MailParameters) -> Reply | None:
    """Refuse FUTURERELEASE (RFC 4865) except on submission and within smtpd_future_release_limit."""
    if mail_parameters.hold_seconds is None and mail_parameters.hold_until is None:
        return None
    limit, now = conf.current().smtpd_future_release_limit, time()
    name = "HOLDUNTIL" if mail_parameters.hold_seconds is None else "HOLDFOR"
    if not limit or not session.server.service.auth_required:
        return Reply(555, "5.5.4", f"Unsupported option: {name}")
    if mail_parameters.release(now) > now + limit:
        return Reply(501, "5.5.4", f"Error: {name} is more than {limit} seconds ahead")
    return None


async def rcpt(session: "SmtpSession", argument: str) -> Reply | None:
    transaction = session.transaction
    if transaction is None:
        return Reply(503, "5.5.1", "Error: need MAIL command")
    if transaction.body is not None:
        return Reply(503, "5.5.1", "Error: RCPT after BDAT")
    path = grammar.parse_path(argument, "TO")
    notify, orcpt = grammar.parse_rcpt_parameters(path.parameters)
    refusal = rate_limits.check_recipient(session)
    if refusal is not None:
        return refusal
    if len(transaction.recipients) >= conf.current().smtpd_recipient_limit:
        _refuse_excess(session, transaction)
        return None
    verdict = await check_recipient(session, "RCPT", path.address)
    if not verdict.accepted:
        return verdict.reply
    transaction.merge(verdict.actions)
    transaction.accepted += 1
    transaction.recipients.append(MessageRecipient(path.address, notify, orcpt))
    transaction.final = verdict.final if len(transaction.recipients) == 1 else ""
    return verdict.reply


def _refuse_excess(session: "SmtpSession", transaction: Transaction) -> None:
    """Refuse a recipient; the client may send it with the next message (RFC 5321 §4.5.3.1.10)."""
    transaction.overshoot += 1
    session.reply(Reply(452, "4.5.3", "Error: too many recipients"))
    if transaction.overshoot > conf.current().smtpd_recipient_overshoot_limit:
        session.errors += 1


def _check_ready(session: "SmtpSession") -> Reply | None:
    if session.transaction is None:
        return Reply(503, "5.5.1", "Error: need RCPT command")
    if not session.transaction.recipients:
        return Reply(554, "5.5.1", "Error: no valid recipients")
    return None


async def data(session: "SmtpSession", argument: str) -> Reply | None:
    if argument:
        return Reply(501, "5.5.4", "Syntax: DATA")
    refusal = _check_ready(session)
    if refusal is not None or session.transaction is None:
        return refusal
    if session.transaction.body is not None:
        return Reply(503, "5.5.1", "Error: DATA after BDAT")
    refusal = await check_stage(session, session.transaction, "DATA", "", session.transaction.parameters.size)
    if refusal is not None:
        return refusal
    try:
        body = begin_message(session, session.transaction)
    except TemporaryFault:
        return BUSY
    session.reply(Reply(354, "", "End data with <CR><LF>.<CR><LF>"))
    session.flush()
    stream, deadline = DotUnstuffer(), _ContentDeadline(session)
    try:
        while not stream.ended:
            chunk = await session.read(_CHUNK)
            deadline.extend(len(chunk))
            await body.write_chunk(stream.feed(chunk))
    except BaseException:
        body.file.discard()
        raise
    session.push_back(stream.rest)
    body.has_bare_newline = stream.bare
    return await finish_message(session, session.transaction, body)


async def bdat(session: "SmtpSession", argument: str) -> Reply | None:
    """Execute BDAT (RFC 3030): chunks of a declared size; BINARYMIME is not offered."""
    try:
        remaining, last = grammar.parse_bdat(argument)
    except grammar.SmtpSyntaxError as fault:
        session.close_with(Reply(fault.code, fault.enhanced, fault.text))
    size, transaction = remaining, session.transaction
    refusal = _check_ready(session)
    if refusal is None and transaction is not None and transaction.body is None:
        refusal = await check_stage(session, transaction, "DATA", "", transaction.parameters.size)
    body = None
    if refusal is None and transaction is not None:
        try:
            body = transaction.body = transaction.body or begin_message(session, transaction)
        except TemporaryFault:
            refusal = BUSY
    deadline = _ContentDeadline(session)
    try:
        while remaining:
            chunk = await session.read(min(remaining, _CHUNK))
            deadline.extend(len(chunk))
            remaining -= len(chunk)
            if body is not None and transaction is not None:
                transaction.line_ends.feed(chunk)
                await body.write_chunk(chunk)
    except BaseException:
        if body is not None:
            body.file.discard()
        raise
    if body is None or transaction is None:
        return refusal
    if not last:
        return Reply(250, "2.0.0", f"Ok: {size} bytes")
    transaction.line_ends.end()
    body.has_bare_newline = transaction.line_ends.bare
    return await finish_message(session, transaction, body)


class _ContentDeadline:
    """The deadline for content: smtpd_timeout from byte to byte, or, with smtpd_per_request_deadline, in all.

    In the second case it is extended at smtpd_min_data_rate, so that a client cannot hold a session by sending slowly.
    """

    def __init__(self, session: "SmtpSession") -> None:
        self._session = session
        self._loop = asyncio.get_running_loop()
        self._limit = float(conf.current().smtpd_timeout)
        self._end = self._loop.time() + self._limit

    def extend(self, byte_count: int) -> None:
        parameters, now = conf.current(), self._loop.time()
        if parameters.smtpd_per_request_deadline:
            self._end += byte_count / max(parameters.smtpd_min_data_rate, 1)
        else:
            self._end = now + self._limit
        self._end = min(self._end, now + self._limit)
        self._session.reset_deadline(max(self._end - now, 0.0))
