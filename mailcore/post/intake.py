"""Taking letters in: from here on we owe their delivery.

`take_in` is called by the SMTP and LMTP servers, the sendmail command and the bounce maker. It returns
when the letters survive a power failure: the content files are durable (their writer synced them), one
transaction for all of them follows here. Only then may anybody say 250.

Syncing a new file makes its name durable as well on ext4, XFS, btrfs and f2fs; like Postfix we rely on
that and spare the queue directory a sync of its own.
"""

from collections.abc import Sequence
from dataclasses import replace

from django.db import DatabaseError, IntegrityError

from mailcore.models import Queued, Recipient
from mailcore.post import files, sending, subjects
from mailcore.store import news, retry
from mailcore.store.prepared import insert
from mailcore.terms import Client, Letter, LetterRecipient, Outcome, TemporaryFault
from mailcore.wire import trace
from mailcore.wire.scan import subject_of

__all__ = ["take_in", "take_in_file", "write_and_take_in"]


def take_in(letters: Sequence[Letter]) -> None:
    """Enter letters whose content files are finished; all of them, or none and TemporaryFault. The files
    of letters that did not get in are their writer's to discard."""
    if not letters:
        return
    try:
        retry.in_transaction(lambda: enter(letters))
    except (DatabaseError, OSError) as error:
        raise TemporaryFault("queue file write error") from error


_ATTEMPTS = 5  # queue ids tried where rows have them


def take_in_file(file: files.ContentFile, letter: Letter) -> Letter:
    """Enter a letter whose content file is finished; returns it as it was entered: under another queue id where a
    row has its own. TemporaryFault: it was not, and its file is the caller's to discard."""
    for attempt in range(1, _ATTEMPTS + 1):
        letter = replace(letter, id=file.id, checksum=file.checksum)
        try:
            take_in([letter])
            break
        except TemporaryFault as fault:
            if attempt == _ATTEMPTS or not _is_taken(fault, letter.id):
                raise
            try:
                file.rename()
            except (DatabaseError, OSError) as error:
                raise TemporaryFault("queue file write error") from error
    return letter


def _is_taken(fault: TemporaryFault, letter_id: int) -> bool:
    """Was a letter not entered because another one has its queue id?"""
    return isinstance(fault.__cause__, IntegrityError) and Queued.objects.filter(id=letter_id).exists()


def enter(letters: Sequence[Letter]) -> None:
    """The rows of letters, inside the caller's transaction; couriers hear of them on commit."""
    _insert([(letter, None) for letter in letters], _WAITING)
    news.ring_couriers()


def enter_settled(letters: Sequence[tuple[Letter, int]], outcome: Outcome) -> None:
    """The rows of letters whose recipients have all been served, at that time (µs), inside the caller's transaction."""
    _insert(letters, (outcome.kind, outcome.dsn, outcome.relay, outcome.text))


_WAITING = ("waiting", "", "", "")


def _insert(letters: Sequence[tuple[Letter, int | None]], recipients: tuple[str, ...]) -> None:
    insert(Queued, _QUEUED, [_queued(letter, settled_us) for letter, settled_us in letters])
    insert(
        Recipient,
        _RECIPIENT,
        [
            (letter.id, r.address, r.given, r.notify, r.orcpt, *recipients, settled_us, False, False, False)
            for letter, settled_us in letters
            for r in _once(letter.recipients)
        ],
    )
    sending.check(letter for letter, _ in letters)


_QUEUED = (
    *("id", "state", "due_us", "lease_us", "courier", "received_us", "sender", "size", "trace_size", "message_id"),
    *("client_name", "client_address", "helo", "protocol", "login", "envelope_id", "return_full", "eight_bit"),
    *("smtputf8", "subject_mark", "settled_us", "checksum"),
)
_RECIPIENT = (
    *("queued_id", "address", "original", "notify", "orcpt", "state", "dsn", "relay", "reason", "settled_us"),
    *("final", "notified", "delay_notified"),
)


def _queued(letter: Letter, settled_us: int | None) -> tuple[object, ...]:
    client = letter.client
    state = "done" if settled_us else "hold" if letter.hold else "incoming"
    return (
        letter.id,
        state,
        letter.due_us or letter.received_us,
        0,
        "",
        letter.received_us,
        letter.sender,
        letter.size,
        letter.trace_size,
        letter.message_id,
        client.name,
        client.address,
        client.helo[:255],
        client.protocol,
        client.login,
        letter.envelope_id,
        letter.return_full,
        letter.eight_bit,
        letter.smtputf8,
        subjects.mark(letter.subject),
        settled_us,
        letter.checksum,
    )


def _once(recipients: Sequence[LetterRecipient]) -> list[LetterRecipient]:
    """An address given twice is served once; the first mention counts."""
    return list({(r.address, r.given): r for r in reversed(recipients)}.values())[::-1]


def write_and_take_in(
    content: bytes, sender: str, recipients: Sequence[LetterRecipient], client: Client, received_us: int, **more: object
) -> Letter:
    """One letter of our own making (a bounce, a notice, `sendmail`'s input), from octets to the queue."""
    file = files.ContentFile()
    file.open()
    file.write(content)
    file.finish()
    more.setdefault("subject", subject_of(trace.header_of(content)))
    letter = Letter(file.id, sender, tuple(recipients), len(content), received_us, client, **more)  # type: ignore[arg-type]
    try:
        return take_in_file(file, letter)
    except TemporaryFault:
        file.discard()
        raise


def sweep() -> int:
    """Remove content files that never became letters; returns how many. The file of a letter that is done may be the
    only copy of a message after a power failure: `leftovers.recover` puts that back."""
    stray = list(files.unclaimed())
    known: set[int] = set()
    for start in range(0, len(stray), _AT_ONCE):
        known.update(Queued.objects.filter(id__in=stray[start : start + _AT_ONCE]).values_list("id", flat=True))
    for letter_id in set(stray) - known:
        files.remove(letter_id)
    return len(set(stray) - known)


_AT_ONCE = 500  # letters of one statement
