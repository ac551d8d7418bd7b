"""RFC 3464 delivery status notifications: bounces, delay warnings and success reports for senders.

Called by `deliver.record_results` inside its transaction: the notice is queued in the commit that makes the outcome
final, so a sender is notified exactly once. The failures of a delivery pass are reported in one notice when the pass
ends; delays (delay_warning_time) are reported once. A bounce is never bounced: a message with the null sender that
fails ends here, or is reported to the postmaster if notify_classes says so.

Users with an account here get the notice in their own language, with the English text below.
"""

from collections.abc import Sequence
from email.utils import formatdate

from django.conf import settings
from django.utils import translation

from mailcore import conf
from mailcore.models import Account, Recipient
from mailcore.mta.notices import dsn_text
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.claim import Claim, DeliveryResult, PendingRecipient
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.values import Client, MessageRecipient, NewMessage, Outcome
from mailcore.wire.message import dsn
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.message.dsn import NoticeRecipient

_HERE = Client("127.0.0.1", "localhost", protocol="SMTP")


def send_notices(results: Sequence[DeliveryResult]) -> None:
    """Queue the notices that these results require."""
    for result in results:
        claim = result.claim
        delivered = [
            _delivered_recipient(d, o)
            for d, o in result.outcomes
            if o.kind == "delivered" and o.action and _wants_success_notice(d)
        ]
        if delivered and claim.sender:
            _enqueue_notice(claim, delivered, claim.sender, "delivered")
    ended = [s.claim for s in results if s.is_last and (s.claim.had_failures or not s.claim.is_first_attempt)]
    unreported = _unreported_failures(ended)
    for claim in ended:
        if claim.id in unreported:
            _report_failures(claim)
        _report_delays(claim)


def _unreported_failures(claims: Sequence[Claim]) -> set[int]:
    """Return the ids of messages with unreported failures. One query covers many messages: most have none."""
    ids = [claim.id for claim in claims]
    pieces = (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))
    return {queued_id for piece in pieces for (queued_id,) in _failed.rows(piece)}


_BATCH = 500
_failed = CompiledQuery(
    lambda ids: Recipient.objects.filter(queued_id__in=ids, state=Recipient.State.FAILED, notified=False).values_list(
        "queued_id"
    ),
    (int,),
)


def _wants_success_notice(recipient: PendingRecipient) -> bool:
    return "SUCCESS" in recipient.notify.upper().split(",")


def _delivered_recipient(recipient: PendingRecipient, outcome: Outcome) -> NoticeRecipient:
    action = outcome.action or "delivered"
    return NoticeRecipient(
        recipient.address, recipient.original, recipient.orcpt, action, outcome.dsn, outcome.text, outcome.relay
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


def _report_failures(claim: Claim) -> None:
    failed = Recipient.objects.filter(queued_id=claim.id, state=Recipient.State.FAILED, notified=False).order_by("id")
    rows = list(failed)
    if not rows:
        return
    failed.update(notified=True)
    classes = conf.current().notify_classes
    reported = [
        _notice_recipient(row, "failed") for row in rows if not row.notify or "FAILURE" in row.notify.upper().split(",")
    ]
    if reported and claim.sender and claim.sender != _double_bounce_sender():
        _enqueue_notice(claim, reported, claim.sender, "failed")
        if "bounce" in classes:
            _notify_postmaster(claim, reported, "failed")
    elif not claim.sender and "2bounce" in classes:
        _notify_postmaster(claim, [_notice_recipient(row, "failed") for row in rows], "failed")


def _report_delays(claim: Claim) -> None:
    """Report delayed recipients; DELAY must be requested if NOTIFY was given (RFC 3461 §4.1)."""
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


def _notify_postmaster(claim: Claim, recipients: Sequence[NoticeRecipient], kind: dsn_text.Kind) -> None:
    """Send the header to the postmaster, from an address whose messages are never bounced."""
    recipient = conf.current().bounce_notice_recipient
    _, domain = addresses.split_address(recipient)
    to = recipient if domain else f"{recipient}@{conf.current().myorigin}"
    _enqueue_notice(claim, recipients, to, kind, sender=_double_bounce_sender())


def _enqueue_notice(
    claim: Claim, recipients: Sequence[NoticeRecipient], to: str, kind: dsn_text.Kind, sender: str = ""
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
        subject, words = dsn_text.notice_text(kind, recipients, copy=bool(sender))
    utf8 = not (to.isascii() and claim.sender.isascii() and all(each.address.isascii() for each in recipients))
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
            recipients=tuple(recipients),
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
    """Return the language of the account with this address, English if there is none."""
    found = Account.objects.filter(address=address.lower()).values_list("language", flat=True).first()
    return "en" if found is None else found or settings.LANGUAGE_CODE
