"""Messages for one mailbox here, delivered by whoever takes them in, before their clients are answered.

Most messages have one recipient whose mailbox was certain at RCPT. Such a message needs no courier: its
content goes into the Maildir's `tmp` and is durable there; one transaction enters its message in the
mailbox; then the client is answered and the file takes its place in `new`. A process that dies before the
commit leaves nothing but a file in `tmp` that nobody sees, and its client never heard 250; whoever reads the
message before its file is `reveal`ed, or after a process died, finds the file in `tmp` (`store.maildir.locate`).

The queue keeps such messages for their story only. Their rows there, settled already, are `remember`ed when
the client has its answer, many at once (`servers.smtp.content`). A process that is killed just then takes this
much of the story with it (the log has it), and never a message. Messages of those who signed in are counted by
their rows (`sending`), which their own transaction writes.

Whatever else a message needs (several recipients, lists, other hosts, filters, a notice of success, a time to
wait for), and whatever goes wrong here, is the queue's: `take_in` says which messages it did not deliver, and
nothing has happened to those.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import DatabaseError, IntegrityError, connection, transaction

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.delivery.deliver import DELIVERED, log_line, maildir_host
from mailcore.mta.notices import quota_warning
from mailcore.mta.queue import enqueue
from mailcore.mta.queue.content_files import ContentFile
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.store import directory
from mailcore.store.db import retry
from mailcore.store.mailbox import insert
from mailcore.store.maildir import maildir_files
from mailcore.values import Arrival, NewMessage, TemporaryFault

__all__ = ["DirectDelivery", "deliver_directly", "publish", "record_history"]


@dataclass(frozen=True, slots=True)
class DirectDelivery:
    """A message that lies in its mailbox, since `at_us`; its file at `path`, hidden until it is `reveal`ed."""

    message: NewMessage
    at_us: int
    path: str

    @property
    def log_lines(self) -> tuple[str, ...]:
        """What a courier would have logged."""
        [recipient] = self.message.recipients
        times = (self.message.received_us, self.at_us, self.at_us)
        return (
            log_line(self.message.queue_id, recipient.address, recipient.given, DELIVERED, times),
            f"{self.message.queue_id}: removed",
        )

    @property
    def has_history(self) -> bool:
        """Have its rows in the queue been written already?"""
        return bool(self.message.client.login)


def deliver_directly(group: Sequence[tuple[ContentFile, NewMessage]]) -> dict[int, DirectDelivery]:
    """Deliver what can be delivered at once. Returns those messages by their ids, for `reveal` and `remember`; the
    others are as they were, files and all. TemporaryFault: nobody knows whether they were delivered."""
    messages, contents = [], []
    for file, message in group:
        if file.in_memory and (account := _direct_recipient(message)):
            content = file.octets()
            messages.append(message)
            contents.append((_build_arrival(message, content, account), content))
    if not messages:
        return {}
    try:
        staged = insert.write_tmp_files(contents)
    except OSError:
        return {}
    entered = False
    try:
        with transaction.atomic():
            results = insert.insert_messages(staged, warn=quota_warning.send_warnings)
            now = now_us()
            done = [
                DirectDelivery(message, now, item.path)
                for message, item, result in zip(messages, staged, results, strict=True)
                if isinstance(item, insert.StagedMessage) and isinstance(result, insert.StoredMessage)
            ]
            _insert_history(each for each in done if each.has_history)
            entered = True
    except (DatabaseError, OSError, TemporaryFault) as error:
        if entered and connection.vendor != "sqlite":
            # A COMMIT whose answer was lost may have happened: then these files are the messages' own.
            raise TemporaryFault("the database did not say whether the messages were entered") from error
        insert.discard_staged(staged)
        return {}
    return {each.message.id: each for each in done}


def publish(delivered: Iterable[DirectDelivery]) -> list[DirectDelivery]:
    """Their files take their places, for other programs to see; who reads the mailbox finds one in `tmp` as well.
    Returns those for which the disk refused that: the caller tries again."""
    refused: list[DirectDelivery] = []
    for each in delivered:
        try:
            maildir_files.publish_file(each.path)
        except OSError as error:
            writer.write("qmgr", f"{each.message.queue_id}: warning: delivered message is not published yet: {error}")
            refused.append(each)
    return refused


def record_history(delivered: Iterable[DirectDelivery]) -> None:
    """The queue knows these messages' story from here on."""
    settled = [each for each in delivered if not each.has_history]
    if not settled:
        return
    try:
        retry.run_in_transaction(lambda: _insert_history(settled))
    except DatabaseError as error:
        if len(settled) > 1 and isinstance(error, IntegrityError):
            for each in settled:  # one queue id that is taken does not keep the others out
                record_history([each])
            return
        ids = " ".join(each.message.queue_id for each in settled)
        writer.write(
            "qmgr", f"warning: delivered messages are not in the queue's history: {type(error).__name__}: {ids}"
        )


def _insert_history(delivered: Iterable[DirectDelivery]) -> None:
    enqueue.insert_completed([(each.message, each.at_us) for each in delivered], DELIVERED)


def _direct_recipient(message: NewMessage) -> directory.AccountEntry | None:
    """Whose INBOX this message is for, now, and nobody waits to hear of it; None where that is not certain."""
    if not message.final or len(message.recipients) != 1 or message.hold or message.due_us:
        return None
    if "SUCCESS" in message.recipients[0].notify or not conf.current().direct_delivery:
        return None
    account = directory.find_account(message.final)
    if account is None or not account.can_receive or account.filtered or account.held or not account.inbox_id:
        return None
    return account


def _build_arrival(message: NewMessage, content: bytes, account: directory.AccountEntry) -> Arrival:
    """The message as it goes into its mailbox. One that is gone in the meantime is found out by `enter`, or has no
    directory."""
    return Arrival(
        account_id=account.id,
        base_name=f"{message.received_us // MICRO}.Q{message.queue_id}.{maildir_host()}",
        file=insert.NO_FILE,
        skip=message.trace_size,
        trace=content[: message.trace_size],
        link=True,
        internal_at=message.received_us // MICRO,
        place=(account.inbox_id, maildir_files.folder_directory(account.address, "")),
    )
