"""A message from 354 to the queue: its trace headers, the last checks, the commit, the reply."""

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.policy import accept, author_check
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
    """Begin the content file with the trace headers that are certain already.

    The file of a message with one recipient whose mailbox is known can be moved into the Maildir unchanged.
    """
    parameters = conf.current()
    body = MessageBody(session.server.executor, parameters.message_size_limit)
    body.received_at = time.time()
    _apply_redirects(transaction)
    single = transaction.recipients[0] if len(transaction.recipients) == 1 else None
    # The checks at END-OF-MESSAGE may still change the recipients.
    final = transaction.final if single and not accept.has_restrictions("END-OF-MESSAGE") else ""
    local = trace_headers.format_delivery_headers(transaction.sender, single.given, final) if single and final else b""
    received = trace_headers.format_received(
        helo=session.helo,
        client_name=session.client_name,
        client_address=session.client_address,
        hostname=parameters.myhostname,
        mail_name=parameters.mail_name,
        protocol=session.protocol,
        queue_id=body.queue_id,
        recipient=single.address if single else "",
        at=body.received_at,
        tls=session.tls,
        login=session.login,
    )
    body.trace_size = len(local)
    prepended = "".join(f"{header}\r\n" for header in transaction.actions.prepend)
    body.write_headers(local + prepended.encode("utf-8", "replace") + received)
    if is_submission(session):
        body.complete_header = functools.partial(_complete_header, session, body.queue_id)
    return body


def _apply_redirects(transaction: "Transaction") -> None:
    """Apply REDIRECT and BCC of access tables to the recipients."""
    actions, recipients = transaction.actions, transaction.recipients
    if actions.redirect:
        recipients[:] = [MessageRecipient(actions.redirect, original=recipients[0].given)]
    if actions.redirect or actions.bcc:
        transaction.final = ""
    recipients += [MessageRecipient(address, notify="NEVER") for address in actions.bcc]


def is_submission(session: "SmtpSession") -> bool:
    """Return True if this is a submission, whose missing headers are added (RFC 6409 §8)."""
    if session.login or session.server.service.auth_required:
        return True
    return not session.server.service.lmtp and accept.should_complete_headers(session.client())


async def _complete_header(session: "SmtpSession", queue_id: str, header: bytes) -> tuple[Reply | None, bytes]:
    """Add the required headers that are missing (RFC 5322 §3.6), as Postfix's cleanup(8) does, and check the author.

    Return the rejection, if any, and the header.
    """
    now = time.time()
    sender = envelope_address.format_address(session.sender or session.login)
    new_id = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}.{queue_id}@{conf.current().myhostname}"
    header += trace_headers.missing_headers(header, sender, now, new_id)
    if not session.login:
        return None, header
    return await session.server.executor.run_read(author_check.check_author, header, session.login)


async def finish_message(session: "SmtpSession", transaction: "Transaction", body: MessageBody) -> Reply:
    """Finish the message and the transaction; return the reply to the end of data."""
    try:
        reply = await _commit_message(session, transaction, body)
    except LimitReached as reached:
        reply = reached.reply
    except TemporaryFault:
        reply = BUSY
    finally:
        session.transaction = None
    if session.server.service.lmtp:
        # RFC 2033 §4.2: one reply for each accepted recipient.
        for _ in range(transaction.accepted - 1):
            session.reply(reply)
    return reply


async def _commit_message(session: "SmtpSession", transaction: "Transaction", body: MessageBody) -> Reply:
    await body.end_content()
    refusal = body.find_refusal() or _check_mail_loop(transaction, body)
    if refusal is not None:
        writer.write(
            session.server.service.name,
            f"{body.queue_id}: reject: END-OF-MESSAGE from {session.client_label}: {refusal};"
            f" from=<{transaction.sender}>",
        )
    else:
        before = transaction.actions
        refusal = await check_stage(session, transaction, "END-OF-MESSAGE", body.queue_id, body.size)
        if transaction.actions != before:
            _apply_redirects(transaction)
    if refusal is not None:
        await body.discard()
        return refusal
    if transaction.actions.discard:
        await body.discard()
        return Reply(250, "2.0.0", f"Ok: queued as {body.queue_id}")
    message = _build_message(session, transaction, body)
    message, delivered = await session.server.committer.submit(body.file, message)
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
        f"{message.queue_id}: from=<{message.sender}>, size={message.size},"
        f" nrcpt={len(message.recipients)} (queue active)",
    )
    if delivered:
        writer.write("qmgr", *delivered)


def _check_mail_loop(transaction: "Transaction", body: MessageBody) -> Reply | None:
    final = transaction.final
    if final and final in trace_headers.find_delivered_to(body.header()):
        return Reply(554, "5.4.6", f"mail forwarding loop for {final}")
    return None


def _build_message(session: "SmtpSession", transaction: "Transaction", body: MessageBody) -> NewMessage:
    parameters = transaction.parameters
    # A scheduled message (RFC 4865) starts its queue lifetime at its release time.
    release = parameters.release(body.received_at)
    return NewMessage(
        id=body.id,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        size=body.file.size - body.trace_size,
        received_us=int((release or body.received_at) * 1_000_000),
        client=session.client(),
        trace_size=body.trace_size,
        final=transaction.final if body.trace_size else "",
        message_id=trace_headers.find_message_id(body.header()),
        subject=subject_key_of(body.header()),
        envelope_id=parameters.envelope_id,
        return_full=parameters.return_full,
        hold=transaction.actions.hold,
        due_us=int(release * 1_000_000),
        eight_bit=parameters.eight_bit,
        smtputf8=parameters.smtputf8,
    )
