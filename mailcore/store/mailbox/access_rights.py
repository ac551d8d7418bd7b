"""Whose mailbox a name means, and what may be done there (RFC 4314).

A client sees its own mailboxes under their names and those that others let it see below "Other Users":
"Other Users/lisi@benet.com/Projects". Every function that takes a name goes through `place`; who has no
right to see a mailbox is told that there is none.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from mailcore.models import AccessRight, Account, Mailbox
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.notify import notifications
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.syntax import acl_syntax

ANYONE = "anyone"
NO_SUCH_MAILBOX = Refusal("NONEXISTENT", "Mailbox does not exist")
DENIED = Refusal("NOPERM", "Permission denied")


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """Where a name leads: `owner`'s mailbox `name`, on which the client has `rights`. `prefix` is what stands
    before that name for the client. `id` 0: there may be no such mailbox."""

    owner: Owner
    name: str
    rights: str = acl_syntax.ALL
    prefix: str = ""
    id: int = 0


def resolve_name(client: Owner, name: str, needed: str = "") -> MailboxAccess | Refusal:
    """Where `name` leads `client`, who needs the rights `needed` there. Of the client's own mailboxes nothing is
    asked, not even whether they exist."""
    if not mailbox_names.is_other_users(name):
        return MailboxAccess(client, name)
    found = _resolve_shared(client, name)
    if found is None or not found.rights:
        return NO_SUCH_MAILBOX
    if set(needed) <= set(found.rights):
        return found
    return DENIED if "l" in found.rights else NO_SUCH_MAILBOX


def resolve_new_name(client: Owner, name: str) -> MailboxAccess | Refusal:
    """The same for a mailbox to be made: the one above it must allow that."""
    if not mailbox_names.is_other_users(name):
        return MailboxAccess(client, name)
    above, _, last = name.rpartition(mailbox_names.SEPARATOR)
    parent = resolve_name(client, above, "k")
    if isinstance(parent, Refusal) or not parent.id:
        return DENIED
    return MailboxAccess(parent.owner, f"{parent.name}{mailbox_names.SEPARATOR}{last}", parent.rights, parent.prefix)


_mailbox = CompiledQuery(
    lambda address, name: Mailbox.objects.filter(account__address=address, name=name).values_list("id", "account_id"),
    str,
    str,
)
_entries = CompiledQuery(
    lambda mailbox_id, identifiers: AccessRight.objects.filter(
        mailbox_id=mailbox_id, identifier__in=identifiers
    ).values_list("identifier", "rights"),
    int,
    (str,),
)


def _resolve_shared(client: Owner, name: str) -> MailboxAccess | None:
    prefix, address, inner = mailbox_names.split_other_users(name)
    row = _mailbox.row(address, inner) if inner else None
    if row is None:
        return None
    rights = (
        acl_syntax.ALL
        if row[1] == client.account_id
        else _effective_rights(_entries.rows(row[0], _acl_identifiers(client)))
    )
    return MailboxAccess(Owner(row[1], address), inner, rights, prefix, row[0])


def _acl_identifiers(client: Owner) -> tuple[str, ...]:
    return client.address, ANYONE, f"-{client.address}", f"-{ANYONE}"


def _effective_rights(entries: list[tuple[str, str]]) -> str:
    """What is given to somebody by any entry, less what one takes away (RFC 4314 §2)."""
    given = {right for name, rights in entries if not name.startswith("-") for right in rights}
    return acl_syntax.order_rights(
        "".join(given - {right for name, rights in entries if name.startswith("-") for right in rights})
    )


# --- Listing --------------------------------------------------------------------------------------

_granted_mailboxes = CompiledQuery(
    lambda identifiers: AccessRight.objects.filter(identifier__in=identifiers).values_list(
        "mailbox_id", "identifier", "rights", "mailbox__name", "mailbox__selectable", "mailbox__account__address",
        "mailbox__account_id",
    ),
    (str,),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SharedMailbox:
    """Somebody else's mailbox that a client may see in listings."""

    id: int
    name: str  # as the client sees it
    selectable: bool


def list_shared(client: Owner) -> list[SharedMailbox]:
    found: dict[int, list[tuple[str, str]]] = {}
    boxes: dict[int, SharedMailbox] = {}
    for id_, identifier, rights, name, selectable, address, account_id in _granted_mailboxes.rows(
        _acl_identifiers(client)
    ):
        if account_id != client.account_id:
            found.setdefault(id_, []).append((identifier, rights))
            boxes[id_] = SharedMailbox(id_, mailbox_names.join_other_users(address, name), bool(selectable))
    return [boxes[id_] for id_, entries in found.items() if "l" in _effective_rights(entries)]


# --- The lists themselves -------------------------------------------------------------------------


def my_rights(client: Owner, name: str) -> str | Refusal:
    """MYRIGHTS: told to whoever has one of the rights that let one see or change the mailbox (RFC 4314 §4)."""
    found = _existing_mailbox(client, name, "")
    if isinstance(found, Refusal):
        return found
    return found.rights if set(found.rights) & set("lrikxa") else NO_SUCH_MAILBOX


def list_entries(client: Owner, name: str) -> list[tuple[str, str]] | Refusal:
    """GETACL: (identifier, rights), the owner's first."""
    found = _existing_mailbox(client, name, "a")
    if isinstance(found, Refusal):
        return found
    rows = AccessRight.objects.filter(mailbox_id=found.id).order_by("identifier").values_list("identifier", "rights")
    return [(found.owner.address, acl_syntax.ALL), *rows]


def change_entry(client: Owner, name: str, identifier: str, wanted: acl_syntax.AclChange) -> Refusal | None:
    """SETACL and, with no rights left, DELETEACL. `identifier`: a full address or ANYONE, perhaps with "-" before."""
    found = _existing_mailbox(client, name, "a")
    if isinstance(found, Refusal):
        return found
    who = identifier.removeprefix("-")
    if who == found.owner.address:
        return Refusal("CANNOT", "The owner has every right")
    with transaction.atomic():
        account = Account.objects.filter(address=who).values_list("id", flat=True).first()
        if account is None and who != ANYONE and wanted.mode != "-" and wanted.rights:
            return Refusal("CANNOT", "There is no such account")
        # The mailbox's row is what makes changes to its list come one after another.
        if not Mailbox.objects.select_for_update().filter(pk=found.id).exists():
            return NO_SUCH_MAILBOX
        row = AccessRight.objects.filter(mailbox_id=found.id, identifier=identifier).first()
        after = wanted.of(row.rights if row is not None else "")
        if not after:
            AccessRight.objects.filter(mailbox_id=found.id, identifier=identifier).delete()
        else:
            AccessRight.objects.update_or_create(mailbox_id=found.id, identifier=identifier, defaults={"rights": after})
        notifications.publish_mailboxes([-found.owner.account_id, *([-account] if account is not None else [])])
    return None


def inherit_acl(parent_id: int, mailbox_id: int) -> None:
    """A new mailbox has the list of the one above it (RFC 4314 §4). Inside the caller's transaction."""
    rows = AccessRight.objects.filter(mailbox_id=parent_id).values_list("identifier", "rights")
    AccessRight.objects.bulk_create(
        [AccessRight(mailbox_id=mailbox_id, identifier=identifier, rights=rights) for identifier, rights in rows]
    )


def remove_account_entries(rows: QuerySet[Account]) -> None:
    """They are about to be deleted: nobody who gets such an address later inherits what it was allowed."""
    denied = rows.annotate(denied=Concat(Value("-"), "address")).values("denied")
    AccessRight.objects.filter(Q(identifier__in=rows.values("address")) | Q(identifier__in=denied)).delete()


def _existing_mailbox(client: Owner, name: str, needed: str) -> MailboxAccess | Refusal:
    found = resolve_name(client, name, needed)
    if isinstance(found, Refusal) or found.id:
        return found
    row = _mailbox.row(client.address, name)
    return MailboxAccess(client, name, id=row[0]) if row is not None else NO_SUCH_MAILBOX
