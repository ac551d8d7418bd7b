"""Changes of domains: create, change, delete."""

import logging
import re
from dataclasses import dataclass, field

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailcore.models import Account, Alias, Domain
from mailcore.store.db import audit
from mailcore.store.directory import account_changes, alias_changes
from mailcore.store.directory.directory_error import DirectoryError, directory_changed
from mailcore.wire.message import envelope_address as addresses

log = logging.getLogger("mailcore.domains")

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class DomainDraft:
    """A domain as the administrator requests it; sizes in bytes.

    A limit of None leaves it to the next wider limit, 0 means no limit.
    """

    kind: str = "local"
    target: str = ""  # the domain an alias domain stands for
    active: bool = True
    account_quota_bytes: int | None = None
    account_quota_messages: int | None = None
    total_quota_bytes: int | None = None
    max_accounts: int | None = None
    max_aliases: int | None = None
    catch_all: str = ""


@dataclass(frozen=True, slots=True)
class DomainContents:
    """The contents that are deleted together with a domain."""

    accounts: int
    aliases: int
    byte_count: int
    messages: int
    named_by: tuple[str, ...] = field(default=())  # alias domains that prevent it


def domain_name(text: str) -> str:
    """Return a domain name as it is stored: lower case, A-labels (RFC 5890).

    Raise DirectoryError if it is not a domain name (RFC 1035 §2.3.1).
    """
    try:
        name = addresses.ascii_domain(text.strip())
    except addresses.AddressError:
        name = ""
    if not name or len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise DirectoryError({"name": _("“%(name)s” is not a domain name.") % {"name": text}})
    return name


def create_domain(name: str, draft: DomainDraft = DomainDraft()) -> int:
    """Create a domain and return its id; raise DirectoryError for an invalid or existing name, or an invalid draft."""
    name = domain_name(name)
    try:
        with transaction.atomic():
            row = Domain(name=name)
            _apply_draft(row, draft)
            row.save(force_insert=True)
            audit.record_change("domain.create", name, {}, domain_snapshot(row), domain=name)
            directory_changed()
    except IntegrityError as error:
        raise DirectoryError({"name": _("%(name)s already exists.") % {"name": name}}) from error
    log.info("domain created: %s", name)
    return row.pk


def change_domain(domain_id: int, draft: DomainDraft) -> None:
    """Change a domain to what the draft says; raise DirectoryError if it does not exist or the draft is invalid."""
    with transaction.atomic():
        row = _lock_domain(domain_id)
        before = domain_snapshot(row)
        _apply_draft(row, draft)
        row.save()
        audit.record_change("domain.change", row.name, before, domain_snapshot(row), domain=row.name)
        directory_changed()
        if not row.active:
            account_changes.revalidate_sessions(row.accounts.values_list("pk", flat=True))
    log.info("domain changed: %s", row.name)


def domain_snapshot(row: Domain) -> dict[str, object]:
    """Return a domain as the audit log records it."""
    return {
        "kind": row.kind,
        "target": row.target.name if row.target else "",
        "active": row.active,
        "account_quota_bytes": row.account_quota_bytes,
        "account_quota_messages": row.account_quota_messages,
        "total_quota_bytes": row.total_quota_bytes,
        "max_accounts": row.max_accounts,
        "max_aliases": row.max_aliases,
        "catch_all": row.catch_all,
    }


def _lock_domain(domain_id: int) -> Domain:
    row = Domain.objects.select_for_update().filter(pk=domain_id).first()
    if row is None:
        raise DirectoryError({"": _("This domain no longer exists.")})
    return row


def _apply_draft(row: Domain, draft: DomainDraft) -> None:
    if draft.kind not in Domain.Kind.values:
        raise DirectoryError({"kind": _("There is no such kind of domain.")})
    row.kind, row.active = draft.kind, draft.active
    row.target = _alias_domain_target(row, draft.target) if draft.kind == Domain.Kind.ALIAS else None
    if row.pk is not None and draft.kind != Domain.Kind.LOCAL and _has_accounts(row):
        raise DirectoryError(
            {"kind": _("This domain has accounts or aliases: only an empty domain can change its kind.")}
        )
    if row.pk is not None and draft.kind != Domain.Kind.LOCAL and row.alias_domains.exists():
        raise DirectoryError({"kind": _("Other domains are aliases of this one.")})
    row.account_quota_bytes, row.account_quota_messages = draft.account_quota_bytes, draft.account_quota_messages
    row.total_quota_bytes = draft.total_quota_bytes
    row.max_accounts, row.max_aliases = draft.max_accounts, draft.max_aliases
    row.catch_all = _validate_catch_all(row.name, draft.catch_all)


def _has_accounts(row: Domain) -> bool:
    return row.accounts.exists() or row.aliases.exists()


def _alias_domain_target(row: Domain, name: str) -> Domain:
    """Return the domain an alias domain stands for; it must be local, so that one step always suffices."""
    target = Domain.objects.filter(name=name.strip().lower()).first()
    if target is None or target.kind != Domain.Kind.LOCAL or target.pk == row.pk:
        raise DirectoryError({"target": _("An alias domain stands for another domain with mailboxes here.")})
    return target


def _validate_catch_all(domain: str, text: str) -> str:
    text = text.strip().lower()
    if not text:
        return ""
    try:
        address = addresses.parse_address(text if "@" in text else f"{text}@{domain}")
    except addresses.AddressError as error:
        raise DirectoryError({"catch_all": _("“%(address)s” is not an address.") % {"address": text}}) from error
    return address


def domain_contents(domain_id: int) -> DomainContents:
    """Return the contents that `delete_domain` would delete, to be shown before it is done."""
    sums = account_changes.usage_of_accounts(Account.objects.filter(domain=domain_id))
    names = Domain.objects.filter(target=domain_id).order_by("name").values_list("name", flat=True)
    return DomainContents(
        accounts=sums.accounts,
        aliases=Alias.objects.filter(domain=domain_id).count(),
        byte_count=sums.byte_count,
        messages=sums.messages,
        named_by=tuple(names),
    )


def delete_domain(domain_id: int) -> None:
    """Delete a domain with its accounts, their mail and its aliases; other aliases lose its addresses.

    Raise DirectoryError if other domains are aliases of it, or the last administrator is in it.
    """
    with transaction.atomic():
        row = _lock_domain(domain_id)
        named_by = list(row.alias_domains.order_by("name").values_list("name", flat=True)[:3])
        if named_by:
            message = ngettext(
                "%(names)s is an alias of this domain: delete it first.",
                "%(names)s are aliases of this domain: delete them first.",
                len(named_by),
            )
            raise DirectoryError({"": message % {"names": ", ".join(named_by)}})
        contents = domain_contents(row.pk)
        counts = {"accounts": contents.accounts, "aliases": contents.aliases, "messages": contents.messages}
        audit.record_change("domain.delete", row.name, {**domain_snapshot(row), **counts}, {}, domain=row.name)
        account_changes.delete_all_in(row.pk)
        name = row.name
        row.delete()
        alias_changes.drop_targets(f'@{name}"', lambda target: target.endswith(f"@{name}"))
        directory_changed()
    log.info("domain deleted: %s", name)
