"""METADATA (RFC 5464): notes of clients on mailboxes and, under the mailbox name "", on the account.

Called by the IMAP server."""

from collections.abc import Iterable, Mapping

from django.db import transaction

from mailcore import conf
from mailcore.models import Account, Annotation, Mailbox
from mailcore.store.box import NO_SUCH
from mailcore.terms import Owner, Refusal
from mailcore.wire.imap.metadata import INFINITE


def get(owner: Owner, mailbox: str, entries: Iterable[str], depth: int = 0) -> dict[str, bytes] | Refusal:
    """Values of the entries that have one and, by depth, of those below them."""
    found = get_many(owner, [mailbox], entries, depth)
    return found.get(mailbox, NO_SUCH)


def get_many(
    owner: Owner, mailboxes: Iterable[str], entries: Iterable[str], depth: int = 0
) -> dict[str, dict[str, bytes]]:
    """The same for those of the mailboxes that exist, by name."""
    names = set(mailboxes)
    ids: dict[int | None, str] = dict(
        Mailbox.objects.filter(account_id=owner.account_id, name__in=names).values_list("id", "name")
    )
    if "" in names:
        ids[None] = ""
    found: dict[str, dict[str, bytes]] = {name: {} for name in ids.values()}
    wanted = tuple(entries)
    rows = Annotation.objects.filter(account_id=owner.account_id).order_by("name")
    for mailbox_id, name, value in rows.values_list("mailbox_id", "name", "value"):
        if mailbox_id in ids and any(_covers(entry, name, depth) for entry in wanted):
            found[ids[mailbox_id]][name] = bytes(value)
    return found


def _covers(entry: str, name: str, depth: int) -> bool:
    if name == entry:
        return True
    if not depth or not name.startswith(entry + "/"):
        return False
    return depth == INFINITE or "/" not in name[len(entry) + 1 :]


def put(owner: Owner, mailbox: str, values: Mapping[str, bytes | None]) -> Refusal | None:
    """Set and (None) take away: all of them, or a refusal and none."""
    parameters = conf.current()
    if any(len(value) > parameters.imap_metadata_max_size for value in values.values() if value is not None):
        return Refusal(f"METADATA MAXSIZE {parameters.imap_metadata_max_size}", "Value is too large")
    with transaction.atomic():
        # The account's row is what makes an entry without a mailbox unique.
        Account.objects.select_for_update().values_list("id").get(pk=owner.account_id)
        mailbox_id = None
        if mailbox:
            row = Mailbox.objects.filter(account_id=owner.account_id, name=mailbox).values_list("id").first()
            if row is None:
                return NO_SUCH
            mailbox_id = row[0]
        there = Annotation.objects.filter(account_id=owner.account_id)
        of_mailbox = there.filter(mailbox__isnull=True) if mailbox_id is None else there.filter(mailbox_id=mailbox_id)
        of_mailbox.filter(name__in=list(values)).delete()
        fresh = [
            Annotation(account_id=owner.account_id, mailbox_id=mailbox_id, name=name, value=value)
            for name, value in values.items()
            if value is not None
        ]
        if there.count() + len(fresh) > parameters.imap_metadata_max_entries:
            transaction.set_rollback(True)
            return Refusal("METADATA TOOMANY", "Too many entries")
        Annotation.objects.bulk_create(fresh)
    return None
