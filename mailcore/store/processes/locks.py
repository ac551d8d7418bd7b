"""Locks between processes: files in the data folder, locked until the holder releases the lock or ends."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from django.conf import settings

from mailcore.logs import writer


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Wait for the lock of this name and hold it during the block.

    On a file system without locks the block runs unlocked, with a warning in the log.
    """
    handle = os.open(settings.DATA_DIR / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            writer.write("master", f"warning: cannot lock {name}: {error}")
        yield
    finally:
        os.close(handle)
