"""APPEND (RFC 9051 §6.3.12) and its kin: messages a client uploads go in all together or not at all.

Called by the IMAP server through the executor. Content is in memory if it is small, in a file of ours if
it is large; it is durable before the transaction, or carried by it (`unsynced`).
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
    """One message: `content` its bytes, or the path of a file made by `spool` that becomes ours."""

    content: bytes | str
    flags: int
    keywords: tuple[str, ...]
    internal_at: int | None  # seconds; None: now
    binary: bool = False  # sent as literal8: parts that are binary are written as base64


@dataclass(frozen=True, slots=True)
class AppendResult:
    uid_validity: int
    uids: list[int]


_NOTHING = Path()
# A batch of files is made durable side by side, for the disk takes many at once in the time of one.
_writers = ThreadPoolExecutor(8, thread_name_prefix="append")


def open_spool_file() -> tuple[int, str]:
    """A new file for a large upload, as (descriptor, path), on the file system the mail is on."""
    directory = os.path.join(settings.MAIL_ROOT, ".uploads")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, f"{time_ns()}.{secrets.token_hex(6)}")
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), path


def discard_uploads(uploads: Sequence[Upload]) -> None:
    """Spooled files nobody will append."""
    for upload in uploads:
        if isinstance(upload.content, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(upload.content)


def append_messages(box: MailboxHandle, uploads: Sequence[Upload]) -> AppendResult | Refusal:
    """All of them, or a refusal and none."""
    return _append_all(box, uploads, lambda: None)


@dataclass(frozen=True, slots=True)
class ReplaceResult:
    """`source` is what is gone, its files still to be removed."""

    target: AppendResult
    source: ExpungeResult


def replace_message(source: MailboxHandle, uid: int, box: MailboxHandle, upload: Upload) -> ReplaceResult | Refusal:
    """One message goes, another comes in its place, perhaps elsewhere (RFC 8508): both or neither."""
    gone: list[ExpungeResult] = []

    def make_room() -> Refusal | None:
        lock_both(source.id, box.id)
        rows = message_table.select_messages(source.id, expunge.COLUMNS, [(uid, uid)])
        if not rows:
            return Refusal("EXPUNGEISSUED", "Message is gone")
        gone.append(expunge.remove_rows(source, rows, expunge.lock_mailbox(source.id)))
        return None

    done = _append_all(box, [upload], make_room)
    return done if isinstance(done, Refusal) else ReplaceResult(done, gone[0])


def _append_all(
    box: MailboxHandle, uploads: Sequence[Upload], before: Callable[[], Refusal | None]
) -> AppendResult | Refusal:
    """Files, then in one transaction what is to be done `before` and the rows."""
    uploads = [_permitted_flags(box, upload) for upload in uploads]
    staged: list[StagedMessage] = []
    kept = False
    try:
        stage = _writers.map if len(uploads) > 1 else map
        tried = list(stage(lambda upload: _try_stage(box, upload), uploads))
        staged += [each for each in tried if isinstance(each, StagedMessage)]
        for each in tried:
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
        kept = True
    finally:
        if not kept:
            for each in staged:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(each.path)
    return AppendResult(stored[0].uid_validity, [each.uid for each in stored])


def _permitted_flags(box: MailboxHandle, upload: Upload) -> Upload:
    """Without the flags that whoever brings it may not set there (RFC 4314 §4)."""
    if box.rights == acl_syntax.ALL:
        return upload
    keywords = upload.keywords if box.has_rights("w") else ()
    return dataclasses.replace(upload, flags=upload.flags & acl_syntax.flags_mask(box.rights), keywords=keywords)


def _try_stage(box: MailboxHandle, upload: Upload) -> StagedMessage | OSError:
    """One that fails leaves nothing; those beside it are to be known, so that they can be removed."""
    try:
        return _stage_upload(box, upload)
    except OSError as error:
        return error


def _stage_upload(box: MailboxHandle, upload: Upload) -> StagedMessage:
    now = time_ns()
    name = f"{now // 1_000_000_000}.M{now % 1_000_000_000 // 1000}P{os.getpid()}R{secrets.token_hex(6)}"
    arrival = Arrival(
        account_id=box.account_id,
        base_name=name,
        file=_NOTHING,
        skip=0,
        trace=b"",
        link=False,
        internal_at=int(time()) if upload.internal_at is None else upload.internal_at,
        mailbox=box.name,
        flags=upload.flags,
        keywords=upload.keywords,
    )
    path = maildir_files.expected_path(box.directory, name, upload.flags)
    content = _convert_binary(upload) if upload.binary else upload.content
    if isinstance(content, bytes):
        carried = content if write_behind.fits_inline(len(content), box.directory) else None
        _write_file(box.directory, name, path, content, durable=carried is None)
        digest = insert.email_id(content)
        return StagedMessage(
            arrival, box.id, path, len(content), scan_message(content), digest, fresh=True, carried=carried
        )
    with open(content, "rb") as file:
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
        if size:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                seen, digest = scan_message(mapped), insert.email_id(mapped)
        else:
            seen, digest = scan_message(b""), insert.email_id(b"")
    os.rename(content, path)
    return StagedMessage(arrival, box.id, path, size, seen, digest)


def _write_file(directory: str, base_name: str, path: str, content: bytes, *, durable: bool) -> None:
    """A new file, `durable` with its name if asked for. It is renamed before it is made so, that a journal takes both
    at once and making the directory durable costs nothing more."""
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
