"""One mailbox found by its name, and opened: what a command works on and what a session starts from.

Called by the IMAP server (SELECT, and every command that names a mailbox) and by the rest of `store`.
"""

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from mailcore.models import Mailbox
from mailcore.store.db import message_table
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.mailbox import flag_cache
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX, MailboxAccess, resolve_name
from mailcore.store.maildir import maildir_files
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.syntax import acl_syntax


@dataclass(frozen=True, slots=True)
class MailboxHandle:
    """A mailbox somebody works on. `directory` holds its tmp, new and cur. `account_id` and `name` are its owner's;
    `prefix` stands before the name for somebody else, who has `rights` on it (RFC 4314)."""

    id: int
    account_id: int
    name: str
    directory: str
    uid_validity: int
    rights: str = acl_syntax.ALL
    prefix: str = ""

    @property
    def display_name(self) -> str:
        """Its name for who works on it."""
        return self.prefix + self.name

    def has_rights(self, needed: str) -> bool:
        return set(needed) <= set(self.rights)


@dataclass(frozen=True, slots=True)
class OpenedMailbox:
    """What SELECT tells of a mailbox, and what a session keeps of it."""

    box: MailboxHandle
    uids: "array[int]"  # rising
    uid_next: int
    highest_modseq: int
    recent_from: int  # UIDs from here on are recent to this session
    first_unseen: int  # UID, 0 if all are seen
    keywords: str  # ever used here
    size: int


_find = CompiledQuery(
    lambda account_id, name: Mailbox.objects.filter(account_id=account_id, name=name).values_list(
        "id", "folder", "uid_validity", "selectable", "uid_next", "highest_modseq", "recent_uid", "unseen", "keywords",
        "size", "messages",
    ),
    int,
    str,
)  # fmt: skip


def find_mailbox(client: Owner, name: str, needed: str = "r") -> MailboxHandle | Refusal:
    """The mailbox of that name that messages can be in; who asks needs these rights on it."""
    found = resolve_name(client, name, needed)
    if isinstance(found, Refusal):
        return found
    row = _find.row(found.owner.account_id, found.name)
    return _build_mailbox(found, row) if row is not None and row[3] else NO_SUCH_MAILBOX


def _build_mailbox(found: MailboxAccess, row: tuple[Any, ...]) -> MailboxHandle:
    directory = maildir_files.folder_directory(found.owner.address, row[1])
    return MailboxHandle(row[0], found.owner.account_id, found.name, directory, row[2], found.rights, found.prefix)


def open_mailbox(client: Owner, name: str, read_only: bool) -> OpenedMailbox | Refusal:
    """SELECT or EXAMINE. SELECT takes the recent messages: no other session is told of them as recent. What is
    recent is for the mailbox's owner to see."""
    found = resolve_name(client, name, "r")
    if isinstance(found, Refusal):
        return found
    row = _find.row(found.owner.account_id, found.name)
    if row is None or not row[3]:
        return NO_SUCH_MAILBOX
    id_, _, _, _, uid_next, modseq, recent_uid, unseen, keywords, size, _ = row
    if not read_only and not found.prefix and recent_uid < uid_next:
        recent_uid = claim_recent(id_, uid_next)
    uids, first_unseen = _read_uids(id_, uid_next, unseen)
    return OpenedMailbox(_build_mailbox(found, row), uids, uid_next, modseq, recent_uid, first_unseen, keywords, size)


def _read_uids(mailbox_id: int, uid_next: int, unseen: int) -> "tuple[array[int], int]":
    """The UIDs below `uid_next`, and the first of them that is unseen, if any is."""
    known = flag_cache.cached_flags(mailbox_id)
    if known is not None:
        first_unseen = known.first_unseen() if unseen else 0
        return known.uids[: bisect_left(known.uids, uid_next)], first_unseen if first_unseen < uid_next else 0
    rows = message_table.fetch_rows(
        f"SELECT uid, flags FROM {message_table.MESSAGE} WHERE mailbox_id = %s AND uid < %s ORDER BY uid",
        (mailbox_id, uid_next),
    )
    first_unseen = next((uid for uid, flags in rows if not flags & wire_flags.SEEN), 0)
    return array("I", [uid for uid, _ in rows]), first_unseen


def claim_recent(mailbox_id: int, uid_next: int) -> int:
    """The first UID below `uid_next` that no session was told of as recent (RFC 3501 §2.3.2); from now on the
    caller was. `uid_next` if there is none."""
    with transaction.atomic():
        row = message_table.locked_mailbox(mailbox_id, "recent_uid")
        if row is None or row[0] >= uid_next:
            return uid_next
        message_table.execute(
            f"UPDATE {message_table.MAILBOX} SET recent_uid = %s WHERE id = %s", (uid_next, mailbox_id)
        )
        first: int = row[0]
        return first
