"""APPEND (RFC 9051 §6.3.12), MULTIAPPEND and REPLACE: messages a client uploads are stored all together or not at all.

Called by the IMAP server through the executor. Small content is in memory, large content in a spool file; it is durable
before the transaction, or stored by it (`write_behind`).
"""

import contextlib
import dataclasses
import mmap
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import time, time_ns

from django.conf import settings
from django.db import transaction

from mailcore.store.db import message_table
from mailcore.store.mailbox import expunge, insert
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.store.mailbox.copy_move import OVER_QUOTA, lock_both
from mailcore.store.mailbox.expunge import ExpungeResult
from mailcore.store.mailbox.insert import StagedMessage, StoredMessage
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.store.maildir import maildir_files, write_behind
from mailcore.values import Arrival, Refusal, Reply
from mailcore.wire.imap.syntax import acl_syntax
from mailcore.wire.message.binary_to_base64 import to_base64
from mailcore.wire.message.message_scan import scan_message


@dataclass(frozen=True, slots=True)
class Upload:
    """One message: `content` is its bytes, or the path of a file from `open_spool_file`, which is then removed."""

    content: bytes | str
    flags: int
    keywords: tuple[str, ...]
    internal_at: int | None  # seconds; None means now
    binary: bool = False  # sent as literal8: parts that are binary are rewritten as base64


@dataclass(frozen=True, slots=True)
class AppendResult:
    """The UIDs of appended messages, in order."""

    uid_validity: int
    uids: list[int]


_NO_FILE = Path()
# The files of a batch are flushed in parallel, since a disk flushes many at once in the time of one.
_writers = ThreadPoolExecutor(8, thread_name_prefix="append")


def open_spool_file() -> tuple[int, str]:
    """Create a file for a large upload on the mail's file system; return (descriptor, path)."""
    directory = os.path.join(settings.MAIL_ROOT, ".uploads")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, f"{time_ns()}.{secrets.token_hex(6)}")
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), path


def discard_uploads(uploads: Sequence[Upload]) -> None:
    """Remove spooled files that will not be appended."""
    for upload in uploads:
        if isinstance(upload.content, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(upload.content)


def append_messages(mailbox: MailboxHandle, uploads: Sequence[Upload]) -> AppendResult | Refusal:
    """Append all messages, or return a refusal and append none."""
    return _append_all(mailbox, uploads, lambda: None)


@dataclass(frozen=True, slots=True)
class ReplaceResult:
    """The appended message, and the replaced one; the caller has yet to remove its file."""

    target: AppendResult
    source: ExpungeResult


def replace_message(source: MailboxHandle, uid: int, mailbox: MailboxHandle, upload: Upload) -> ReplaceResult | Refusal:
    """Replace a message by another, perhaps in another mailbox (RFC 8508): both steps or neither."""
    removed: list[ExpungeResult] = []

    def remove_source() -> Refusal | None:
        lock_both(source.id, mailbox.id)
        rows = message_table.select_messages(source.id, expunge.COLUMNS, [(uid, uid)])
        if not rows:
            return Refusal("EXPUNGEISSUED", "Message no longer exists")
        removed.append(expunge.remove_rows(source, rows, expunge.lock_mailbox(source.id)))
        return None

    outcome = _append_all(mailbox, [upload], remove_source)
    return outcome if isinstance(outcome, Refusal) else ReplaceResult(outcome, removed[0])


def _append_all(
    mailbox: MailboxHandle, uploads: Sequence[Upload], before: Callable[[], Refusal | None]
) -> AppendResult | Refusal:
    """Write the files, then call `before` and insert the rows in one transaction."""
    uploads = [_permitted_flags(mailbox, upload) for upload in uploads]
    staged: list[StagedMessage] = []
    committed = False
    try:
        stage = _writers.map if len(uploads) > 1 else map
        attempts = list(stage(lambda upload: _try_stage(mailbox, upload), uploads))
        staged += [each for each in attempts if isinstance(each, StagedMessage)]
        for each in attempts:
            if isinstance(each, OSError):
                raise each
        maildir_files.sync_directories({os.path.dirname(each.path) for each in staged if each.carried is None})
        with transaction.atomic():
            if (refusal := before()) is not None:
                return refusal
            results = insert.insert_messages(staged)
            stored = [each for each in results if isinstance(each, StoredMessage)]
            if len(stored) < len(staged):
                transaction.set_rollback(True)
                is_full = any(isinstance(each, Reply) and each.enhanced.endswith(".2.2") for each in results)
                return OVER_QUOTA if is_full else NO_SUCH_MAILBOX
        committed = True
    finally:
        if not committed:
            for each in staged:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
    return AppendResult(stored[0].uid_validity, [each.uid for each in stored])


def _permitted_flags(mailbox: MailboxHandle, upload: Upload) -> Upload:
    """Clear the flags that the client has no right to set there (RFC 4314 §4)."""
    if mailbox.rights == acl_syntax.ALL:
        return upload
    keywords = upload.keywords if mailbox.has_rights("w") else ()
    return dataclasses.replace(upload, flags=upload.flags & acl_syntax.flags_mask(mailbox.rights), keywords=keywords)


def _try_stage(mailbox: MailboxHandle, upload: Upload) -> StagedMessage | OSError:
    """Stage an upload and return an error instead of raising it, so that the other files can be removed."""
    try:
        return _stage_upload(mailbox, upload)
    except OSError as error:
        return error


def _stage_upload(mailbox: MailboxHandle, upload: Upload) -> StagedMessage:
    now = time_ns()
    name = f"{now // 1_000_000_000}.M{now % 1_000_000_000 // 1000}P{os.getpid()}R{secrets.token_hex(6)}"
    arrival = Arrival(
        account_id=mailbox.account_id,
        base_name=name,
        file=_NO_FILE,
        skip=0,
        trace=b"",
        link=False,
        internal_at=int(time()) if upload.internal_at is None else upload.internal_at,
        mailbox=mailbox.name,
        flags=upload.flags,
        keywords=upload.keywords,
    )
    path = maildir_files.expected_path(mailbox.directory, name, upload.flags)
    content = _convert_binary(upload) if upload.binary else upload.content
    if isinstance(content, bytes):
        carried = content if write_behind.fits_inline(len(content), mailbox.directory) else None
        _write_file(mailbox.directory, name, path, content, durable=carried is None)
        digest = insert.email_id(content)
        return StagedMessage(
            arrival, mailbox.id, path, len(content), scan_message(content), digest, is_new=True, carried=carried
        )
    with open(content, "rb") as file:
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        if size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                scan, digest = scan_message(mapped), insert.email_id(mapped)
        else:
            scan, digest = scan_message(b""), insert.email_id(b"")
    os.rename(content, path)
    return StagedMessage(arrival, mailbox.id, path, size, scan, digest)


def _write_file(directory: str, base_name: str, path: str, content: bytes, *, durable: bool) -> None:
    """Write a new file, durable with its name if `durable`.

    It is renamed before the flush, so that the file system's journal covers both at once and flushing the directory
    costs nothing extra.
    """
    temporary = os.path.join(directory, "tmp", base_name)
    handle = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(handle, view) :]
        os.rename(temporary, path)
        if durable:
            os.fsync(handle)
    except OSError:
        for name in (temporary, path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
        raise
    finally:
        os.close(handle)


def _convert_binary(upload: Upload) -> bytes:
    if isinstance(upload.content, bytes):
        return to_base64(upload.content)
    with open(upload.content, "rb") as file:
        return to_base64(file.read())
