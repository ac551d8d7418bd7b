"""METADATA (RFC 5464): annotations of clients on mailboxes and, under the mailbox name "", on the account.

Called by the IMAP server.
"""

from collections.abc import Iterable, Mapping

from django.db import transaction
from django.db.models import Q

from mailcore import conf
from mailcore.models import Account, Annotation, Mailbox
from mailcore.store.mailbox import access_rights
from mailcore.store.mailbox.access_rights import NO_SUCH_MAILBOX
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.syntax.metadata_syntax import INFINITE


def get_entries(owner: Owner, mailbox: str, entries: Iterable[str], depth: int = 0) -> dict[str, bytes] | Refusal:
    """Return the values of existing entries and, by depth, of those below them."""
    results = get_entries_of(owner, [mailbox], entries, depth)
    return results.get(mailbox, NO_SUCH_MAILBOX)


def get_entries_of(
    owner: Owner, mailboxes: Iterable[str], entries: Iterable[str], depth: int = 0
) -> dict[str, dict[str, bytes]]:
    """Return the values of entries of several mailboxes, by name of those that exist."""
    names = set(mailboxes)
    own = Mailbox.objects.filter(account_id=owner.account_id, name__in=names).values_list("id", "name")
    ids: dict[int | None, str] = dict(own)
    if "" in names:
        ids[None] = ""
    for name in names:
        if mailbox_names.is_other_users(name) and isinstance(
            place := access_rights.resolve_name(owner, name, "r"), access_rights.MailboxAccess
        ):
            ids[place.id] = name
    results: dict[str, dict[str, bytes]] = {name: {} for name in ids.values()}
    patterns = tuple(entries)
    # Shared entries are stored with the mailbox's owner, private ones with the account that made them.
    rows = Annotation.objects.filter(
        Q(account_id=owner.account_id) | Q(mailbox_id__in=[id_ for id_ in ids if id_], name__startswith="/shared/")
    ).order_by("name")
    for mailbox_id, name, value in rows.values_list("mailbox_id", "name", "value"):
        if mailbox_id in ids and any(_matches_depth(entry, name, depth) for entry in patterns):
            results[ids[mailbox_id]][name] = bytes(value)
    return results


def _matches_depth(entry: str, name: str, depth: int) -> bool:
    if name == entry:
        return True
    if not depth or not name.startswith(entry + "/"):
        return False
    return depth == INFINITE or "/" not in name[len(entry) + 1 :]


def set_entries(owner: Owner, mailbox: str, values: Mapping[str, bytes | None]) -> Refusal | None:
    """Set entries, or remove those that are None: all of them, or a refusal and none."""
    parameters = conf.current()
    if any(len(value) > parameters.imap_metadata_max_size for value in values.values() if value is not None):
        return Refusal(f"METADATA MAXSIZE {parameters.imap_metadata_max_size}", "Value is too large")
    shared = any(name.startswith("/shared/") for name in values)
    place = access_rights.resolve_name(owner, mailbox, "rw" if shared else "r")  # RFC 5464 §3.3
    if isinstance(place, Refusal):
        return place
    with transaction.atomic():
        # The lock on the account's row ensures that an entry without a mailbox is unique.
        accounts = Account.objects.filter(pk__in=(owner.account_id, place.owner.account_id))
        list(accounts.select_for_update().order_by("pk").values_list("pk"))
        mailbox_id = None
        if mailbox:
            row = Mailbox.objects.filter(account_id=place.owner.account_id, name=place.name).values_list("id").first()
            if row is None:
                return NO_SUCH_MAILBOX
            mailbox_id = row[0]
        for account_owner, own_values in (
            (place.owner, {name: value for name, value in values.items() if name.startswith("/shared/")}),
            (owner, {name: value for name, value in values.items() if not name.startswith("/shared/")}),
        ):
            if not _set_entries(account_owner.account_id, mailbox_id, own_values):
                transaction.set_rollback(True)
                return Refusal("METADATA TOOMANY", "Too many entries")
    return None


def _set_entries(account_id: int, mailbox_id: int | None, values: Mapping[str, bytes | None]) -> bool:
    """Write entries; return False if the account would have too many."""
    existing = Annotation.objects.filter(account_id=account_id)
    of_mailbox = existing.filter(mailbox__isnull=True) if mailbox_id is None else existing.filter(mailbox_id=mailbox_id)
    of_mailbox.filter(name__in=list(values)).delete()
    added = [
        Annotation(account_id=account_id, mailbox_id=mailbox_id, name=name, value=value)
        for name, value in values.items()
        if value is not None
    ]
    Annotation.objects.bulk_create(added)
    return not added or existing.count() <= conf.current().imap_metadata_max_entries
