"""Letters for one mailbox here, delivered by whoever takes them in, in the transaction that takes them in.

Most letters have one recipient whose mailbox was certain at RCPT. Such a letter needs no courier: its
content goes into the Maildir's `tmp` and is durable there; one transaction writes its rows in the queue,
settled already, and its message in the mailbox; then the file takes its place in `new`. A process that
dies before the commit leaves nothing but a file in `tmp` that nobody sees, and its client never heard
250; one that dies after it leaves a message whose file is found in `tmp` (`store.maildir.locate`).

Whatever else a letter needs (several recipients, lists, other hosts, filters, a notice of success, a time to
wait for), and whatever goes wrong here, is the queue's: `take_in` says which letters it did not deliver, and
nothing has happened to those.
"""

from collections.abc import Sequence

from django.db import DatabaseError, transaction

from mailcore import conf
from mailcore.post import intake, quota_warning
from mailcore.post.deliver import DELIVERED, host, log_line
from mailcore.post.files import ContentFile
from mailcore.post.queue import MICRO, now_us
from mailcore.post.route import route
from mailcore.store import delivery, directory
from mailcore.terms import Arrival, Letter, Local, TemporaryFault

__all__ = ["take_in"]


def take_in(group: Sequence[tuple[ContentFile, Letter]]) -> dict[int, tuple[str, ...]]:
    """Deliver what can be delivered at once. Returns the ids of those letters with qmgr's log lines for
    each; the others are as they were, files and all."""
    letters = [letter for file, letter in group if file.in_memory and _is_certain(letter)]
    if not letters:
        return {}
    contents = {letter.id: file.octets() for file, letter in group if file.in_memory}
    try:
        staged = delivery.stage_hidden([(_arrival(each, contents[each.id]), contents[each.id]) for each in letters])
    except OSError:
        return {}
    try:
        with transaction.atomic():
            delivery.reveal(staged)
            results = delivery.enter(staged, warn=quota_warning.warn)
            now = now_us()
            done = [
                letter for letter, result in zip(letters, results, strict=True) if isinstance(result, delivery.Stored)
            ]
            intake.enter_settled(done, DELIVERED, now)
    except (DatabaseError, OSError, TemporaryFault):
        delivery.discard(staged)
        return {}
    return {letter.id: _log_lines(letter, now) for letter in done}


def _is_certain(letter: Letter) -> bool:
    """Is this letter for one mailbox here, now, and nobody waits to hear of it?"""
    if not letter.final or len(letter.recipients) != 1 or letter.hold or letter.due_us:
        return False
    account = directory.find_account(letter.final)
    if account is not None and (account.filtered or account.held):
        return False
    return "SUCCESS" not in letter.recipients[0].notify and conf.current().direct_delivery


def _arrival(letter: Letter, content: bytes) -> Arrival:
    """The letter as it goes into its mailbox. An account that is gone since RCPT is found out by `stage_hidden`."""
    way = route(letter.final, final=True)
    return Arrival(
        account_id=way.account_id if isinstance(way, Local) else 0,
        base_name=f"{letter.received_us // MICRO}.Q{letter.queue_id}.{host()}",
        file=delivery.NO_FILE,
        skip=letter.trace_size,
        trace=content[: letter.trace_size],
        link=True,
        internal_at=letter.received_us // MICRO,
    )


def _log_lines(letter: Letter, now: int) -> tuple[str, ...]:
    """What a courier would have logged."""
    [recipient] = letter.recipients
    times = (letter.received_us, now, now)
    return (
        log_line(letter.queue_id, recipient.address, recipient.given, DELIVERED, times),
        f"{letter.queue_id}: removed",
    )
