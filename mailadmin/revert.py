"""Reverting a change of the audit log: what it changed gets its former values, through the functions that write them.

Only the fields of that change are reverted; later changes of other fields stay. The reversal is a change itself.
"""

from dataclasses import replace
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from mailadmin.permissions import Permissions
from mailcore.models import Account, Alias, Change, Domain
from mailcore.store import directory
from mailcore.store.directory import AccountDraft, DirectoryError, DomainDraft
from mailcore.store.settings import lookup_tables, parameter_changes

_SYSTEM = ("setting.change", "table.change", "domain.change")
_REVERTIBLE = (*_SYSTEM, "account.change", "alias.change", "alias.delete")


def can_revert(permissions: Permissions, change: Change) -> bool:
    """Return True if the user may revert the change and the audit log has the former values."""
    if change.action not in _REVERTIBLE or not change.difference or not permissions.changes:
        return False
    return permissions.can_change_system or change.action not in _SYSTEM


def revert(permissions: Permissions, change: Change) -> None:
    """Revert a change.

    Raise `DirectoryError` if its subject was deleted, is not the user's to change, or conflicts with the present state.
    """
    before = {name: old for name, (old, _new) in change.difference.items()}
    match change.action:
        case "setting.change":
            _revert_setting(change.subject, before)
        case "table.change":
            lookup_tables.add_entries(
                change.subject, {k: v for k, v in before.items() if v is not None}, overwrite=True
            )
            lookup_tables.remove_entries(change.subject, [key for key, value in before.items() if value is None])
        case "domain.change":
            row = Domain.objects.select_related("target").filter(name=change.subject).first()
            directory.change_domain(
                _current_row(row).pk, DomainDraft(**{**directory.domain_snapshot(_current_row(row)), **before})
            )
        case "account.change":
            _revert_account(permissions, change.subject, before)
        case "alias.change":
            alias = Alias.objects.filter(address=change.subject).first()
            if not permissions.covers_domain(_current_row(alias).domain_id):
                raise DirectoryError({"": _("You may not change this.")})
            alias_values = {**directory.alias_snapshot(_current_row(alias)), **before}
            directory.change_alias(_current_row(alias).pk, alias_values.pop("targets"), **alias_values)
        case "alias.delete":
            domain = Domain.objects.filter(name=change.subject.rpartition("@")[2]).first()
            if not permissions.covers_domain(_current_row(domain).pk):
                raise DirectoryError({"": _("You may not change this.")})
            directory.create_alias(
                change.subject, before["targets"], active=before["active"], comment=before["comment"] or ""
            )


def _current_row(row: Any) -> Any:
    if row is None:
        raise DirectoryError({"": _("What was changed no longer exists.")})
    return row


def _revert_setting(name: str, before: dict[str, Any]) -> None:
    try:
        parameter_changes.change_parameters({name: before["value"]})
    except (KeyError, ValueError) as error:
        raise DirectoryError({"": str(error)}) from error


def _revert_account(permissions: Permissions, address: str, before: dict[str, Any]) -> None:
    account = _current_row(Account.objects.filter(address=address).first())
    if not permissions.can_change_account(account):
        raise DirectoryError({"": _("You may not change this.")})
    values = {**directory.account_snapshot(account), **before}
    values["expires"] = date.fromisoformat(values["expires"]) if values["expires"] else None
    names = values.pop("managed_domains")
    draft = AccountDraft(**values)
    if not permissions.can_change_system:
        draft = replace(draft, role=account.role)
    ids = Domain.objects.filter(name__in=names).values_list("pk", flat=True)
    directory.change_account(account.pk, replace(draft, managed_domains=tuple(ids)))
