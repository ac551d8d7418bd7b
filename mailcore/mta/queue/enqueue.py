"""Insertion of messages into the queue: from then on this host is responsible for their delivery.

`enqueue` is called by the SMTP and LMTP servers, the sendmail command and the notices. When it returns, the messages
survive a power failure: the content files are durable (their writers synced them), and one transaction has inserted all
rows. Only then may a server reply 250.

On ext4, XFS, btrfs and f2fs, syncing a new file makes its name durable as well; like Postfix we rely on that and do not
sync the queue directory.
"""

from collections.abc import Sequence
from dataclasses import replace

from django.db import DatabaseError, IntegrityError

from mailcore.models import Queued, Recipient
from mailcore.mta.queue import content_files, sending_limits, subject_hash
from mailcore.store.db import retry
from mailcore.store.db.compiled_queries import insert_rows
from mailcore.store.notify import notifications
from mailcore.values import Client, MessageRecipient, NewMessage, Outcome, TemporaryFault
from mailcore.wire.message import trace_headers
from mailcore.wire.message.message_scan import subject_key_of

__all__ = ["enqueue", "enqueue_file", "write_and_enqueue"]


def enqueue(messages: Sequence[NewMessage]) -> None:
    """Insert messages whose content files are finished: all of them, or raise TemporaryFault.

    The files of messages that were not inserted are their writers' to discard.
    """
    if not messages:
        return
    try:
        retry.run_in_transaction(lambda: insert_messages(messages))
    except (DatabaseError, OSError) as error:
        raise TemporaryFault("queue file write error") from error


_ATTEMPTS = 5  # Queue ids tried if rows have them.


def enqueue_file(file: content_files.ContentFile, message: NewMessage) -> NewMessage:
    """Enqueue a message whose content file is finished, and return it with the queue id it got.

    The id differs if a row had it already. Raise TemporaryFault if the message was not inserted; its file is the
    caller's to discard.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        message = replace(message, id=file.id, checksum=file.checksum)
        try:
            enqueue([message])
            break
        except TemporaryFault as fault:
            if attempt == _ATTEMPTS or not _is_duplicate_id(fault, message.id):
                raise
            try:
                file.rename()
            except (DatabaseError, OSError) as error:
                raise TemporaryFault("queue file write error") from error
    return message


def _is_duplicate_id(fault: TemporaryFault, queued_id: int) -> bool:
    """Return True if a message was not inserted because another one has its queue id."""
    return isinstance(fault.__cause__, IntegrityError) and Queued.objects.filter(id=queued_id).exists()


def insert_messages(messages: Sequence[NewMessage]) -> None:
    """Insert the rows of messages inside the caller's transaction; couriers are notified on commit."""
    _insert_rows([(message, None) for message in messages], _WAITING)
    notifications.notify_couriers()


def insert_completed(messages: Sequence[tuple[NewMessage, int]], outcome: Outcome) -> None:
    """Insert rows of messages that are done, with their times (µs), inside the caller's transaction."""
    _insert_rows(messages, (outcome.kind, outcome.dsn, outcome.relay, outcome.text))


_WAITING = ("waiting", "", "", "")


def _insert_rows(messages: Sequence[tuple[NewMessage, int | None]], recipients: tuple[str, ...]) -> None:
    insert_rows(Queued, _QUEUED_COLUMNS, [_queue_row(message, settled_us) for message, settled_us in messages])
    insert_rows(
        Recipient,
        _RECIPIENT_COLUMNS,
        [
            (message.id, r.address, r.given, r.notify, r.orcpt, *recipients, settled_us, False, False, False)
            for message, settled_us in messages
            for r in _unique_recipients(message.recipients)
        ],
    )
    sending_limits.check_limits(message for message, _ in messages)


_QUEUED_COLUMNS = (
    *("id", "state", "due_us", "lease_us", "courier", "received_us", "sender", "size", "trace_size", "message_id"),
    *("client_name", "client_address", "helo", "protocol", "login", "envelope_id", "return_full", "eight_bit"),
    *("smtputf8", "subject_mark", "settled_us", "checksum"),
)
_RECIPIENT_COLUMNS = (
    *("queued_id", "address", "original", "notify", "orcpt", "state", "dsn", "relay", "reason", "settled_us"),
    *("final", "notified", "delay_notified"),
)


def _queue_row(message: NewMessage, settled_us: int | None) -> tuple[object, ...]:
    client = message.client
    state = "done" if settled_us else "hold" if message.hold else "incoming"
    return (
        message.id,
        state,
        message.due_us or message.received_us,
        0,
        "",
        message.received_us,
        message.sender,
        message.size,
        message.trace_size,
        message.message_id,
        client.name,
        client.address,
        client.helo[:255],
        client.protocol,
        client.login,
        message.envelope_id,
        message.return_full,
        message.eight_bit,
        message.smtputf8,
        subject_hash.hash_subject(message.subject),
        settled_us,
        message.checksum,
    )


def _unique_recipients(recipients: Sequence[MessageRecipient]) -> list[MessageRecipient]:
    """Return the recipients without duplicates; the first of equal ones is used."""
    return list({(r.address, r.given): r for r in reversed(recipients)}.values())[::-1]


def write_and_enqueue(
    content: bytes,
    sender: str,
    recipients: Sequence[MessageRecipient],
    client: Client,
    received_us: int,
    **more: object,
) -> NewMessage:
    """Write the content of one message of our own (a notice, sendmail's input) to a file and enqueue it."""
    file = content_files.ContentFile()
    file.open()
    file.write(content)
    file.finish()
    more.setdefault("subject", subject_key_of(trace_headers.split_off_header(content)))
    message = NewMessage(file.id, sender, tuple(recipients), len(content), received_us, client, **more)  # type: ignore[arg-type]
    try:
        return enqueue_file(file, message)
    except TemporaryFault:
        file.discard()
        raise


def remove_orphaned_files() -> int:
    """Remove content files that never became messages; return how many.

    The file of a completed message may be the only copy after a power failure: `recover_after_crash` restores it.
    """
    orphans = list(content_files.orphaned_ids())
    existing: set[int] = set()
    for start in range(0, len(orphans), _BATCH):
        existing.update(Queued.objects.filter(id__in=orphans[start : start + _BATCH]).values_list("id", flat=True))
    for queued_id in set(orphans) - existing:
        content_files.remove_content(queued_id)
    return len(set(orphans) - existing)


_BATCH = 500  # Messages per statement.
