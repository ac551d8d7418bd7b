"""One mailbox found by its name, and opened: what a command works on and what a session starts from.

Called by the IMAP server (SELECT, and every command that names a mailbox) and by the rest of `store`.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from mailcore.models import Mailbox
from mailcore.store import flaglists, index, maildir
from mailcore.store.access import NO_SUCH, Place, place
from mailcore.store.prepared import Prepared
from mailcore.terms import Owner, Refusal
from mailcore.wire import flags as wire_flags
from mailcore.wire.imap import acl


@dataclass(frozen=True, slots=True)
class Box:
    """A mailbox somebody works on. `directory` holds its tmp, new and cur. `account_id` and `name` are its owner's;
    `prefix` stands before the name for somebody else, who has `rights` on it (RFC 4314)."""

    id: int
    account_id: int
    name: str
    directory: str
    uid_validity: int
    rights: str = acl.ALL
    prefix: str = ""

    @property
    def shown(self) -> str:
        """Its name for who works on it."""
        return self.prefix + self.name

    def allows(self, needed: str) -> bool:
        return set(needed) <= set(self.rights)


@dataclass(frozen=True, slots=True)
class Opened:
    """What SELECT tells of a mailbox, and what a session keeps of it."""

    box: Box
    uids: "array[int]"  # rising
    uid_next: int
    highest_modseq: int
    recent_from: int  # UIDs from here on are recent to this session
    first_unseen: int  # UID, 0 if all are seen
    keywords: str  # ever used here
    size: int


_find = Prepared(
    lambda account_id, name: Mailbox.objects.filter(account_id=account_id, name=name).values_list(
        "id", "folder", "uid_validity", "selectable", "uid_next", "highest_modseq", "recent_uid", "unseen", "keywords",
        "size", "messages",
    ),
    int,
    str,
)  # fmt: skip


def find(client: Owner, name: str, needed: str = "r") -> Box | Refusal:
    """The mailbox of that name that messages can be in; who asks needs these rights on it."""
    found = place(client, name, needed)
    if isinstance(found, Refusal):
        return found
    row = _find.row(found.owner.account_id, found.name)
    return _box(found, row) if row is not None and row[3] else NO_SUCH


def _box(found: Place, row: tuple[Any, ...]) -> Box:
    directory = maildir.directory(found.owner.address, row[1])
    return Box(row[0], found.owner.account_id, found.name, directory, row[2], found.rights, found.prefix)


def open_mailbox(client: Owner, name: str, read_only: bool) -> Opened | Refusal:
    """SELECT or EXAMINE. SELECT takes the recent messages: no other session is told of them as recent. What is
    recent is for the mailbox's owner to see."""
    found = place(client, name, "r")
    if isinstance(found, Refusal):
        return found
    row = _find.row(found.owner.account_id, found.name)
    if row is None or not row[3]:
        return NO_SUCH
    id_, _, _, _, uid_next, modseq, recent_uid, unseen, keywords, size, _ = row
    if not read_only and not found.prefix and recent_uid < uid_next:
        recent_uid = take_recent(id_, uid_next)
    uids, first_unseen = _messages(id_, uid_next, unseen)
    return Opened(_box(found, row), uids, uid_next, modseq, recent_uid, first_unseen, keywords, size)


def _messages(mailbox_id: int, uid_next: int, unseen: int) -> "tuple[array[int], int]":
    """The UIDs below `uid_next`, and the first of them that is unseen, if any is."""
    known = flaglists.of(mailbox_id)
    if known is not None:
        first_unseen = known.first_unseen() if unseen else 0
        return known.uids[: bisect_left(known.uids, uid_next)], first_unseen if first_unseen < uid_next else 0
    rows = index.query(
        f"SELECT uid, flags FROM {index.MESSAGE} WHERE mailbox_id = %s AND uid < %s ORDER BY uid",
        (mailbox_id, uid_next),
    )
    first_unseen = next((uid for uid, flags in rows if not flags & wire_flags.SEEN), 0)
    return array("I", [uid for uid, _ in rows]), first_unseen


def take_recent(mailbox_id: int, uid_next: int) -> int:
    """The first UID below `uid_next` that no session was told of as recent (RFC 3501 §2.3.2); from now on the
    caller was. `uid_next` if there is none."""
    with transaction.atomic():
        row = index.locked(mailbox_id, "recent_uid")
        if row is None or row[0] >= uid_next:
            return uid_next
        index.change(f"UPDATE {index.MAILBOX} SET recent_uid = %s WHERE id = %s", (uid_next, mailbox_id))
        first: int = row[0]
        return first
