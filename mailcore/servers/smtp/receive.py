"""A message from 354 to the queue: its trace headers, the last questions, the commit, the answer."""

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.policy import accept
from mailcore.mta.queue.sending_limits import LimitReached
from mailcore.servers.smtp.message_body import MessageBody
from mailcore.servers.smtp.policy_checks import check_stage
from mailcore.values import MessageRecipient, NewMessage, Reply, TemporaryFault
from mailcore.wire.message import envelope_address, trace_headers
from mailcore.wire.message.message_scan import subject_key_of

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction

BUSY = Reply(451, "4.3.0", "Error: queue file write error")


def begin_message(session: "SmtpSession", transaction: "Transaction") -> MessageBody:
    """Begin the content file with the trace headers that are certain already: for a message with one
    recipient whose mailbox is known, its file can go into the Maildir as it is."""
    parameters = conf.current()
    reception = MessageBody(session.server.executor, parameters.message_size_limit)
    reception.received_at = time.time()
    _redirected_recipients(transaction)
    only = transaction.recipients[0] if len(transaction.recipients) == 1 else None
    # What is asked at the end may change the recipients yet.
    final = transaction.final if only and not accept.has_restrictions("END-OF-MESSAGE") else ""
    local = trace_headers.format_delivery_headers(transaction.sender, only.given, final) if only and final else b""
    received = trace_headers.format_received(
        helo=session.helo,
        client_name=session.client_name,
        client_address=session.client_address,
        hostname=parameters.myhostname,
        mail_name=parameters.mail_name,
        protocol=session.protocol,
        queue_id=reception.queue_id,
        recipient=only.address if only else "",
        at=reception.received_at,
        tls=session.tls,
        login=session.login,
    )
    reception.trace_size = len(local)
    prepended = "".join(f"{header}\r\n" for header in transaction.actions.prepend)
    reception.write_headers(local + prepended.encode("utf-8", "replace") + received)
    if is_submission(session):
        reception.complete = functools.partial(_complete_headers, session, reception.queue_id)
    return reception


def _redirected_recipients(transaction: "Transaction") -> None:
    """REDIRECT and BCC of access tables, in the place of, and besides, the recipients."""
    actions, given = transaction.actions, transaction.recipients
    if actions.redirect:
        given[:] = [MessageRecipient(actions.redirect, original=given[0].given)]
    if actions.redirect or actions.bcc:
        transaction.final = ""
    given += [MessageRecipient(address, notify="NEVER") for address in actions.bcc]


def is_submission(session: "SmtpSession") -> bool:
    """Does the message come from one of ours, whose program may have left headers to us? (RFC 6409 §8)"""
    if session.login or session.server.service.auth_required:
        return True
    return not session.server.service.lmtp and accept.should_complete_headers(session.client())


def _complete_headers(session: "SmtpSession", queue_id: str, header: bytes) -> bytes:
    """The headers a message must have and this one has not (RFC 5322 §3.6), as Postfix's cleanup adds them."""
    now = time.time()
    sender = envelope_address.format_address(session.sender or session.login)
    new_id = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}.{queue_id}@{conf.current().myhostname}"
    return trace_headers.missing_headers(header, sender, now, new_id)


async def finish_message(session: "SmtpSession", transaction: "Transaction", reception: MessageBody) -> Reply:
    """The answer to the message's end; the transaction is over."""
    try:
        reply = await _commit_message(session, transaction, reception)
    except LimitReached as reached:
        reply = reached.reply
    except TemporaryFault:
        reply = BUSY
    finally:
        session.transaction = None
    if session.server.service.lmtp:
        # RFC 2033 §4.2: one reply for each recipient that was accepted.
        for _ in range(transaction.accepted - 1):
            session.reply(reply)
    return reply


async def _commit_message(session: "SmtpSession", transaction: "Transaction", reception: MessageBody) -> Reply:
    await reception.release()
    refusal = reception.find_refusal() or _mail_loop(transaction, reception)
    if refusal is not None:
        writer.write(
            session.server.service.name,
            f"{reception.queue_id}: reject: END-OF-MESSAGE from {session.client_label}: {refusal}; from=<{transaction.sender}>",
        )
    else:
        before = transaction.actions
        refusal = await check_stage(session, transaction, "END-OF-MESSAGE", reception.queue_id, reception.size)
        if transaction.actions != before:
            _redirected_recipients(transaction)
    if refusal is not None:
        await reception.discard()
        return refusal
    if transaction.actions.discard:
        await reception.discard()
        return Reply(250, "2.0.0", f"Ok: queued as {reception.queue_id}")
    reception.finish()
    message = _build_message(session, transaction, reception)
    message, delivered = await session.server.committer.submit(reception.file, message)
    # The client need not wait for the log.
    asyncio.get_running_loop().call_soon(_log_delivery, message, delivered)
    return Reply(250, "2.0.0", f"Ok: queued as {message.queue_id}")


def _log_delivery(message: NewMessage, delivered: Sequence[str]) -> None:
    client = message.client
    writer.write(
        client.service,
        f"{message.queue_id}: client={client.name}[{client.address}]"
        + (f", sasl_method={client.method}, sasl_username={client.login}" if client.login else ""),
        f"{message.queue_id}: message-id=<{message.message_id}>",
        f"{message.queue_id}: from=<{message.sender}>, size={message.size}, nrcpt={len(message.recipients)} (queue active)",
    )
    if delivered:
        writer.write("qmgr", *delivered)


def _mail_loop(transaction: "Transaction", reception: MessageBody) -> Reply | None:
    final = transaction.final
    if final and final in trace_headers.find_delivered_to(reception.header()):
        return Reply(554, "5.4.6", f"mail forwarding loop for {final}")
    return None


def _build_message(session: "SmtpSession", transaction: "Transaction", reception: MessageBody) -> NewMessage:
    given = transaction.parameters
    # A message that waits (RFC 4865) begins its life when it is let go: age and lifetime count from then.
    release = given.release(reception.received_at)
    return NewMessage(
        id=reception.id,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        size=reception.file.size - reception.trace_size,
        received_us=int((release or reception.received_at) * 1_000_000),
        client=session.client(),
        trace_size=reception.trace_size,
        final=transaction.final if reception.trace_size else "",
        message_id=trace_headers.find_message_id(reception.header()),
        subject=subject_key_of(reception.header()),
        envelope_id=given.envelope_id,
        return_full=given.return_full,
        hold=transaction.actions.hold,
        due_us=int(release * 1_000_000),
        eight_bit=given.eight_bit,
        smtputf8=given.smtputf8,
    )
