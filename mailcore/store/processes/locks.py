"""Locks between processes, as files in the data folder: held as long as the process lives that took them."""

import contextlib
import fcntl
import os
from collections.abc import Iterator

from django.conf import settings

from mailcore.logs import writer


@contextlib.contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock of this name; waits for it. Where the file system knows no locks, nobody is kept out."""
    handle = os.open(settings.DATA_DIR / f"{name}.lock", os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            writer.write("master", f"warning: {name}: no lock: {error}")
        yield
    finally:
        os.close(handle)
