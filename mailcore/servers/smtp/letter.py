"""A letter from 354 to the queue: its trace headers, the last questions, the commit, the answer."""

import asyncio
import functools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailcore import conf, log
from mailcore.post import accept
from mailcore.post.sending import LimitReached
from mailcore.servers.smtp.content import Reception
from mailcore.servers.smtp.questions import judge
from mailcore.terms import Letter, LetterRecipient, Reply, TemporaryFault
from mailcore.wire import address, trace
from mailcore.wire.scan import subject_of

if TYPE_CHECKING:
    from mailcore.servers.smtp.session import SmtpSession
    from mailcore.servers.smtp.transaction import Transaction

BUSY = Reply(451, "4.3.0", "Error: queue file write error")


def receive(session: "SmtpSession", transaction: "Transaction") -> Reception:
    """Begin the content file with the trace headers that are certain already: for a letter with one
    recipient whose mailbox is known, its file can go into the Maildir as it is."""
    parameters = conf.current()
    reception = Reception(session.server.bridge, parameters.message_size_limit)
    reception.received_at = time.time()
    _redirect(transaction)
    only = transaction.recipients[0] if len(transaction.recipients) == 1 else None
    # What is asked at the end may change the recipients yet.
    final = transaction.final if only and not accept.has("END-OF-MESSAGE") else ""
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
    prepended = "".join(f"{header}\r\n" for header in transaction.actions.prepend)
    reception.begin(local + prepended.encode("utf-8", "replace") + received)
    if submitted(session):
        reception.complete = functools.partial(_complete, session, reception.queue_id)
    return reception


def _redirect(transaction: "Transaction") -> None:
    """REDIRECT and BCC of access tables, in the place of, and besides, the recipients."""
    actions, given = transaction.actions, transaction.recipients
    if actions.redirect:
        given[:] = [LetterRecipient(actions.redirect, original=given[0].given)]
    if actions.redirect or actions.bcc:
        transaction.final = ""
    given += [LetterRecipient(address, notify="NEVER") for address in actions.bcc]


def submitted(session: "SmtpSession") -> bool:
    """Does the letter come from one of ours, whose program may have left headers to us? (RFC 6409 §8)"""
    if session.login or session.server.service.auth_required:
        return True
    return not session.server.service.lmtp and accept.completes_headers(session.client())


def _complete(session: "SmtpSession", queue_id: str, header: bytes) -> bytes:
    """The headers a letter must have and this one has not (RFC 5322 §3.6), as Postfix's cleanup adds them."""
    now = time.time()
    sender = address.render(session.sender or session.login)
    new_id = f"{time.strftime('%Y%m%d%H%M%S', time.gmtime(now))}.{queue_id}@{conf.current().myhostname}"
    return trace.missing(header, sender, now, new_id)


async def finish(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Reply:
    """The answer to the letter's end; the transaction is over."""
    try:
        reply = await _take_in(session, transaction, reception)
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


async def _take_in(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Reply:
    await reception.release()
    refusal = reception.refusal() or _mail_loop(transaction, reception)
    if refusal is not None:
        log.write(
            session.server.service.name,
            f"{reception.queue_id}: reject: END-OF-MESSAGE from {session.who}: {refusal}; from=<{transaction.sender}>",
        )
    else:
        before = transaction.actions
        refusal = await judge(session, transaction, "END-OF-MESSAGE", reception.queue_id, reception.size)
        if transaction.actions != before:
            _redirect(transaction)
    if refusal is not None:
        await reception.discard()
        return refusal
    if transaction.actions.discard:
        await reception.discard()
        return Reply(250, "2.0.0", f"Ok: queued as {reception.queue_id}")
    reception.end()
    letter = _letter(session, transaction, reception)
    letter, delivered = await session.server.committer.take_in(reception.file, letter)
    # The client need not wait for the log.
    asyncio.get_running_loop().call_soon(_log, letter, delivered)
    return Reply(250, "2.0.0", f"Ok: queued as {letter.queue_id}")


def _log(letter: Letter, delivered: Sequence[str]) -> None:
    client = letter.client
    log.write(
        client.service,
        f"{letter.queue_id}: client={client.name}[{client.address}]"
        + (f", sasl_method={client.method}, sasl_username={client.login}" if client.login else ""),
        f"{letter.queue_id}: message-id=<{letter.message_id}>",
        f"{letter.queue_id}: from=<{letter.sender}>, size={letter.size}, nrcpt={len(letter.recipients)} (queue active)",
    )
    if delivered:
        log.write("qmgr", *delivered)


def _mail_loop(transaction: "Transaction", reception: Reception) -> Reply | None:
    final = transaction.final
    if final and final in trace.delivered_to(reception.header()):
        return Reply(554, "5.4.6", f"mail forwarding loop for {final}")
    return None


def _letter(session: "SmtpSession", transaction: "Transaction", reception: Reception) -> Letter:
    given = transaction.parameters
    # A letter that waits (RFC 4865) begins its life when it is let go: age and lifetime count from then.
    release = given.release(reception.received_at)
    return Letter(
        id=reception.id,
        sender=transaction.sender,
        recipients=tuple(transaction.recipients),
        size=reception.file.size - reception.trace_size,
        received_us=int((release or reception.received_at) * 1_000_000),
        client=session.client(),
        trace_size=reception.trace_size,
        final=transaction.final if reception.trace_size else "",
        message_id=trace.message_id(reception.header()),
        subject=subject_of(reception.header()),
        envelope_id=given.envelope_id,
        return_full=given.return_full,
        hold=transaction.actions.hold,
        due_us=int(release * 1_000_000),
        eight_bit=given.eight_bit,
        smtputf8=given.smtputf8,
    )
