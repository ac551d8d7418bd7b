"""The mailboxes of an account: create, list, rename, delete, subscribe (RFC 9051 §6.3, RFC 6154).

Called by the IMAP server through the executor, one function a command with one transaction each, and by everything that
creates accounts. Names are decoded, with "/" between levels; refusals are values.
"""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import time
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q, QuerySet

from mailcore.models import (
    AccessRight,
    Account,
    Annotation,
    Expunged,
    Mailbox,
    Message,
    MessageSummary,
    MessageText,
    Subscription,
)
from mailcore.store.db import message_table
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.mailbox import access_rights, copy_move, expunge
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.store.mailbox.open_mailbox import MailboxHandle, find_mailbox
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap import system_flags as wire_flags

SPECIAL_USES = ("\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash")
_SPECIAL = (
    ("Drafts", "\\Drafts"),
    ("Sent", "\\Sent"),
    ("Trash", "\\Trash"),
    ("Junk", "\\Junk"),
    ("Archive", "\\Archive"),
)

_EXISTS = Refusal("ALREADYEXISTS", "Mailbox already exists")


@dataclass(frozen=True, slots=True)
class ListedMailbox:
    """One name LIST may show.

    `exists` is False for a name that is only subscribed to; `id` is 0 where there is no mailbox, or a level only.
    """

    id: int
    name: str
    special_use: str
    selectable: bool
    subscribed: bool
    exists: bool = True


@dataclass(frozen=True, slots=True)
class MailboxStatus:
    """STATUS of one mailbox (RFC 9051 §6.3.11); sizes are bytes."""

    name: str
    messages: int
    uid_next: int
    uid_validity: int
    unseen: int
    recent: int
    size: int
    highest_modseq: int
    deleted: int
    deleted_size: int
    mailbox_id: int


# --- Creating, renaming, deleting -----------------------------------------------------------------


def create_special_mailboxes(account_id: int) -> None:
    """Create INBOX and the special mailboxes of a new account, with subscriptions; call inside a transaction."""
    account = Account.objects.get(pk=account_id)
    initial = [("INBOX", ""), *_SPECIAL]
    existing = set(Mailbox.objects.filter(account=account).values_list("name", flat=True))
    for name, special_use in initial:
        if name not in existing:
            _insert_mailbox(account, name, special_use)
    Subscription.objects.bulk_create(
        [Subscription(account=account, name=name) for name, _ in initial], ignore_conflicts=True
    )


def _insert_mailbox(
    account: Account, name: str, special_use: str = "", new_folders: list[str] | None = None
) -> Mailbox:
    """Insert a mailbox and create its directories; new folders are appended to `new_folders`."""
    folder = mailbox_names.maildir_folder(name)
    if maildir_files.create_folder(account.address, folder) and new_folders is not None:
        new_folders.append(folder)
    return Mailbox.objects.create(
        account=account, name=name, folder=folder, special_use=special_use, uid_validity=_next_uid_validity(account.pk)
    )


def _next_uid_validity(account_id: int) -> int:
    """Return a number that no mailbox of this account had before, mostly the time; lock the account's row."""
    last = Account.objects.select_for_update().values_list("last_uid_validity", flat=True).get(pk=account_id)
    value = max(int(time()), last + 1)
    Account.objects.filter(pk=account_id).update(last_uid_validity=value)
    return value


def create_mailbox(client: Owner, name: str, special_use: str = "") -> MailboxHandle | Refusal:
    """CREATE a mailbox, and its superior names where they are missing.

    A trailing separator only announces names below (RFC 9051 §6.3.4).
    """
    place = access_rights.resolve_new_name(client, name.removesuffix(mailbox_names.SEPARATOR))
    if isinstance(place, Refusal):
        return place
    if special_use and place.prefix:  # Else the owner's programs would file sent or unwanted mail there.
        return Refusal("USEATTR", "Only the owner of a mailbox gives it a special use")
    owner, name = place.owner, place.name
    if name == "INBOX":
        return _EXISTS
    if (name_error := mailbox_names.find_name_error(name)) is not None:
        return Refusal("CANNOT", name_error)
    levels = name.split(mailbox_names.SEPARATOR)
    paths = [mailbox_names.SEPARATOR.join(levels[: depth + 1]) for depth in range(len(levels))]
    new_folders: list[str] = []
    try:
        with _undo_on_error(owner.address, new_folders), transaction.atomic():
            account = Account.objects.select_for_update().get(pk=owner.account_id)
            existing = {mailbox.name: mailbox for mailbox in Mailbox.objects.filter(account=account, name__in=paths)}
            if name in existing and existing[name].selectable:
                return _EXISTS
            if special_use and Mailbox.objects.filter(account=account, special_use=special_use).exists():
                return Refusal("USEATTR", "Another mailbox has that use")
            for path in paths[:-1]:
                if path not in existing and path != "INBOX":
                    _insert_mailbox(account, path, new_folders=new_folders)
            if name in existing:
                mailbox = existing[name]
                mailbox.selectable, mailbox.special_use = True, special_use
                mailbox.uid_validity = _next_uid_validity(account.pk)
                mailbox.uid_next = mailbox.highest_modseq = mailbox.recent_uid = 1
                mailbox.save()
                if maildir_files.create_folder(account.address, mailbox.folder):
                    new_folders.append(mailbox.folder)
            else:
                mailbox = _insert_mailbox(account, name, special_use, new_folders)
                above = Mailbox.objects.filter(
                    account=account, name=name.rpartition(mailbox_names.SEPARATOR)[0]
                ).first()
                if above is not None:
                    access_rights.inherit_acl(above.pk, mailbox.pk)
            notifications.publish_mailboxes([-account.pk])
    except IntegrityError:
        return _EXISTS
    directory = maildir_files.folder_directory(owner.address, mailbox.folder)
    return MailboxHandle(
        mailbox.pk, owner.account_id, name, directory, mailbox.uid_validity, place.rights, place.prefix
    )


@contextlib.contextmanager
def _undo_on_error(address: str, new_folders: list[str]) -> Iterator[None]:
    """Remove the folders in `new_folders` again if the transaction of their rows fails."""
    try:
        yield
    except BaseException:
        for folder in reversed(new_folders):
            maildir_files.unmake(address, folder)
        raise


def delete_mailbox(client: Owner, name: str) -> Refusal | None:
    """DELETE a mailbox; one with inferior names loses its messages and stays as a name (RFC 3501 §6.3.4)."""
    place = access_rights.resolve_name(client, name, "x")
    if isinstance(place, Refusal):
        return place
    owner, name = place.owner, place.name
    if name == "INBOX":
        return Refusal("CANNOT", "INBOX cannot be deleted")
    moved: list[tuple[str, str]] = []
    try:
        with transaction.atomic():
            return _delete_rows(owner, name, moved)
    except BaseException:
        _move_back(moved)
        raise


def _delete_rows(owner: Owner, name: str, moved: list[tuple[str, str]]) -> Refusal | None:
    """Delete a mailbox's rows; a directory that was moved away is appended to `moved` as (before, after)."""
    mailbox = Mailbox.objects.select_for_update().filter(account_id=owner.account_id, name=name).first()
    if mailbox is None:
        return NO_SUCH_MAILBOX
    below = _has_inferiors(owner, name)
    if below and not mailbox.selectable:
        return Refusal("HASCHILDREN", "Mailbox has inferior mailboxes")
    _delete_messages(mailbox)
    if below:
        Mailbox.objects.filter(pk=mailbox.pk).update(
            selectable=False, special_use="", messages=0, unseen=0, size=0, keywords=""
        )
    else:
        Mailbox.objects.filter(pk=mailbox.pk)._raw_delete("default")
    directory = maildir_files.folder_directory(owner.address, mailbox.folder)
    # Before the commit: after it another client may create a mailbox of this name.
    if mailbox.selectable and (removed := maildir_files.put_away(directory)):
        moved.append((directory, removed))
        transaction.on_commit(lambda: shutil.rmtree(removed, ignore_errors=True))
    notifications.publish_mailboxes([mailbox.pk, -owner.account_id])
    return None


def _has_inferiors(owner: Owner, name: str) -> bool:
    return any(each.name != name for each in _tree(Mailbox.objects.filter(account_id=owner.account_id), name))


def _tree(rows: QuerySet[Mailbox], name: str) -> list[Mailbox]:
    """Return those of `rows` with this name or one below it.

    Databases compare less exactly: for SQLite "WORK/2026" begins with "Work/".
    """
    below = name + mailbox_names.SEPARATOR
    found = rows.filter(Q(name=name) | Q(name__startswith=below))
    return [mailbox for mailbox in found if mailbox.name == name or mailbox.name.startswith(below)]


def _move_back(moved: list[tuple[str, str]]) -> None:
    for before, after in reversed(moved):
        os.rename(after, before)


def _delete_messages(mailbox: Mailbox) -> None:
    """Delete all rows of a mailbox, dependent tables first, each table in one statement."""
    for rows in (
        MessageText.objects.filter(message__mailbox=mailbox),
        MessageSummary.objects.filter(message__mailbox=mailbox),
        Message.objects.filter(mailbox=mailbox),
        Expunged.objects.filter(mailbox=mailbox),
        Annotation.objects.filter(mailbox=mailbox),
        AccessRight.objects.filter(mailbox=mailbox),
    ):
        rows._raw_delete(rows.db)
    Account.objects.filter(pk=mailbox.account_id).update(
        used_bytes=F("used_bytes") - mailbox.size, used_messages=F("used_messages") - mailbox.messages
    )


def rename_mailbox(client: Owner, old: str, new: str) -> Refusal | None:
    """RENAME a mailbox with everything below it, within its owner's mailboxes.

    INBOX's messages move to the new mailbox, and INBOX stays (RFC 9051 §6.3.6).
    """
    place, below = (
        access_rights.resolve_name(client, old, "x"),
        access_rights.resolve_new_name(client, new.removesuffix(mailbox_names.SEPARATOR)),
    )
    if isinstance(place, Refusal):
        return place
    if isinstance(below, Refusal):
        return below
    if place.owner.account_id != below.owner.account_id:
        return Refusal("CANNOT", "A mailbox cannot be moved to another user")
    owner, old, new = place.owner, place.name, below.name
    if (name_error := mailbox_names.find_name_error(new)) is not None:
        return Refusal("CANNOT", name_error)
    if new == "INBOX" or new == old:
        return _EXISTS
    if (new + mailbox_names.SEPARATOR).startswith(old + mailbox_names.SEPARATOR) and old != "INBOX":
        return Refusal("CANNOT", "A mailbox cannot be moved below itself")
    if old == "INBOX":
        # Its messages move to a mailbox with other rights: the client must be allowed to move each of them.
        return _rename_inbox(owner, new) if set("rte") <= set(place.rights) else access_rights.DENIED
    moved: list[tuple[str, str]] = []
    new_folders: list[str] = []
    try:
        with _undo_on_error(owner.address, new_folders), transaction.atomic():
            return _rename_rows(owner, old, new, moved, new_folders)
    except BaseException as error:
        _move_back(moved)
        if isinstance(error, IntegrityError):
            return _EXISTS
        raise


def _rename_rows(
    owner: Owner, old: str, new: str, moved: list[tuple[str, str]], new_folders: list[str]
) -> Refusal | None:
    r"""Rename rows, then directories.

    Each directory that moved is appended to `moved` as (before, after), new folders to `new_folders`. A \Noselect name
    has no directory, those below it have (RFC 3501 §6.3.5).
    """
    rows = Mailbox.objects.select_for_update().filter(account_id=owner.account_id).order_by("id")
    boxes = _tree(rows, old)
    if not any(mailbox.name == old for mailbox in boxes):
        return NO_SUCH_MAILBOX
    if _tree(rows, new):
        return _EXISTS
    renamed = [(mailbox, new + mailbox.name[len(old) :]) for mailbox in boxes]
    if any(mailbox_names.find_name_error(name) for _, name in renamed):
        return Refusal("CANNOT", "The name of an inferior mailbox would become too long")
    new_directories = {
        mailbox.pk: maildir_files.folder_directory(owner.address, mailbox_names.maildir_folder(name))
        for mailbox, name in renamed
        if mailbox.selectable
    }
    if any(os.path.lexists(path) for path in new_directories.values()):
        return Refusal("CANNOT", "A directory of that name exists already")
    _create_superiors(owner, new, new_folders)
    for mailbox, name in renamed:
        Mailbox.objects.filter(pk=mailbox.pk).update(name=name, folder=mailbox_names.maildir_folder(name))
    for mailbox, name in renamed:
        if not mailbox.selectable:
            continue
        before, after = maildir_files.folder_directory(owner.address, mailbox.folder), new_directories[mailbox.pk]
        try:
            os.rename(before, after)
            moved.append((before, after))
        except FileNotFoundError:  # another program removed the directory: its messages are lost, the mailbox is not
            if maildir_files.create_folder(owner.address, mailbox_names.maildir_folder(name)):
                new_folders.append(mailbox_names.maildir_folder(name))
    maildir_files.sync_directories({os.path.dirname(after) for _, after in moved})
    notifications.publish_mailboxes([-owner.account_id, *[mailbox.pk for mailbox in boxes]])
    return None


def _create_superiors(owner: Owner, name: str, new_folders: list[str]) -> None:
    levels = name.split(mailbox_names.SEPARATOR)[:-1]
    account = Account.objects.get(pk=owner.account_id)
    for depth in range(len(levels)):
        path = mailbox_names.SEPARATOR.join(levels[: depth + 1])
        if path != "INBOX" and not Mailbox.objects.filter(account=account, name=path).exists():
            _insert_mailbox(account, path, new_folders=new_folders)


def _rename_inbox(owner: Owner, new: str) -> Refusal | None:
    new_folders = create_mailbox(owner, new)
    if isinstance(new_folders, Refusal):
        return new_folders
    refusal: Refusal | None = NO_SUCH_MAILBOX
    try:
        refusal = _move_inbox(owner, new_folders)
    finally:
        if refusal is not None:  # nothing moved: leave no empty mailbox behind
            delete_mailbox(owner, new)
    return refusal


def _move_inbox(owner: Owner, target: MailboxHandle) -> Refusal | None:
    inbox = find_mailbox(owner, "INBOX")
    if isinstance(inbox, Refusal):
        return inbox
    moved = copy_move.move_messages(inbox, [(1, (1 << 32) - 1)], target)
    if isinstance(moved, Refusal):
        return moved
    expunge.remove_files(inbox.directory, moved.files)
    return None


# --- Listing --------------------------------------------------------------------------------------

_subscriptions_query = CompiledQuery(
    lambda account_id: Subscription.objects.filter(account_id=account_id).values_list("name"), int
)
_own_mailboxes_query = CompiledQuery(
    lambda account_id: Mailbox.objects.filter(account_id=account_id).values_list(
        "id", "name", "special_use", "selectable"
    ),
    int,
)


def list_mailboxes(owner: Owner) -> list[ListedMailbox]:
    """Return every name the account may see, sorted: its own mailboxes, shared ones, and mere subscriptions."""
    subscribed = {name for (name,) in _subscriptions_query.rows(owner.account_id)}
    results = [
        ListedMailbox(id_, name, special_use, bool(selectable), name in subscribed)
        for id_, name, special_use, selectable in _own_mailboxes_query.rows(owner.account_id)
    ]
    results += _list_shared(owner, subscribed)
    existing = {listed.name for listed in results}
    results += [ListedMailbox(0, name, "", False, True, exists=False) for name in subscribed - existing]
    return sorted(results, key=lambda listed: listed.name)


def _list_shared(owner: Owner, subscribed: set[str]) -> list[ListedMailbox]:
    """Return other users' mailboxes, and the levels above them, which cannot be selected."""
    shared = access_rights.list_shared(owner)
    existing = {each.name for each in shared}
    levels = {
        each.name[:position]
        for each in shared
        for position, character in enumerate(each.name)
        if character == mailbox_names.SEPARATOR
    }
    results = [ListedMailbox(each.id, each.name, "", each.selectable, each.name in subscribed) for each in shared]
    return results + [ListedMailbox(0, level, "", False, level in subscribed) for level in levels - existing]


def subscribe_name(owner: Owner, name: str) -> Refusal | None:
    """Subscribe to a name, which need not exist but must be a possible mailbox name."""
    name = name.removesuffix(mailbox_names.SEPARATOR)
    place = access_rights.resolve_name(owner, name, "l")
    if isinstance(place, Refusal):
        return place
    if (name_error := mailbox_names.find_name_error(place.name)) is not None:
        return Refusal("CANNOT", name_error)
    if len(name) > mailbox_names.MAX_NAME:  # with the owner's address in front
        return Refusal("CANNOT", "Mailbox name is too long")
    with transaction.atomic():
        Subscription.objects.bulk_create([Subscription(account_id=owner.account_id, name=name)], ignore_conflicts=True)
        notifications.publish_mailboxes([-owner.account_id])
    return None


def unsubscribe_name(owner: Owner, name: str) -> Refusal | None:
    """Remove the subscription to a name."""
    name = name.removesuffix(mailbox_names.SEPARATOR)
    with transaction.atomic():
        if not Subscription.objects.filter(account_id=owner.account_id, name=name).delete()[0]:
            return Refusal("NONEXISTENT", "Not subscribed")
        notifications.publish_mailboxes([-owner.account_id])
    return None


def mailbox_status(owner: Owner, mailboxes: Sequence[str], with_deleted: bool = False) -> dict[str, MailboxStatus]:
    """Return STATUS of those of the named mailboxes that exist and may be read."""
    own = [name for name in mailboxes if not mailbox_names.is_other_users(name)]
    results = _statuses(_own_status_query.rows(owner.account_id, own), with_deleted) if own else {}
    for name in mailboxes:
        if mailbox_names.is_other_users(name) and isinstance(
            place := access_rights.resolve_name(owner, name, "r"), access_rights.MailboxAccess
        ):
            for each in _statuses(_single_status_query.rows(place.id), with_deleted).values():
                results[name] = replace(each, name=name)
    return results


_STATUS = ("id", "name", "messages", "uid_next", "uid_validity", "unseen", "recent_uid", "size", "highest_modseq")
_own_status_query = CompiledQuery(
    lambda account_id, names: Mailbox.objects.filter(
        account_id=account_id, name__in=names, selectable=True
    ).values_list(*_STATUS),
    int,
    (str,),
)
_single_status_query = CompiledQuery(
    lambda id_: Mailbox.objects.filter(id=id_, selectable=True).values_list(*_STATUS), int
)


def _statuses(rows: Iterable[tuple[Any, ...]], with_deleted: bool) -> dict[str, MailboxStatus]:
    results: dict[str, MailboxStatus] = {}
    for id_, name, messages, uid_next, uid_validity, unseen, recent_uid, size, modseq in rows:
        deleted, deleted_size = _count_deleted(id_) if with_deleted else (0, 0)
        recent = 0
        if recent_uid < uid_next and messages:
            recent = Message.objects.filter(mailbox_id=id_, uid__gte=recent_uid).aggregate(n=Count("id"))["n"]
        results[name] = MailboxStatus(
            name, messages, uid_next, uid_validity, unseen, recent, size, modseq, deleted, deleted_size, id_
        )
    return results


def _count_deleted(mailbox_id: int) -> tuple[int, int]:
    row = message_table.fetch_rows(
        f"SELECT COUNT(*), COALESCE(SUM(size), 0) FROM {message_table.MESSAGE}"
        " WHERE mailbox_id = %s AND flags & %s <> 0",
        (mailbox_id, wire_flags.DELETED),
    )[0]
    return int(row[0]), int(row[1])
