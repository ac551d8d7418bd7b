"""Delivery to an mbox file named by an alias (aliases(5), local(8)).

Off unless allow_mail_to_files allows it. The message is appended below a "From " line, under the locks of
mailbox_delivery_lock, and is synced to the disk before the outcome is recorded; a partial write is truncated. If the
courier dies in between, the message is appended again: an mbox file offers no way to detect the duplicate.
"""

import contextlib
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate

from mailcore import conf
from mailcore.mta.queue import content_files
from mailcore.mta.queue.claim import Claim
from mailcore.values import Outcome, deferred_outcome, delivered_outcome, failed_outcome
from mailcore.wire.message import trace_headers

_FROM_LINE = re.compile(rb"^(?=From )", re.MULTILINE)


class _FileLocked(Exception):
    """Another process has locked the file."""


def format_message(claim: Claim, original: str) -> bytes:
    """Return the message for commands and files: "From " line and trace headers first, lines ending in LF."""
    with open(content_files.content_path(claim.id), "rb") as file:
        file.seek(claim.trace_size)
        content = file.read()
    from_line = f"From {claim.sender or 'MAILER-DAEMON'}  {formatdate(time.time(), localtime=True)}\n".encode()
    return from_line + (trace_headers.format_delivery_headers(claim.sender, original, original) + content).replace(
        b"\r\n", b"\n"
    )


def append_message(path: str, claim: Claim, original: str) -> Outcome:
    """Append the message to the file at `path`, creating it if it is missing. Waits for locks."""
    from_line, _, content = format_message(claim, original).partition(b"\n")
    entry = from_line + b"\n" + _FROM_LINE.sub(b">", content)
    entry += b"\n" if entry.endswith(b"\n") else b"\n\n"
    try:
        with _open_locked(path) as file:
            if file is None:
                return failed_outcome("5.2.0", f"destination {path} is not a regular file", "local")
            _append_entry(file, entry)
    except _FileLocked:
        return deferred_outcome("4.2.0", f"unable to lock for exclusive access: {path}", "local")
    except OSError as error:
        return deferred_outcome("4.2.0", f"cannot append message to file {path}: {error.strerror}", "local")
    return delivered_outcome(f"delivered to file: {path}", "local")


def _append_entry(file: int, entry: bytes) -> None:
    size = os.fstat(file).st_size
    try:
        view = memoryview(entry)
        while view:
            view = view[os.write(file, view) :]
        if stat.S_ISREG(os.fstat(file).st_mode):
            os.fsync(file)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(file, size)
        raise


@contextlib.contextmanager
def _open_locked(path: str) -> Iterator[int | None]:
    """Open and lock the file; yield None if it is not a regular file. Raise _FileLocked or OSError.

    /dev/null is allowed and needs no lock.
    """
    locks = conf.current().mailbox_delivery_lock
    special = path == os.devnull
    with contextlib.ExitStack() as stack:
        if "dotlock" in locks and not special:
            stack.enter_context(_dotlock(f"{path}.lock"))
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o600)
        stack.callback(os.close, file)
        if special:
            yield file
        elif not stat.S_ISREG(os.fstat(file).st_mode):
            yield None
        else:
            if "fcntl" in locks:
                _retry(lambda: fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB), BlockingIOError)
            if "flock" in locks:
                _retry(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB), BlockingIOError)
            yield file


@contextlib.contextmanager
def _dotlock(path: str) -> Iterator[None]:
    def acquire() -> None:
        with contextlib.suppress(FileNotFoundError):
            if time.time() - os.stat(path).st_mtime > conf.current().stale_lock_time:
                os.unlink(path)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o444))

    _retry(acquire, FileExistsError)
    try:
        yield
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _retry(acquire: Callable[[], None], busy: type[OSError]) -> None:
    parameters = conf.current()
    for attempt in range(max(1, parameters.deliver_lock_attempts)):
        if attempt:
            time.sleep(parameters.deliver_lock_delay)
        with contextlib.suppress(busy):
            acquire()
            return
    raise _FileLocked
