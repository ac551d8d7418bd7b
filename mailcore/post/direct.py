"""Letters for one mailbox here, delivered by whoever takes them in, before their clients are answered.

Most letters have one recipient whose mailbox was certain at RCPT. Such a letter needs no courier: its
content goes into the Maildir's `tmp` and is durable there; one transaction enters its message in the
mailbox; then the client is answered and the file takes its place in `new`. A process that dies before the
commit leaves nothing but a file in `tmp` that nobody sees, and its client never heard 250; whoever reads the
message before its file is `reveal`ed, or after a process died, finds the file in `tmp` (`store.maildir.locate`).

The queue keeps such letters for their story only. Their rows there, settled already, are `remember`ed when
the client has its answer, many at once (`servers.smtp.content`). A process that is killed just then takes this
much of the story with it (the log has it), and never a letter. Letters of those who signed in are counted by
their rows (`sending`), which their own transaction writes.

Whatever else a letter needs (several recipients, lists, other hosts, filters, a notice of success, a time to
wait for), and whatever goes wrong here, is the queue's: `take_in` says which letters it did not deliver, and
nothing has happened to those.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, IntegrityError, connection, transaction

from mailcore import conf, log
from mailcore.post import intake, quota_warning
from mailcore.post.deliver import DELIVERED, host, log_line
from mailcore.post.files import ContentFile
from mailcore.post.queue import MICRO, now_us
from mailcore.store import delivery, directory, maildir, retry
from mailcore.terms import Arrival, Letter, TemporaryFault

__all__ = ["Delivered", "remember", "reveal", "take_in"]


@dataclass(frozen=True, slots=True)
class Delivered:
    """A letter that lies in its mailbox, since `at_us`; its file at `path`, hidden until it is `reveal`ed."""

    letter: Letter
    at_us: int
    path: str

    @property
    def log_lines(self) -> tuple[str, ...]:
        """What a courier would have logged."""
        [recipient] = self.letter.recipients
        times = (self.letter.received_us, self.at_us, self.at_us)
        return (
            log_line(self.letter.queue_id, recipient.address, recipient.given, DELIVERED, times),
            f"{self.letter.queue_id}: removed",
        )

    @property
    def is_counted(self) -> bool:
        """Have its rows in the queue been written already?"""
        return bool(self.letter.client.login)


def take_in(group: Sequence[tuple[ContentFile, Letter]]) -> dict[int, Delivered]:
    """Deliver what can be delivered at once. Returns those letters by their ids, for `reveal` and `remember`; the
    others are as they were, files and all. TemporaryFault: nobody knows whether they were delivered."""
    letters, contents = [], []
    for file, letter in group:
        if file.in_memory and (account := _receiver(letter)):
            content = file.octets()
            letters.append(letter)
            contents.append((_arrival(letter, content, account), content))
    if not letters:
        return {}
    try:
        staged = delivery.stage_hidden(contents)
    except OSError:
        return {}
    entered = False
    try:
        with transaction.atomic():
            results = delivery.enter(staged, warn=quota_warning.warn)
            now = now_us()
            done = [
                Delivered(letter, now, item.path)
                for letter, item, result in zip(letters, staged, results, strict=True)
                if isinstance(item, delivery.Staged) and isinstance(result, delivery.Stored)
            ]
            _enter(each for each in done if each.is_counted)
            entered = True
    except (DatabaseError, OSError, TemporaryFault) as error:
        if entered and connection.vendor != "sqlite":
            # A COMMIT whose answer was lost may have happened: then these files are the messages' own.
            raise TemporaryFault("the database did not say whether the messages were entered") from error
        delivery.discard(staged)
        return {}
    return {each.letter.id: each for each in done}


def reveal(delivered: Iterable[Delivered]) -> list[Delivered]:
    """Their files take their places, for other programs to see; who reads the mailbox finds one in `tmp` as well.
    Returns those for which the disk refused that: the caller tries again."""
    refused: list[Delivered] = []
    for each in delivered:
        try:
            maildir.reveal(each.path)
        except OSError as error:
            log.write("qmgr", f"{each.letter.queue_id}: warning: delivered message is not published yet: {error}")
            refused.append(each)
    return refused


def remember(delivered: Iterable[Delivered]) -> None:
    """The queue knows these letters' story from here on."""
    settled = [each for each in delivered if not each.is_counted]
    if not settled:
        return
    try:
        retry.in_transaction(lambda: _enter(settled))
    except DatabaseError as error:
        if len(settled) > 1 and isinstance(error, IntegrityError):
            for each in settled:  # one queue id that is taken does not keep the others out
                remember([each])
            return
        ids = " ".join(each.letter.queue_id for each in settled)
        log.write("qmgr", f"warning: delivered letters are not in the queue's history: {type(error).__name__}: {ids}")


def _enter(delivered: Iterable[Delivered]) -> None:
    intake.enter_settled([(each.letter, each.at_us) for each in delivered], DELIVERED)


def _receiver(letter: Letter) -> directory.AccountEntry | None:
    """Whose INBOX this letter is for, now, and nobody waits to hear of it; None where that is not certain."""
    if not letter.final or len(letter.recipients) != 1 or letter.hold or letter.due_us:
        return None
    if "SUCCESS" in letter.recipients[0].notify or not conf.current().direct_delivery:
        return None
    account = directory.find_account(letter.final)
    if account is None or not account.receives or account.filtered or account.held or not account.inbox_id:
        return None
    return account


def _arrival(letter: Letter, content: bytes, account: directory.AccountEntry) -> Arrival:
    """The letter as it goes into its mailbox. One that is gone in the meantime is found out by `enter`, or has no
    directory."""
    return Arrival(
        account_id=account.id,
        base_name=f"{letter.received_us // MICRO}.Q{letter.queue_id}.{host()}",
        file=delivery.NO_FILE,
        skip=letter.trace_size,
        trace=content[: letter.trace_size],
        link=True,
        internal_at=letter.received_us // MICRO,
        place=(account.inbox_id, maildir.directory(account.address, "")),
    )
