"""Comparison of the index with the Maildirs, and indexing of message files that have no row.

Called by `mailindex`: to find inconsistencies, to take over Maildirs that another server filled, and to rebuild the
index. Flags come from file names; where Dovecot managed the Maildir, its UIDs, UIDVALIDITY, keywords and subscriptions
are preserved. Files stay in place; a row without a file is reported and left alone. A file that a delivery has just
written is left to that delivery.

A message that was expunged while its file could not be removed is a file without a row too, and reappears: a message
too many is the smaller harm.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.db import transaction

from mailcore.models import Account, Mailbox, Message, Subscription
from mailcore.store.mailbox import insert, mailboxes
from mailcore.store.mailbox.insert import StagedMessage
from mailcore.store.maildir import maildir_files
from mailcore.values import Arrival, Owner, Refusal
from mailcore.wire.files import dovecot_files
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap import system_flags as wire_flags

_BATCH = 100  # messages inserted in one transaction
# Names that this system's own deliveries and uploads give; a recent file of that form may get its row any moment.
_OWN_NAME = re.compile(r"\d+\.(?:Q[0-9A-F]+(?:R[0-9A-F]+)?\.|M\d+P\d+R[0-9a-f]{12}$)")
_RECENT = 300  # seconds


@dataclass(frozen=True, slots=True)
class UnindexedFile:
    """A message file without a row."""

    path: str
    base_name: str
    flags: int
    keywords: tuple[str, ...]
    uid: int  # Dovecot's UID, or 0


@dataclass(slots=True)
class FolderReport:
    """Differences between one Maildir++ folder and the index; `mailbox_id` is 0 if there is no mailbox for it yet."""

    name: str
    directory: str
    mailbox_id: int
    found: list[UnindexedFile] = field(default_factory=list)  # files without a row, in the order they will be inserted
    lost: list[tuple[int, str]] = field(default_factory=list)  # rows without a file: (UID, base name)
    uid_validity: int = 0  # Dovecot's UIDVALIDITY, or 0
    uid_next: int = 0
    problem: str = ""  # the reason why this directory cannot be a mailbox


def list_owners(addresses: Sequence[str] = ()) -> list[Owner]:
    """Return every account, or the accounts with these addresses, by address."""
    rows = Account.objects.order_by("address")
    if addresses:
        rows = rows.filter(address__in=[address.lower() for address in addresses])
    return [Owner(id_, address) for id_, address in rows.values_list("id", "address")]


def orphaned_directories() -> list[str]:
    """Return directories below MAIL_ROOT that look like an account's but belong to no account."""
    account_directories = {maildir_files.account_directory(owner.address) for owner in list_owners()}
    found = []
    for domain in _directories(str(settings.MAIL_ROOT)):
        found += [
            path
            for path in _directories(domain)
            if path not in account_directories and os.path.isdir(f"{path}/Maildir")
        ]
    return found


def _directories(directory: str) -> list[str]:
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        return sorted(e.path for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    return []


# --- Comparing ------------------------------------------------------------------------------------


def examine_account(owner: Owner, *, offline: bool = False) -> Iterator[FolderReport]:
    """Yield every folder on disk and every mailbox of the account, one after the other, without changing anything.

    With `offline` no server runs, so even a recent file cannot belong to a delivery in progress.
    """
    rows = {
        folder: (id_, name, uid_next)
        for id_, name, folder, uid_next in Mailbox.objects.filter(
            account_id=owner.account_id, selectable=True
        ).values_list("id", "name", "folder", "uid_next")
    }
    for folder in sorted(_folders(owner) | set(rows)):
        directory = maildir_files.folder_directory(owner.address, folder)
        mailbox_id, name, uid_next = rows.get(folder) or (0, "", 1)
        if not mailbox_id:
            try:
                name = mailbox_names.name_of_folder(folder)
            except ValueError:
                name = ""
            if not name or mailbox_names.find_name_error(name) or mailbox_names.maildir_folder(name) != folder:
                yield FolderReport(folder, directory, 0, problem="not the name of a mailbox")
                continue
        yield _examine_folder(FolderReport(name, directory, mailbox_id), is_fresh=uid_next == 1, offline=offline)


def _folders(owner: Owner) -> set[str]:
    """Return the Maildir++ directories on disk; "" is the INBOX."""
    top = maildir_files.folder_directory(owner.address, "")
    if not os.path.isdir(f"{top}/cur"):
        return set()
    with os.scandir(top) as entries:
        inner = {e.name for e in entries if e.name.startswith(".") and e.is_dir(follow_symlinks=False)}
    return {""} | {name for name in inner if os.path.isdir(f"{top}/{name}/cur")}


def _examine_folder(folder: FolderReport, *, is_fresh: bool, offline: bool) -> FolderReport:
    """Fill in the differences of a folder.

    Dovecot's UIDs are used only while the mailbox is `fresh`, that is, never had a message.
    """
    uid_list = (
        dovecot_files.parse_uid_list(_read_lines(f"{folder.directory}/dovecot-uidlist"))
        if is_fresh
        else dovecot_files.UidList()
    )
    letters = dovecot_files.parse_keywords(_read_lines(f"{folder.directory}/dovecot-keywords"))
    # Rows first: a message delivered meanwhile then is a recent file without a row, which `_is_being_delivered`
    # detects.
    rows = dict(Message.objects.filter(mailbox_id=folder.mailbox_id).values_list("base_name", "uid"))
    files = _message_files(folder.directory)
    for base_name, path in files.items():
        if base_name in rows or (not offline and _is_being_delivered(path, base_name)):
            continue
        info = path.rpartition(":2,")[2] if ":2," in path else ""
        keywords = [letters[letter] for letter in info if letter in letters]
        if "P" in info:  # passed: resent, forwarded or bounced
            keywords.append("$Forwarded")
        found = UnindexedFile(
            path, base_name, wire_flags.from_info(path), tuple(keywords), uid_list.uids.get(base_name, 0)
        )
        folder.found.append(found)
    # In the order of Dovecot's UIDs; files without one come after, in order of arrival.
    folder.found.sort(key=lambda each: (each.uid or 1 << 33, each.base_name))
    folder.lost = sorted(
        (uid, base_name)
        for base_name, uid in rows.items()
        if base_name not in files and not maildir_files.has_file(folder.directory, base_name)
    )
    if folder.lost:
        # Messages expunged or moved during the comparison are not lost.
        remaining = set(Message.objects.filter(mailbox_id=folder.mailbox_id).values_list("base_name", flat=True))
        folder.lost = [(uid, base_name) for uid, base_name in folder.lost if base_name in remaining]
    folder.uid_validity, folder.uid_next = uid_list.uid_validity, uid_list.uid_next
    return folder


def _message_files(directory: str) -> dict[str, str]:
    """Return base name → path of every message file."""
    found = {}
    for part in ("new", "cur"):
        with suppress(FileNotFoundError), os.scandir(f"{directory}/{part}") as entries:
            for entry in entries:
                if not entry.name.startswith("."):
                    found[entry.name.partition(":2,")[0]] = entry.path
    return found


def is_own_name(base_name: str) -> bool:
    """Return True if this is a name that this system's own deliveries and uploads give."""
    return _OWN_NAME.match(base_name) is not None


def _is_being_delivered(path: str, base_name: str) -> bool:
    if not is_own_name(base_name):
        return False
    with suppress(FileNotFoundError):
        return time.time() - os.stat(path).st_ctime < _RECENT
    return True


def _read_lines(path: str) -> list[str]:
    with suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.readlines()
    return []


# --- Indexing -------------------------------------------------------------------------------------


def index_files(owner: Owner, folder: FolderReport) -> Iterator[int]:
    """Insert rows for the files found, creating the mailbox if needed; yield the number inserted, batch by batch.

    Quotas do not apply, since the mail is stored already. It may be interrupted and repeated at any time.
    """
    if not folder.mailbox_id:
        created = mailboxes.create_mailbox(owner, folder.name)
        if isinstance(created, Refusal):
            folder.problem = created.text
            return
        folder = replace(folder, mailbox_id=created.id)
        mailboxes.subscribe_name(owner, folder.name)
    if folder.uid_validity:
        _import_uid_validity(owner, folder)
    for start in range(0, len(folder.found), _BATCH):
        batch = folder.found[start : start + _BATCH]
        staged = [each for found in batch if (each := _stage_file(owner, folder, found)) is not None]
        with transaction.atomic():
            results = insert.insert_messages(staged, quotas=False)
            _add_keywords(folder.mailbox_id, batch)
        yield len(results)
    if folder.uid_next:
        Mailbox.objects.filter(pk=folder.mailbox_id, uid_next__lt=folder.uid_next).update(uid_next=folder.uid_next)


def _import_uid_validity(owner: Owner, folder: FolderReport) -> None:
    """Set Dovecot's UIDVALIDITY, so that clients need not download everything again.

    The mailbox never had a message, so no client can know another message by one of its UIDs.
    """
    with transaction.atomic():
        account = Account.objects.select_for_update().get(pk=owner.account_id)
        Mailbox.objects.filter(pk=folder.mailbox_id, uid_next=1).update(uid_validity=folder.uid_validity)
        if account.last_uid_validity < folder.uid_validity:
            Account.objects.filter(pk=account.pk).update(last_uid_validity=folder.uid_validity)


def _stage_file(owner: Owner, folder: FolderReport, found: UnindexedFile) -> StagedMessage | None:
    """Stage a file where it is, for `insert_messages`; return None if it has been removed or renamed meanwhile.

    The next run finds a renamed file.
    """
    try:
        internal_at = int(os.stat(found.path).st_mtime)
        arrival = Arrival(
            account_id=owner.account_id,
            base_name=found.base_name,
            file=insert.NO_FILE,
            skip=0,
            trace=b"",
            link=False,
            internal_at=internal_at,
            mailbox=folder.name,
            flags=found.flags,
            keywords=found.keywords,
        )
        return insert.stage_existing_file(arrival, folder.mailbox_id, found.path, uid=found.uid)
    except FileNotFoundError:
        return None


def _add_keywords(mailbox_id: int, batch: Sequence[UnindexedFile]) -> None:
    used = dict.fromkeys(word for found in batch for word in found.keywords)
    if not used:
        return
    account_directories = Mailbox.objects.values_list("keywords", flat=True).get(pk=mailbox_id).split()
    lower = {word.lower() for word in account_directories}
    if is_fresh := [word for word in used if word.lower() not in lower]:
        Mailbox.objects.filter(pk=mailbox_id).update(keywords=" ".join(account_directories + is_fresh))


def import_subscriptions(owner: Owner) -> int:
    """Subscribe to the mailboxes in the Maildir's `subscriptions` file and return their number."""
    subscriptions = []
    for text in dovecot_files.parse_subscriptions(
        _read_lines(f"{maildir_files.folder_directory(owner.address, '')}/subscriptions")
    ):
        with suppress(ValueError):
            name = mailbox_names.canonical_name(mailbox_names.name_of_folder(f".{text}"))
            if mailbox_names.find_name_error(name) is None:
                subscriptions.append(Subscription(account_id=owner.account_id, name=name))
    Subscription.objects.bulk_create(subscriptions, ignore_conflicts=True)
    return len(subscriptions)
