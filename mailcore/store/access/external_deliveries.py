"""Files that another program put into a mailbox's `new`, indexed while a client looks: procmail's deliveries, an rsync.

Called when a mailbox is selected, at NOOP, and at intervals for clients in IDLE. Without new files the cost is one
stat: the directory's time of change decides whether to look further. Names of this system's own deliveries are skipped;
those insert their rows themselves.
"""

import os
import time
from collections.abc import Sequence
from threading import Lock

from mailcore.conf import caches
from mailcore.models import Message
from mailcore.store.access import reindex
from mailcore.store.access.reindex import FolderReport, UnindexedFile
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.values import Owner

_CLOCK_GRANULARITY_NS = (
    1_000_000_000  # a directory that changed this recently may change again within the same clock tick
)
_LIMIT = 100_000
_MAX_NAME = 200  # length of Message.base_name
_BATCH = 500

_checked_at: dict[int, int] = {}  # mailbox id → the time of its `new` when every file in it was indexed
_lock = Lock()


def has_new_files(mailbox: MailboxHandle) -> bool:
    """Return True if `new` has changed since `index_new_files` last found nothing left; costs one stat."""
    return _checked_at.get(mailbox.id) != _changed_at(mailbox)


def _changed_at(mailbox: MailboxHandle) -> int:
    try:
        return os.stat(f"{mailbox.directory}/new").st_mtime_ns
    except FileNotFoundError:  # renamed or deleted meanwhile
        return 0


def index_new_files(mailbox: MailboxHandle) -> int:
    """Index files in `new` that have no row, and return their number.

    Quotas do not apply, since the mail is stored already.
    """
    changed_at = _changed_at(mailbox)
    names = _foreign_names(mailbox.directory)
    indexed: set[str] = set()
    for start in range(0, len(names), _BATCH):
        rows = Message.objects.filter(mailbox_id=mailbox.id, base_name__in=names[start : start + _BATCH])
        indexed.update(rows.values_list("base_name", flat=True))
    unindexed = [
        UnindexedFile(f"{mailbox.directory}/new/{name}", name, 0, (), 0) for name in names if name not in indexed
    ]
    count = 0
    if unindexed:
        folder = FolderReport(mailbox.name, mailbox.directory, mailbox.id, unindexed)
        count = sum(reindex.index_files(Owner(mailbox.account_id, ""), folder))
    if time.time_ns() - changed_at > _CLOCK_GRANULARITY_NS:
        with _lock:
            if len(_checked_at) >= _LIMIT:
                _checked_at.clear()
            _checked_at[mailbox.id] = changed_at
    return count


def _foreign_names(directory: str) -> Sequence[str]:
    """Return names of files that this system did not deliver, in the order of their names."""
    try:
        names = os.listdir(f"{directory}/new")
    except FileNotFoundError:
        return ()
    return sorted(
        name
        for name in names
        if not name.startswith(".") and ":2," not in name and len(name) <= _MAX_NAME and not reindex.is_own_name(name)
    )


def _clear_cache() -> None:
    with _lock:
        _checked_at.clear()


caches.register(caches.Source.FOLDERS, _clear_cache)
