"""ACL (RFC 4314): the mailbox a name refers to, and the client's rights on it.

A client sees its own mailboxes under their names, and those shared with it below "Other Users": "Other
Users/lisi@benet.com/Projects". Every function that takes a name goes through `resolve_name`; a client without the right
to see a mailbox gets the reply for one that does not exist. Rights end at the owner's domain unless imap_acl_scope says
otherwise: else a stranger could place folders in everybody's list.
"""

from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet, Value
from django.db.models.functions import Concat

from mailcore import conf
from mailcore.models import AccessRight, Account, Mailbox
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.notify import notifications
from mailcore.values import Owner, Refusal
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap.syntax import acl_syntax
from mailcore.wire.message import envelope_address

ANYONE = "anyone"
NO_SUCH_MAILBOX = Refusal("NONEXISTENT", "Mailbox does not exist")
LONGEST_ADDRESS = 320  # Characters (RFC 3696 §3, errata 1690); the column has one more for the "-".
DENIED = Refusal("NOPERM", "Permission denied")
OUT_OF_SCOPE = Refusal("CANNOT", "Mailboxes are not shared with this domain")
INVALID_IDENTIFIER = Refusal("CANNOT", "Invalid identifier")


@dataclass(frozen=True, slots=True)
class MailboxAccess:
    """A resolved name: `owner`'s mailbox `name`, on which the client has `rights`.

    `prefix` precedes the name for the client. `id` 0: the mailbox need not exist.
    """

    owner: Owner
    name: str
    rights: str = acl_syntax.ALL
    prefix: str = ""
    id: int = 0


def resolve_name(client: Owner, name: str, needed: str = "") -> MailboxAccess | Refusal:
    """Resolve a name for `client`, who needs the rights `needed` on the mailbox.

    The client's own mailboxes are not looked up, so they need not exist.
    """
    if not mailbox_names.is_other_users(name):
        return MailboxAccess(client, name)
    access = _resolve_shared(client, name)
    if access is None or not access.rights:
        return NO_SUCH_MAILBOX
    if set(needed) <= set(access.rights):
        return access
    return DENIED if "l" in access.rights else NO_SUCH_MAILBOX


def resolve_new_name(client: Owner, name: str) -> MailboxAccess | Refusal:
    """Resolve the name of a mailbox to be created; the parent must grant the right to create it."""
    if not mailbox_names.is_other_users(name):
        return MailboxAccess(client, name)
    above, _, last = name.rpartition(mailbox_names.SEPARATOR)
    parent = resolve_name(client, above, "k")
    if isinstance(parent, Refusal) or not parent.id:
        return DENIED
    return MailboxAccess(parent.owner, f"{parent.name}{mailbox_names.SEPARATOR}{last}", parent.rights, parent.prefix)


_mailbox_query = CompiledQuery(
    lambda address, name: Mailbox.objects.filter(account__address=address, name=name).values_list("id", "account_id"),
    str,
    str,
)
_acl_query = CompiledQuery(
    lambda mailbox_id, identifiers: AccessRight.objects.filter(
        mailbox_id=mailbox_id, identifier__in=identifiers
    ).values_list("identifier", "rights"),
    int,
    (str,),
)


def _resolve_shared(client: Owner, name: str) -> MailboxAccess | None:
    prefix, address, inner = mailbox_names.split_other_users(name)
    row = _mailbox_query.row(address, inner) if inner else None
    if row is None:
        return None
    rights = (
        acl_syntax.ALL
        if row[1] == client.account_id
        else _effective_rights(client, address, _acl_query.rows(row[0], _acl_identifiers(client)))
    )
    return MailboxAccess(Owner(row[1], address), inner, rights, prefix, row[0])


def _acl_identifiers(client: Owner) -> tuple[str, ...]:
    return client.address, ANYONE, f"-{client.address}", f"-{ANYONE}"


def _is_in_scope(identifier: str, address: str, owner_address: str) -> bool:
    """Return True if an entry of this owner's list stands for an address (imap_acl_scope)."""
    scope = conf.current().imap_acl_scope
    if scope == "all" or (scope == "named" and identifier != ANYONE):
        return True
    return envelope_address.split_address(address)[1] == envelope_address.split_address(owner_address)[1]


def _effective_rights(client: Owner, owner_address: str, entries: list[tuple[str, str]]) -> str:
    """Return the rights granted by any entry, less those a negative entry removes (RFC 4314 §2)."""
    entries = [
        (name, rights)
        for name, rights in entries
        if _is_in_scope(name.removeprefix("-"), client.address, owner_address)
    ]
    granted = {right for name, rights in entries if not name.startswith("-") for right in rights}
    return acl_syntax.order_rights(
        "".join(granted - {right for name, rights in entries if name.startswith("-") for right in rights})
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
    """Another user's mailbox that a client may see in listings."""

    id: int
    name: str  # as the client sees it
    selectable: bool


def list_shared(client: Owner) -> list[SharedMailbox]:
    """Return other users' mailboxes that the client has the right to see."""
    access: dict[int, list[tuple[str, str]]] = {}
    owners: dict[int, str] = {}
    boxes: dict[int, SharedMailbox] = {}
    for id_, identifier, rights, name, selectable, address, account_id in _granted_mailboxes.rows(
        _acl_identifiers(client)
    ):
        if account_id != client.account_id:
            access.setdefault(id_, []).append((identifier, rights))
            owners[id_] = address
            boxes[id_] = SharedMailbox(id_, mailbox_names.join_other_users(address, name), bool(selectable))
    return [boxes[id_] for id_, entries in access.items() if "l" in _effective_rights(client, owners[id_], entries)]


# --- Access control lists -------------------------------------------------------------------------


def my_rights(client: Owner, name: str) -> str | Refusal:
    """MYRIGHTS, for clients with any right to see or change the mailbox (RFC 4314 §4)."""
    access = _existing_mailbox(client, name, "")
    if isinstance(access, Refusal):
        return access
    return access.rights if set(access.rights) & set("lrikxa") else NO_SUCH_MAILBOX


def list_entries(client: Owner, name: str) -> list[tuple[str, str]] | Refusal:
    """GETACL: return (identifier, rights), the owner's entry first."""
    access = _existing_mailbox(client, name, "a")
    if isinstance(access, Refusal):
        return access
    rows = AccessRight.objects.filter(mailbox_id=access.id).order_by("identifier").values_list("identifier", "rights")
    return [(access.owner.address, acl_syntax.ALL), *rows]


def change_entry(client: Owner, name: str, identifier: str, change: acl_syntax.AclChange) -> Refusal | None:
    """SETACL and, if no rights are left, DELETEACL.

    `identifier` is a full address or ANYONE, perhaps preceded by "-". The reply does not depend on the existence of
    the account, which would tell which addresses exist; an account that is created later gets no rights by old entries.
    """
    access = _existing_mailbox(client, name, "a")
    if isinstance(access, Refusal):
        return access
    grantee = identifier.removeprefix("-")
    if grantee == access.owner.address:
        return Refusal("CANNOT", "The owner has every right")
    if change.mode != "-" and change.rights and grantee != ANYONE:
        if not all(envelope_address.split_address(grantee)) or len(grantee) > LONGEST_ADDRESS:
            return INVALID_IDENTIFIER
        if not _is_in_scope(grantee, grantee, access.owner.address):
            return OUT_OF_SCOPE
    with transaction.atomic():
        account = Account.objects.filter(address=grantee).values_list("id", flat=True).first()
        # The lock on the mailbox's row serializes changes of its list.
        if not Mailbox.objects.select_for_update().filter(pk=access.id).exists():
            return NO_SUCH_MAILBOX
        row = AccessRight.objects.filter(mailbox_id=access.id, identifier=identifier).first()
        after = change.of(row.rights if row is not None else "")
        if not after:
            AccessRight.objects.filter(mailbox_id=access.id, identifier=identifier).delete()
        else:
            AccessRight.objects.update_or_create(
                mailbox_id=access.id, identifier=identifier, defaults={"rights": after}
            )
        notifications.publish_mailboxes([-access.owner.account_id, *([-account] if account is not None else [])])
    return None


def inherit_acl(parent_id: int, mailbox_id: int) -> None:
    """Give a new mailbox the list of its parent (RFC 4314 §4); call inside a transaction."""
    rows = AccessRight.objects.filter(mailbox_id=parent_id).values_list("identifier", "rights")
    AccessRight.objects.bulk_create(
        [AccessRight(mailbox_id=mailbox_id, identifier=identifier, rights=rights) for identifier, rights in rows]
    )


def remove_account_entries(rows: QuerySet[Account]) -> None:
    """Remove the entries that name accounts about to be deleted, or just created.

    So an account inherits nothing from an earlier one of its address, nor from a guess at it.
    """
    denied = rows.annotate(denied=Concat(Value("-"), "address")).values("denied")
    AccessRight.objects.filter(Q(identifier__in=rows.values("address")) | Q(identifier__in=denied)).delete()


def _existing_mailbox(client: Owner, name: str, needed: str) -> MailboxAccess | Refusal:
    access = resolve_name(client, name, needed)
    if isinstance(access, Refusal) or access.id:
        return access
    row = _mailbox_query.row(client.address, name)
    return MailboxAccess(client, name, id=row[0]) if row is not None else NO_SUCH_MAILBOX
