"""A letter from 354 to the queue: its trace headers, the last questions, the commit, the answer."""

import asyncio
import time
from typing import TYPE_CHECKING

from mailcore import conf, log
from mailcore.servers.smtp.content import Reception
from mailcore.terms import Letter, Reply, TemporaryFault
from mailcore.wire import trace

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction

_BUSY = Reply(451, "4.3.0", "Error: queue file write error")


def receive(session: "SmtpSession", transaction: "Transaction") -> Reception:
    """Begin the content file with the trace headers that are certain already: for a letter with one
    recipient whose mailbox is known, its file can go into the Maildir as it is."""
    parameters = conf.current()
    reception = Reception(session.server.bridge, parameters.message_size_limit)
    reception.received_at = time.time()
    only = transaction.recipients[0] if len(transaction.recipients) == 1 else None
    final = transaction.final if only else ""
    local = trace.local(transaction.sender, only.given, final) if only and final else b""
    received = trace.received(
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
    reception.begin(local + received)
    return reception


async def finish(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Reply:
    """The answer to the letter's end; the transaction is over."""
    session.transaction = None
    try:
        reply = await _take_in(session, transaction, reception)
    except TemporaryFault:
        reply = _BUSY
    if session.server.service.lmtp:
        # RFC 2033 §4.2: one reply for each recipient that was accepted.
        for _ in transaction.recipients[1:]:
            session.reply(reply)
    return reply


async def _take_in(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Reply:
    refusal = reception.refusal() or _mail_loop(transaction, reception)
    if refusal is not None:
        await reception.discard()
        log.write(
            session.server.service.name,
            f"{reception.queue_id}: reject: END-OF-MESSAGE from {session.who}: {refusal}; from=<{transaction.sender}>",
        )
        return refusal
    letter = _letter(session, transaction, reception)
    # Not to be interrupted: a letter is either in the queue, or its file is gone.
    await asyncio.shield(session.server.committer.take_in(reception.file, letter))
    log.write(
        session.server.service.name,
        f"{letter.queue_id}: client={session.who}"
        + (f", sasl_method={session.method}, sasl_username={session.login}" if session.login else ""),
        f"{letter.queue_id}: message-id=<{letter.message_id}>",
        f"{letter.queue_id}: from=<{letter.sender}>, size={letter.size}, nrcpt={len(letter.recipients)} (queue active)",
    )
    return Reply(250, "2.0.0", f"Ok: queued as {letter.queue_id}")


def _mail_loop(transaction: "Transaction", reception: Reception) -> Reply | None:
    final = transaction.final
    if final and final in trace.delivered_to(reception.header()):
        return Reply(554, "5.4.6", f"mail forwarding loop for {final}")
    return None


def _letter(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Letter:
    given = transaction.parameters
    return Letter(
        id=reception.id,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        size=reception.file.size - reception.trace_size,
        received_us=int(reception.received_at * 1_000_000),
        client=session.client(),
        trace_size=reception.trace_size,
        message_id=trace.message_id(reception.header()),
        envelope_id=given.envelope_id,
        return_full=given.return_full,
        eight_bit=given.eight_bit,
        smtputf8=given.smtputf8,
    )
