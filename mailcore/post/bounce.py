"""Telling a sender what became of a letter: RFC 3464 delivery status notifications.

Called by `deliver.settle` inside its transaction: the notice enters the queue in the same commit that
makes the failure final, so a sender hears of it exactly once. Nothing bounces a bounce: a letter from
the null sender that fails ends here.
"""

from collections.abc import Sequence
from email.utils import formatdate

from mailcore import conf
from mailcore.models import Recipient
from mailcore.post import files, intake
from mailcore.post.queue import MICRO, Claim, Duty, Settlement, now_us
from mailcore.terms import Client, Letter, LetterRecipient, Outcome
from mailcore.wire import dsn

_HERE = Client("127.0.0.1", "localhost", protocol="SMTP")


def bounce(settlements: Sequence[Settlement]) -> None:
    """Queue a notice for every settlement with failures (or with successes somebody asked to hear of)."""
    for settlement in settlements:
        claim = settlement.claim
        told = [(d, o) for d, o in settlement.outcomes if _wants(d, o)]
        if not told or not claim.sender:
            continue
        _send(claim, told)
        Recipient.objects.filter(id__in=[duty.id for duty, _ in told]).update(notified=True)


def _wants(duty: Duty, outcome: Outcome) -> bool:
    """RFC 3461 §4.1: NOTIFY decides; without it failures are reported and nothing else."""
    asked = duty.notify.upper().split(",") if duty.notify else ["FAILURE"]
    return (outcome.kind == "failed" and "FAILURE" in asked) or (outcome.kind == "delivered" and "SUCCESS" in asked)


def _send(claim: Claim, told: Sequence[tuple[Duty, Outcome]]) -> None:
    parameters = conf.current()
    now = now_us()
    file = files.ContentFile()
    file.open()
    whole = claim.return_full is not False and claim.size <= parameters.bounce_size_limit
    limit = parameters.bounce_size_limit if whole else parameters.header_size_limit
    content = dsn.render(
        dsn.Notice(
            reporting_mta=parameters.myhostname,
            mail_name=parameters.mail_name,
            sender=claim.sender,
            envelope_id=claim.envelope_id,
            queue_id=claim.queue_id,
            arrived=formatdate(claim.received_us / MICRO, localtime=True),
            now=formatdate(now / MICRO, localtime=True),
            message_id=f"{file.id:X}.{now // MICRO}@{parameters.myhostname}",
            recipients=tuple(
                dsn.NoticeRecipient(d.address, d.original, d.orcpt, o.kind, o.dsn, o.text, o.relay) for d, o in told
            ),
            original=files.header(claim.id, claim.trace_size, limit),
            whole=whole,
        )
    )
    file.write(content)
    file.finish()
    letter = Letter(
        id=file.id,
        sender="",
        recipients=(LetterRecipient(claim.sender, notify="NEVER"),),
        size=len(content),
        received_us=now,
        client=_HERE,
        message_id=f"{file.id:X}.{now // MICRO}@{parameters.myhostname}",
    )
    intake.enter([letter])
