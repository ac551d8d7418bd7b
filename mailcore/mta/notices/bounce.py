"""Telling a sender what became of a message: RFC 3464 delivery status notifications.

Called by `deliver.settle` inside its transaction: the notice enters the queue in the same commit that makes the
outcome final, so a sender hears of it exactly once. Failures are told when a pass over the message has ended, all in
one notice; so are delays (delay_warning_time), once. Nothing bounces a bounce: what fails on its way to the null
sender ends here, or with the postmaster where notify_classes says so.

Whoever has an account here reads it in their own language, with the English text below.
"""

from collections.abc import Sequence
from email.utils import formatdate

from django.conf import settings
from django.utils import translation

from mailcore import conf
from mailcore.models import Account, Recipient
from mailcore.mta.notices import dsn_text
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.states import MICRO, Claim, DeliveryResult, PendingRecipient, now_us
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.values import Client, MessageRecipient, NewMessage, Outcome
from mailcore.wire.message import dsn
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.message.dsn import NoticeRecipient

_HERE = Client("127.0.0.1", "localhost", protocol="SMTP")


def send_notices(settlements: Sequence[DeliveryResult]) -> None:
    """Queue the notices these settlements call for."""
    for settlement in settlements:
        claim = settlement.claim
        delivered = [
            _needs_notice(d, o)
            for d, o in settlement.outcomes
            if o.kind == "delivered" and o.action and _requested_notifications(d)
        ]
        if delivered and claim.sender:
            _enqueue_notice(claim, delivered, claim.sender, "delivered")
    ended = [s.claim for s in settlements if s.last and (s.claim.had_failures or not s.claim.first)]
    untold = _unreported_failures(ended)
    for claim in ended:
        if claim.id in untold:
            _failed_recipients(claim)
        _delayed_recipients(claim)


def _unreported_failures(claims: Sequence[Claim]) -> set[int]:
    """Which of these messages have failures that nobody has been told of. Asked for many at once: most have none."""
    ids = [claim.id for claim in claims]
    pieces = (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))
    return {queued_id for piece in pieces for (queued_id,) in _failed.rows(piece)}


_AT_ONCE = 500
_failed = CompiledQuery(
    lambda ids: Recipient.objects.filter(queued_id__in=ids, state=Recipient.State.FAILED, notified=False).values_list(
        "queued_id"
    ),
    (int,),
)


def _requested_notifications(duty: PendingRecipient) -> bool:
    return "SUCCESS" in duty.notify.upper().split(",")


def _needs_notice(duty: PendingRecipient, outcome: Outcome) -> NoticeRecipient:
    action = outcome.action or "delivered"
    return NoticeRecipient(
        duty.address, duty.original, duty.orcpt, action, outcome.dsn, outcome.text, outcome.relay
    )  # fmt: skip


def _notice_recipient(recipient: Recipient, action: str) -> NoticeRecipient:
    return NoticeRecipient(
        recipient.address,
        recipient.original,
        recipient.orcpt,
        action,
        recipient.dsn,
        recipient.reason,
        recipient.relay,
    )


def _failed_recipients(claim: Claim) -> None:
    failed = Recipient.objects.filter(queued_id=claim.id, state=Recipient.State.FAILED, notified=False).order_by("id")
    rows = list(failed)
    if not rows:
        return
    failed.update(notified=True)
    classes = conf.current().notify_classes
    wanted = [
        _notice_recipient(row, "failed") for row in rows if not row.notify or "FAILURE" in row.notify.upper().split(",")
    ]
    if wanted and claim.sender and claim.sender != _double_bounce_sender():
        _enqueue_notice(claim, wanted, claim.sender, "failed")
        if "bounce" in classes:
            _notify_postmaster(claim, wanted, "failed")
    elif not claim.sender and "2bounce" in classes:
        _notify_postmaster(claim, [_notice_recipient(row, "failed") for row in rows], "failed")


def _delayed_recipients(claim: Claim) -> None:
    """RFC 3461 §4.1: DELAY must be among what was asked, if anything was."""
    parameters = conf.current()
    warn_after = parameters.delay_warning_time * MICRO
    if not warn_after or not claim.sender or now_us() - claim.received_us < warn_after:
        return
    waiting = Recipient.objects.filter(queued_id=claim.id, state=Recipient.State.WAITING, delay_notified=False)
    rows = [row for row in waiting.order_by("id") if not row.notify or "DELAY" in row.notify.upper().split(",")]
    if rows:
        waiting.update(delay_notified=True)
        delayed = [_notice_recipient(row, "delayed") for row in rows]
        _enqueue_notice(claim, delayed, claim.sender, "delayed")
        if "delay" in parameters.notify_classes:
            _notify_postmaster(claim, delayed, "delayed")


def _double_bounce_sender() -> str:
    parameters = conf.current()
    return f"{parameters.double_bounce_sender}@{parameters.myhostname}"


def _notify_postmaster(claim: Claim, told: Sequence[NoticeRecipient], kind: dsn_text.Kind) -> None:
    """The header only. Sent by somebody whose messages are not returned when they fail."""
    recipient = conf.current().bounce_notice_recipient
    _, domain = addresses.split_address(recipient)
    to = recipient if domain else f"{recipient}@{conf.current().myorigin}"
    _enqueue_notice(claim, told, to, kind, sender=_double_bounce_sender())


def _enqueue_notice(
    claim: Claim, told: Sequence[NoticeRecipient], to: str, kind: dsn_text.Kind, sender: str = ""
) -> None:
    parameters = conf.current()
    now = now_us()
    file = content_files.ContentFile()
    file.open()
    message_id = f"{file.id:X}.{now // MICRO}@{parameters.myhostname}"
    whole = (
        kind == "failed"
        and not sender
        and claim.return_full is not False
        and claim.size <= parameters.bounce_size_limit
    )
    limit = parameters.bounce_size_limit if whole else parameters.header_size_limit
    with translation.override(_language_of(to)):
        subject, words = dsn_text.notice_text(kind, told, copy=bool(sender))
    utf8 = not (to.isascii() and claim.sender.isascii() and all(each.address.isascii() for each in told))
    content = dsn.render_notice(
        dsn.Notice(
            reporting_mta=parameters.myhostname,
            mail_name=parameters.mail_name,
            to=to,
            sender=claim.sender,
            subject=subject,
            words=words,
            envelope_id=claim.envelope_id,
            queue_id=claim.queue_id,
            arrived=formatdate(claim.received_us / MICRO, localtime=True),
            now=formatdate(now / MICRO, localtime=True),
            message_id=message_id,
            recipients=tuple(told),
            original=content_files.read_header(claim.id, claim.trace_size, limit),
            whole=whole,
            utf8=utf8,
        )
    )
    file.write(content)
    file.finish()
    message = NewMessage(
        id=file.id,
        checksum=file.checksum,
        sender=sender,
        recipients=(MessageRecipient(to, notify="NEVER"),),
        size=len(content),
        received_us=now,
        client=_HERE,
        message_id=message_id,
        eight_bit=not content.isascii(),
        smtputf8=utf8,
    )
    enqueue.insert_messages([message])


def _language_of(address: str) -> str:
    """The language of whoever has this address, English for strangers."""
    found = Account.objects.filter(address=address.lower()).values_list("language", flat=True).first()
    return "en" if found is None else found or settings.LANGUAGE_CODE
