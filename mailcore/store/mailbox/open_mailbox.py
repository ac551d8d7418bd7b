"""A mailbox found by its name, and opened: what commands work on and sessions start from.

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
    """A mailbox as a client works on it.

    `directory` holds its tmp, new and cur. `account_id` and `name` are its owner's; `prefix` precedes the name for
    another user, who has `rights` on it (RFC 4314).
    """

    id: int
    account_id: int
    name: str
    directory: str
    uid_validity: int
    rights: str = acl_syntax.ALL
    prefix: str = ""

    @property
    def display_name(self) -> str:
        """Return the mailbox's name as the client sees it."""
        return self.prefix + self.name

    def has_rights(self, needed: str) -> bool:
        return set(needed) <= set(self.rights)


@dataclass(frozen=True, slots=True)
class OpenedMailbox:
    """The data that SELECT returns and a session keeps."""

    box: MailboxHandle
    uids: "array[int]"  # ascending
    uid_next: int
    highest_modseq: int
    recent_from: int  # UIDs from here on are recent in this session
    first_unseen: int  # UID, 0 if all are seen
    keywords: str  # all that were ever used in the mailbox
    size: int


_mailbox_query = CompiledQuery(
    lambda account_id, name: Mailbox.objects.filter(account_id=account_id, name=name).values_list(
        "id", "folder", "uid_validity", "selectable", "uid_next", "highest_modseq", "recent_uid", "unseen", "keywords",
        "size", "messages",
    ),
    int,
    str,
)  # fmt: skip


def find_mailbox(client: Owner, name: str, needed: str = "r") -> MailboxHandle | Refusal:
    """Return the selectable mailbox of that name, on which the client needs these rights."""
    access = resolve_name(client, name, needed)
    if isinstance(access, Refusal):
        return access
    row = _mailbox_query.row(access.owner.account_id, access.name)
    return _build_mailbox(access, row) if row is not None and row[3] else NO_SUCH_MAILBOX


def _build_mailbox(access: MailboxAccess, row: tuple[Any, ...]) -> MailboxHandle:
    directory = maildir_files.folder_directory(access.owner.address, row[1])
    return MailboxHandle(row[0], access.owner.account_id, access.name, directory, row[2], access.rights, access.prefix)


def open_mailbox(client: Owner, name: str, read_only: bool) -> OpenedMailbox | Refusal:
    """SELECT or EXAMINE a mailbox.

    SELECT claims the recent messages: no other session gets them as recent. Only the mailbox's owner sees recent
    messages.
    """
    access = resolve_name(client, name, "r")
    if isinstance(access, Refusal):
        return access
    row = _mailbox_query.row(access.owner.account_id, access.name)
    if row is None or not row[3]:
        return NO_SUCH_MAILBOX
    id_, _, _, _, uid_next, modseq, recent_uid, unseen, keywords, size, _ = row
    if not read_only and not access.prefix and recent_uid < uid_next:
        recent_uid = claim_recent(id_, uid_next)
    uids, first_unseen = _read_uids(id_, uid_next, unseen)
    return OpenedMailbox(_build_mailbox(access, row), uids, uid_next, modseq, recent_uid, first_unseen, keywords, size)


def _read_uids(mailbox_id: int, uid_next: int, unseen: int) -> "tuple[array[int], int]":
    """Return the UIDs below `uid_next`, and the first unseen one, or 0."""
    cached = flag_cache.cached_flags(mailbox_id)
    if cached is not None:
        first_unseen = cached.first_unseen() if unseen else 0
        return cached.uids[: bisect_left(cached.uids, uid_next)], first_unseen if first_unseen < uid_next else 0
    rows = message_table.fetch_rows(
        f"SELECT uid, flags FROM {message_table.MESSAGE} WHERE mailbox_id = %s AND uid < %s ORDER BY uid",
        (mailbox_id, uid_next),
    )
    first_unseen = next((uid for uid, flags in rows if not flags & wire_flags.SEEN), 0)
    return array("I", [uid for uid, _ in rows]), first_unseen


def claim_recent(mailbox_id: int, uid_next: int) -> int:
    """Mark the messages below `uid_next` as recent for this session only (RFC 3501 §2.3.2).

    Return the first UID that no other session got as recent, or `uid_next` if there is none.
    """
    with transaction.atomic():
        row = message_table.locked_mailbox(mailbox_id, "recent_uid")
        if row is None or row[0] >= uid_next:
            return uid_next
        message_table.execute(
            f"UPDATE {message_table.MAILBOX} SET recent_uid = %s WHERE id = %s", (uid_next, mailbox_id)
        )
        first: int = row[0]
        return first
