"""One message over a session: MAIL, RCPT, DATA, in one go where the host pipelines (RFC 2920).

What the host can do decides how the message goes: SIZE (RFC 1870), 8BITMIME (RFC 6152, else `wire.downgrade`),
SMTPUTF8 (RFC 6531), DSN (RFC 3461 §6).
"""

import asyncio
import os
from collections.abc import Sequence

from mailcore import conf
from mailcore.mta.queue import content_files
from mailcore.mta.queue.states import Claim, PendingRecipient
from mailcore.mta.transports.smtp import dkim_sign
from mailcore.mta.transports.smtp.job import DeliveryJob, Results
from mailcore.mta.transports.smtp.session import ConnectionLost, Session
from mailcore.values import Outcome, deferred_outcome, delivered_outcome, failed_outcome
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.message import trace_headers
from mailcore.wire.message.to_7bit import to_seven_bit
from mailcore.wire.smtp_commands import DotStuffingWriter, encode_xtext
from mailcore.wire.smtp_replies import SmtpReply

_AT_ONCE = 1 << 18  # bytes read and sent at once; a message that is no longer is read on the loop


async def send_message(session: Session, job: DeliveryJob, duties: Sequence[PendingRecipient]) -> Results:
    """Hand the message over for `duties`: an outcome for each, in any order. Raises Lost; then nobody has it, unless
    it came `after_content`."""
    claim = job.claim
    if (refusal := _unsupported(session, claim, duties)) is not None:
        return [(duty, refusal) for duty in duties]
    seven_bit = await _convert_to_7bit(claim) if "8BITMIME" not in session.extensions else None
    signature = (
        await asyncio.to_thread(dkim_sign.signature_fields, claim, job.signing, seven_bit) if job.signing else b""
    )
    size = len(signature) + (claim.size if seven_bit is None else len(seven_bit))
    mail = _mail_command(session, claim, size)
    recipients = [_rcpt_command(session, duty) for duty in duties]
    session.messages += 1
    results, taken, ready = await _send_envelope(session, mail, recipients, duties)
    if not ready:
        return results
    if not taken:
        # The host takes content for nobody: end at once what must be ended.
        session.put(b".\r\n")
        await session.answer("sending end of data")
        return results
    await _send_content(session, claim, signature, seven_bit)
    try:
        answer = await session.answer("sending end of data", conf.current().smtp_data_done_timeout)
    except ConnectionLost as lost:
        lost.outcome = deferred_outcome(
            lost.outcome.dsn, f"{lost.outcome.text} -- message may be sent more than once", lost.outcome.relay
        )
        lost.after_content = True
        raise
    session.unclean = False
    outcome = _reply_outcome(session, answer, "end of DATA command")
    return results + [(duty, outcome) for duty in taken]


def _unsupported(session: Session, claim: Claim, duties: Sequence[PendingRecipient]) -> Outcome | None:
    """What this host can never take."""
    who, offered = session.peer.label, session.extensions
    limit = offered.get("SIZE", "").partition(" ")[0]
    if limit.isdigit() and 0 < int(limit) < claim.size:
        text = f"message size {claim.size} exceeds size limit {limit} of server {who}"
        return failed_outcome("5.3.4", text, session.peer.relay)
    if "SMTPUTF8" not in offered and _needs_utf8(claim, duties):
        return failed_outcome("5.6.7", f"SMTPUTF8 is required, but was not offered by host {who}", session.peer.relay)
    return None


def _needs_utf8(claim: Claim, duties: Sequence[PendingRecipient]) -> bool:
    """A client may say SMTPUTF8 of a message that could do without (RFC 6531 §3.4)."""
    if not claim.smtputf8:
        return False
    if not claim.sender.isascii() or not all(duty.address.isascii() for duty in duties):
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


def _rcpt_command(session: Session, duty: PendingRecipient) -> str:
    words = [f"RCPT TO:<{addresses.format_address(duty.address)}>"]
    if "DSN" in session.extensions:
        if duty.notify:
            words.append(f"NOTIFY={duty.notify}")
        if duty.orcpt:
            words.append(f"ORCPT={duty.orcpt}")
        elif duty.original.isascii():
            words.append(f"ORCPT=rfc822;{encode_xtext(duty.original)}")
    return " ".join(words)


async def _send_envelope(
    session: Session, mail: str, recipients: Sequence[str], duties: Sequence[PendingRecipient]
) -> tuple[Results, list[PendingRecipient], bool]:
    """(outcomes of those who are refused, those who are not, whether the host waits for content)."""
    commands = [*(["RSET"] if session.unclean else []), mail, *recipients, "DATA"]
    said = _Conversation(session, commands, pipelined="PIPELINING" in session.extensions)
    if session.unclean:
        await said.next("sending RSET")
    session.unclean = True
    answer = await said.next("sending MAIL FROM")
    if not answer.positive:
        refusal = _reply_outcome(session, answer, "MAIL FROM command")
        ready = await said.give_up(len(recipients))
        return [(duty, refusal) for duty in duties], [], ready
    results: Results = []
    taken: list[PendingRecipient] = []
    for number, duty in enumerate(duties):
        answer = await said.next("sending RCPT TO")
        if answer.positive:
            taken.append(duty)
            continue
        refusal = _reply_outcome(session, answer, "RCPT TO command")
        if session.over:  # 421: nothing more will come, and nobody gets the message
            return results + [(each, refusal) for each in [*taken, *duties[number:]]], [], False
        results.append((duty, refusal))
    if not taken and not said.pipelined:
        return results, [], False
    answer = await said.next("sending DATA command")
    if answer.code == 354:
        return results, taken, True
    # With nobody to send to, a host is right to refuse.
    refusal = _reply_outcome(session, answer, "DATA command")
    return results + [(duty, refusal) for duty in taken], [], False


class _Conversation:
    """Commands and their replies, in order: said at once, or one by one."""

    def __init__(self, session: Session, commands: Sequence[str], *, pipelined: bool) -> None:
        self.pipelined = pipelined
        self._session = session
        self._left = iter(commands)
        if pipelined:
            session.say(*commands)

    async def next(self, doing: str) -> SmtpReply:
        if not self.pipelined:
            self._session.say(next(self._left))
        return await self._session.answer(doing)

    async def give_up(self, recipients: int) -> bool:
        """Hear the replies to what was said already; True: the host waits for content all the same."""
        if not self.pipelined or self._session.over:
            return False
        for _ in range(recipients):
            await self._session.answer("sending RCPT TO")
        return (await self._session.answer("sending DATA command")).code == 354


def _reply_outcome(session: Session, answer: SmtpReply, command: str) -> Outcome:
    """A reply as an outcome: 2xx delivered, 4xx deferred, 5xx failed; enhanced codes are kept (RFC 3463)."""
    relay = session.peer.relay
    if answer.positive:
        # With DSN the other host tells the sender; without, that it went on is all that can be told.
        return delivered_outcome(str(answer), relay, answer.status, "" if "DSN" in session.extensions else "relayed")
    kind = deferred_outcome if answer.code < 500 else failed_outcome
    return kind(answer.status, f"host {session.peer.label} said: {answer} (in reply to {command})", relay)


# --- Content --------------------------------------------------------------------------------------


async def _convert_to_7bit(claim: Claim) -> bytes | None:
    """The content in 7 bits, where it has 8 and can be said in 7."""
    if conf.current().disable_mime_output_conversion:
        return None
    content = content_files.read_header(claim.id, claim.trace_size, _AT_ONCE) if claim.size <= _AT_ONCE else None
    if content is None:
        content = await asyncio.to_thread(content_files.read_header, claim.id, claim.trace_size, claim.size)
    if content.isascii():
        return None
    return await asyncio.to_thread(to_seven_bit, content)


async def _send_content(session: Session, claim: Claim, signature: bytes, instead: bytes | None) -> None:
    writer = DotStuffingWriter()
    if signature:
        session.put(writer.feed(signature))
    if instead is not None:
        session.put(writer.feed(instead))
        await session.drain("sending message body")
    else:
        with open(content_files.content_path(claim.id), "rb", buffering=0) as file:
            os.lseek(file.fileno(), claim.trace_size, os.SEEK_SET)
            small = claim.size <= _AT_ONCE
            while chunk := file.read(_AT_ONCE) if small else await asyncio.to_thread(file.read, _AT_ONCE):
                session.put(writer.feed(chunk))
                await session.drain("sending message body")
    session.put(writer.end())
