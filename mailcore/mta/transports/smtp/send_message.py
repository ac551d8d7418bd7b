"""Transmission of one message over a session: MAIL, RCPT, DATA, pipelined if the host supports it (RFC 2920).

The host's extensions decide how it is sent: SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), DSN (RFC 3461
§6). Where it takes neither 8-bit bytes nor long lines, `wire.message.transport_encoding` converts the content.
"""

import asyncio
import os
from collections.abc import Sequence

from mailcore import conf
from mailcore.mta.queue import content_files
from mailcore.mta.queue.claim import Claim, PendingRecipient
from mailcore.mta.transports.smtp import dkim_sign
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.mta.transports.smtp.session import ConnectionLost, Session
from mailcore.values import Outcome, deferred_outcome, delivered_outcome, failed_outcome
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.message import trace_headers
from mailcore.wire.message.transport_encoding import TransportEncoding, has_long_line
from mailcore.wire.smtp_commands import DotStuffingWriter, encode_xtext
from mailcore.wire.smtp_replies import SmtpReply

_CHUNK = 1 << 18  # Bytes read and sent at once; a message no longer than that is read on the event loop.


async def send_message(session: Session, job: DeliveryJob, recipients: Sequence[PendingRecipient]) -> Results:
    """Send the message to `recipients`, and return an outcome for each, in any order.

    Raise ConnectionLost; then no recipient has it, unless that is `after_content`.
    """
    claim = job.claim
    if (refusal := _unsupported(session, claim, recipients)) is not None:
        return [(recipient, refusal) for recipient in recipients]
    converted = await _convert_content(claim, seven_bit="8BITMIME" not in session.extensions)
    signature = (
        await asyncio.to_thread(dkim_sign.signature_fields, claim, job.signing, converted) if job.signing else b""
    )
    size = len(signature) + (claim.size if converted is None else len(converted))
    mail = _mail_command(session, claim, size)
    rcpt_commands = [_rcpt_command(session, recipient) for recipient in recipients]
    session.messages += 1
    results, accepted, ready = await _send_envelope(session, mail, rcpt_commands, recipients)
    if not ready:
        return results
    if not accepted:
        # The host waits for content without a recipient: end the data at once.
        session.put(b".\r\n")
        await session.read_reply("sending end of data")
        return results
    await _send_content(session, claim, signature, converted)
    try:
        reply = await session.read_reply("sending end of data", conf.current().smtp_data_done_timeout)
    except ConnectionLost as lost:
        lost.outcome = deferred_outcome(
            lost.outcome.dsn, f"{lost.outcome.text} -- message may be sent more than once", lost.outcome.relay
        )
        lost.after_content = True
        raise
    session.needs_rset = False
    outcome = _reply_outcome(session, reply, "end of DATA command")
    return results + [(recipient, outcome) for recipient in accepted]


def _unsupported(session: Session, claim: Claim, recipients: Sequence[PendingRecipient]) -> Outcome | None:
    """Return the failure if the host can never accept the message."""
    who, offered = session.peer.label, session.extensions
    limit = offered.get("SIZE", "").partition(" ")[0]
    if limit.isdigit() and 0 < int(limit) < claim.size:
        text = f"message size {claim.size} exceeds size limit {limit} of server {who}"
        return failed_outcome("5.3.4", text, session.peer.relay)
    if "SMTPUTF8" not in offered and _needs_utf8(claim, recipients):
        return failed_outcome("5.6.7", f"SMTPUTF8 is required, but was not offered by host {who}", session.peer.relay)
    return None


def _needs_utf8(claim: Claim, recipients: Sequence[PendingRecipient]) -> bool:
    """Return True if the message needs SMTPUTF8; a client may declare it without need (RFC 6531 §3.4)."""
    if not claim.smtputf8:
        return False
    if not claim.sender.isascii() or not all(recipient.address.isascii() for recipient in recipients):
        return True
    limit = conf.current().header_size_limit
    return not trace_headers.split_off_header(content_files.read_header(claim.id, claim.trace_size, limit)).isascii()


# --- Envelope -------------------------------------------------------------------------------------


def _mail_command(session: Session, claim: Claim, size: int) -> str:
    offered = session.extensions
    words = [f"MAIL FROM:<{addresses.format_address(claim.sender)}>"]
    if "SIZE" in offered:
        words.append(f"SIZE={size}")
    if claim.eight_bit and "8BITMIME" in offered:
        words.append("BODY=8BITMIME")
    if claim.smtputf8 and "SMTPUTF8" in offered:
        words.append("SMTPUTF8")
    if "DSN" in offered:
        if claim.return_full is not None:
            words.append("RET=FULL" if claim.return_full else "RET=HDRS")
        if claim.envelope_id:
            words.append(f"ENVID={encode_xtext(claim.envelope_id)}")
    return " ".join(words)


def _rcpt_command(session: Session, recipient: PendingRecipient) -> str:
    words = [f"RCPT TO:<{addresses.format_address(recipient.address)}>"]
    if "DSN" in session.extensions:
        if recipient.notify:
            words.append(f"NOTIFY={recipient.notify}")
        if recipient.orcpt:
            words.append(f"ORCPT={recipient.orcpt}")
        elif recipient.original.isascii():
            words.append(f"ORCPT=rfc822;{encode_xtext(recipient.original)}")
    return " ".join(words)


async def _send_envelope(
    session: Session, mail: str, rcpt_commands: Sequence[str], recipients: Sequence[PendingRecipient]
) -> tuple[Results, list[PendingRecipient], bool]:
    """Return (outcomes of rejected recipients, accepted recipients, True if the host waits for content)."""
    commands = [*(["RSET"] if session.needs_rset else []), mail, *rcpt_commands, "DATA"]
    conversation = _CommandSequence(session, commands, pipelined="PIPELINING" in session.extensions)
    if session.needs_rset:
        await conversation.next("sending RSET")
    session.needs_rset = True
    reply = await conversation.next("sending MAIL FROM")
    if not reply.positive:
        refusal = _reply_outcome(session, reply, "MAIL FROM command")
        ready = await conversation.read_remaining(len(rcpt_commands))
        return [(recipient, refusal) for recipient in recipients], [], ready
    results: Results = []
    accepted: list[PendingRecipient] = []
    for number, recipient in enumerate(recipients):
        reply = await conversation.next("sending RCPT TO")
        if reply.positive:
            accepted.append(recipient)
            continue
        refusal = _reply_outcome(session, reply, "RCPT TO command")
        if session.is_finished:  # 421: the host closes the connection, so no recipient gets the message.
            return results + [(each, refusal) for each in [*accepted, *recipients[number:]]], [], False
        results.append((recipient, refusal))
    if not accepted and not conversation.pipelined:
        return results, [], False
    reply = await conversation.next("sending DATA command")
    if reply.code == 354:
        return results, accepted, True
    # Without accepted recipients a host is right to reject DATA.
    refusal = _reply_outcome(session, reply, "DATA command")
    return results + [(recipient, refusal) for recipient in accepted], [], False


class _CommandSequence:
    """Commands and their replies, in order: sent at once, or one by one."""

    def __init__(self, session: Session, commands: Sequence[str], *, pipelined: bool) -> None:
        self.pipelined = pipelined
        self._session = session
        self._left = iter(commands)
        if pipelined:
            session.send(*commands)

    async def next(self, doing: str) -> SmtpReply:
        if not self.pipelined:
            self._session.send(next(self._left))
        return await self._session.read_reply(doing)

    async def read_remaining(self, count: int) -> bool:
        """Read the replies to commands already sent. Return True if the host still waits for content."""
        if not self.pipelined or self._session.is_finished:
            return False
        for _ in range(count):
            await self._session.read_reply("sending RCPT TO")
        return (await self._session.read_reply("sending DATA command")).code == 354


def _reply_outcome(session: Session, reply: SmtpReply, command: str) -> Outcome:
    """Return a reply's outcome: 2xx delivered, 4xx deferred, 5xx failed, with its enhanced code (RFC 3463)."""
    relay = session.peer.relay
    if reply.positive:
        # With DSN the other host notifies the sender; otherwise only the relaying can be reported.
        return delivered_outcome(str(reply), relay, reply.status, "" if "DSN" in session.extensions else "relayed")
    kind = deferred_outcome if reply.code < 500 else failed_outcome
    return kind(reply.status, f"host {session.peer.label} said: {reply} (in reply to {command})", relay)


# --- Content --------------------------------------------------------------------------------------


async def _convert_content(claim: Claim, *, seven_bit: bool) -> bytes | None:
    """Return the content encoded for a host that takes it only so (see `transport_encoding`), or None as it is."""
    parameters = conf.current()
    limit = parameters.smtp_line_length_limit
    seven_bit = seven_bit and not parameters.disable_mime_output_conversion
    content = content_files.read_header(claim.id, claim.trace_size, _CHUNK) if claim.size <= _CHUNK else None
    if content is None:
        if not await asyncio.to_thread(_needs_conversion, claim, seven_bit, limit):
            return None
        content = await asyncio.to_thread(content_files.read_header, claim.id, claim.trace_size, claim.size)
    elif not (seven_bit and not content.isascii()) and not has_long_line(content, limit):
        return None
    encoded = await asyncio.to_thread(TransportEncoding(seven_bit, limit).encode, content)
    return encoded if encoded != content else None


def _needs_conversion(claim: Claim, seven_bit: bool, limit: int) -> bool:
    """Look through a large message without holding it in memory."""
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(claim.trace_size)
        if not seven_bit:
            return limit > 0 and any(len(line) > limit + 2 for line in iter(lambda: file.readline(limit + 3), b""))
        return any(
            not line.isascii() or (limit > 0 and len(line) > limit + 2)
            for line in iter(lambda: file.readline(limit + 3 if limit else _CHUNK), b"")
        )


async def _send_content(session: Session, claim: Claim, signature: bytes, replacement: bytes | None) -> None:
    writer = DotStuffingWriter()
    if signature:
        session.put(writer.feed(signature))
    if replacement is not None:
        session.put(writer.feed(replacement))
        await session.drain("sending message body")
    else:
        with open(content_files.content_path(claim.id), "rb", buffering=0) as file:
            os.lseek(file.fileno(), claim.trace_size, os.SEEK_SET)
            small = claim.size <= _CHUNK
            while chunk := file.read(_CHUNK) if small else await asyncio.to_thread(file.read, _CHUNK):
                session.put(writer.feed(chunk))
                await session.drain("sending message body")
    session.put(writer.end())
