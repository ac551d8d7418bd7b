"""METADATA (RFC 5464): notes of clients on mailboxes and, under the mailbox name "", on the account.

Called by the IMAP server."""

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
    """Values of the entries that have one and, by depth, of those below them."""
    found = get_entries_of(owner, [mailbox], entries, depth)
    return found.get(mailbox, NO_SUCH_MAILBOX)


def get_entries_of(
    owner: Owner, mailboxes: Iterable[str], entries: Iterable[str], depth: int = 0
) -> dict[str, dict[str, bytes]]:
    """The same for those of the mailboxes that exist, by name."""
    asked = set(mailboxes)
    own = Mailbox.objects.filter(account_id=owner.account_id, name__in=asked).values_list("id", "name")
    ids: dict[int | None, str] = dict(own)
    if "" in asked:
        ids[None] = ""
    for name in asked:
        if mailbox_names.is_other_users(name) and isinstance(
            place := access_rights.resolve_name(owner, name, "r"), access_rights.MailboxAccess
        ):
            ids[place.id] = name
    found: dict[str, dict[str, bytes]] = {name: {} for name in ids.values()}
    wanted = tuple(entries)
    # Shared entries are kept with the mailbox's owner, private ones with whoever made them.
    rows = Annotation.objects.filter(
        Q(account_id=owner.account_id) | Q(mailbox_id__in=[id_ for id_ in ids if id_], name__startswith="/shared/")
    ).order_by("name")
    for mailbox_id, name, value in rows.values_list("mailbox_id", "name", "value"):
        if mailbox_id in ids and any(_matches_depth(entry, name, depth) for entry in wanted):
            found[ids[mailbox_id]][name] = bytes(value)
    return found


def _matches_depth(entry: str, name: str, depth: int) -> bool:
    if name == entry:
        return True
    if not depth or not name.startswith(entry + "/"):
        return False
    return depth == INFINITE or "/" not in name[len(entry) + 1 :]


def set_entries(owner: Owner, mailbox: str, values: Mapping[str, bytes | None]) -> Refusal | None:
    """Set and (None) take away: all of them, or a refusal and none."""
    parameters = conf.current()
    if any(len(value) > parameters.imap_metadata_max_size for value in values.values() if value is not None):
        return Refusal(f"METADATA MAXSIZE {parameters.imap_metadata_max_size}", "Value is too large")
    shared = any(name.startswith("/shared/") for name in values)
    place = access_rights.resolve_name(owner, mailbox, "rw" if shared else "r")  # RFC 5464 §3.3
    if isinstance(place, Refusal):
        return place
    with transaction.atomic():
        # The account's row is what makes an entry without a mailbox unique.
        keepers = Account.objects.filter(pk__in=(owner.account_id, place.owner.account_id))
        list(keepers.select_for_update().order_by("pk").values_list("pk"))
        mailbox_id = None
        if mailbox:
            row = Mailbox.objects.filter(account_id=place.owner.account_id, name=place.name).values_list("id").first()
            if row is None:
                return NO_SUCH_MAILBOX
            mailbox_id = row[0]
        for keeper, ours in (
            (place.owner, {name: value for name, value in values.items() if name.startswith("/shared/")}),
            (owner, {name: value for name, value in values.items() if not name.startswith("/shared/")}),
        ):
            if not _set_entries(keeper.account_id, mailbox_id, ours):
                transaction.set_rollback(True)
                return Refusal("METADATA TOOMANY", "Too many entries")
    return None


def _set_entries(account_id: int, mailbox_id: int | None, values: Mapping[str, bytes | None]) -> bool:
    """False: the account would have too many."""
    there = Annotation.objects.filter(account_id=account_id)
    of_mailbox = there.filter(mailbox__isnull=True) if mailbox_id is None else there.filter(mailbox_id=mailbox_id)
    of_mailbox.filter(name__in=list(values)).delete()
    fresh = [
        Annotation(account_id=account_id, mailbox_id=mailbox_id, name=name, value=value)
        for name, value in values.items()
        if value is not None
    ]
    Annotation.objects.bulk_create(fresh)
    return not fresh or there.count() <= conf.current().imap_metadata_max_entries
