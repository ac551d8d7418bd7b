"""Direct delivery: put messages for one local mailbox there before their clients get a reply, without a courier.

Most messages have one recipient whose mailbox was certain at RCPT. Such a message needs no courier: its content is
written to the Maildir's `tmp` and made durable there; one transaction inserts the message into the mailbox; then the
client gets its reply and the file is renamed to `new`. If the process dies before the commit, only an unseen file in
`tmp` is left, and the client never received 250. A reader that comes before `publish`, or after the process died, finds
the file in `tmp` (`store.maildir.locate`).

The queue has rows for these messages only as history. They are inserted as already done by `record_history` after the
client has its reply, many at once (`servers.smtp.committer`). A process killed at that moment loses this part of the
history (the log has it), but never a message. Messages of authenticated users are counted by their rows
(`sending_limits`), so their own transaction inserts these.

Messages that need more (several recipients, lists, other hosts, filters, a notice of success, a later release), and all
that fail here, go to the queue: `deliver_directly` returns the delivered messages and leaves the others untouched.
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
    """A message inserted into its mailbox at `at_us`; its file is at `path`, in `tmp` until it is published."""

    message: NewMessage
    at_us: int
    path: str

    @property
    def log_lines(self) -> tuple[str, ...]:
        """The lines a courier would have logged."""
        [recipient] = self.message.recipients
        times = (self.message.received_us, self.at_us, self.at_us)
        return (
            log_line(self.message.queue_id, recipient.address, recipient.given, DELIVERED, times),
            f"{self.message.queue_id}: removed",
        )

    @property
    def has_history(self) -> bool:
        """True if its queue rows were inserted in its own transaction."""
        return bool(self.message.client.login)


def deliver_directly(group: Sequence[tuple[ContentFile, NewMessage]]) -> dict[int, DirectDelivery]:
    """Deliver the messages that need no courier, and return them by id, for `publish` and `record_history`.

    The other messages and their files are unchanged. Raise TemporaryFault if the outcome of the commit is unknown.
    """
    messages, contents = [], []
    for file, message in group:
        if file.in_memory and (account := _direct_recipient(message)):
            content = file.buffered()
            messages.append(message)
            contents.append((_build_arrival(message, content, account), content))
    if not messages:
        return {}
    try:
        staged = insert.write_tmp_files(contents)
    except OSError:
        return {}
    inserted = False
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
            inserted = True
    except (DatabaseError, OSError, TemporaryFault) as error:
        if inserted and connection.vendor != "sqlite":
            # A COMMIT whose reply was lost may have succeeded: then these files belong to the messages.
            raise TemporaryFault("the outcome of the commit is unknown") from error
        insert.discard_staged(staged)
        return {}
    return {each.message.id: each for each in done}


def publish(delivered: Iterable[DirectDelivery]) -> list[DirectDelivery]:
    """Rename the files to `new`, where other programs see them, and return those for which that failed.

    Until then readers of the mailbox find a file in `tmp` as well. The caller tries the returned ones again.
    """
    refused: list[DirectDelivery] = []
    for each in delivered:
        try:
            maildir_files.publish_file(each.path)
        except OSError as error:
            writer.write(
                "qmgr", f"{each.message.queue_id}: warning: cannot publish delivered message; will retry: {error}"
            )
            refused.append(each)
    return refused


def record_history(delivered: Iterable[DirectDelivery]) -> None:
    """Insert the queue rows of delivered messages that have none yet, as history."""
    unrecorded = [each for each in delivered if not each.has_history]
    if not unrecorded:
        return
    try:
        retry.run_in_transaction(lambda: _insert_history(unrecorded))
    except DatabaseError as error:
        if len(unrecorded) > 1 and isinstance(error, IntegrityError):
            for each in unrecorded:  # One duplicate queue id must not keep the others out.
                record_history([each])
            return
        ids = " ".join(each.message.queue_id for each in unrecorded)
        writer.write("qmgr", f"warning: cannot record delivery history for {ids}: {type(error).__name__}")


def _insert_history(delivered: Iterable[DirectDelivery]) -> None:
    enqueue.insert_completed([(each.message, each.at_us) for each in delivered], DELIVERED)


def _direct_recipient(message: NewMessage) -> directory.AccountEntry | None:
    """Return the account whose INBOX alone the message is for; None if a courier must deliver it."""
    if not message.final or len(message.recipients) != 1 or message.hold or message.due_us:
        return None
    if "SUCCESS" in message.recipients[0].notify or not conf.current().direct_delivery:
        return None
    account = directory.find_account(message.final)
    if account is None or not account.can_receive or account.filtered or account.held or not account.inbox_id:
        return None
    return account


def _build_arrival(message: NewMessage, content: bytes, account: directory.AccountEntry) -> Arrival:
    """Return the message as it is inserted into its mailbox.

    `insert_messages` detects an account deleted meanwhile, or its directory is missing.
    """
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
