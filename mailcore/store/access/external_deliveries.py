"""Files that another program put into a mailbox's `new`, entered while somebody looks: mail delivered by procmail, an
rsync from elsewhere.

Called when a mailbox is selected, at NOOP, and now and then for who idles. What it costs when nothing came is one stat:
the directory's time says whether to look further. Names our own deliveries give are passed over; their rows come by
another way.
"""

import os
import time
from collections.abc import Sequence
from threading import Lock

from mailcore.models import Message
from mailcore.store.access import reindex
from mailcore.store.access.reindex import FolderReport, UnindexedFile
from mailcore.store.mailbox.open_mailbox import MailboxHandle
from mailcore.values import Owner

_SETTLED_NS = 1_000_000_000  # a directory that changed so lately may change again within the same tick of its clock
_LIMIT = 100_000
_MAX_NAME = 200  # of Message.base_name
_BATCH = 500

_looked: dict[int, int] = {}  # mailbox id → the time of its `new` when nothing in it was left to enter
_lock = Lock()


def has_new_files(box: MailboxHandle) -> bool:
    """Is there a reason to `enter`? A stat."""
    return _looked.get(box.id) != _changed_at(box)


def _changed_at(box: MailboxHandle) -> int:
    try:
        return os.stat(f"{box.directory}/new").st_mtime_ns
    except FileNotFoundError:  # renamed or deleted meanwhile
        return 0


def index_new_files(box: MailboxHandle) -> int:
    """Enter what lies in `new` without a row; how many. Quotas do not stand in the way: the mail is here already."""
    changed_at = _changed_at(box)
    names = _foreign_names(box.directory)
    there: set[str] = set()
    for at in range(0, len(names), _BATCH):
        rows = Message.objects.filter(mailbox_id=box.id, base_name__in=names[at : at + _BATCH])
        there.update(rows.values_list("base_name", flat=True))
    found = [UnindexedFile(f"{box.directory}/new/{name}", name, 0, (), 0) for name in names if name not in there]
    entered = 0
    if found:
        folder = FolderReport(box.name, box.directory, box.id, found)
        entered = sum(reindex.index_files(Owner(box.account_id, ""), folder))
    if time.time_ns() - changed_at > _SETTLED_NS:
        with _lock:
            if len(_looked) >= _LIMIT:
                _looked.clear()
            _looked[box.id] = changed_at
    return entered


def _foreign_names(directory: str) -> Sequence[str]:
    """Of files that are not ours, in the order their names give."""
    try:
        names = os.listdir(f"{directory}/new")
    except FileNotFoundError:
        return ()
    return sorted(
        name
        for name in names
        if not name.startswith(".") and ":2," not in name and len(name) <= _MAX_NAME and not reindex.is_ours(name)
    )


def clear_cache() -> None:
    """Look again everywhere (for tests: other folders)."""
    with _lock:
        _looked.clear()
