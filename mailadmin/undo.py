"""Taking a change back: what it changed gets the values it had before, by the functions that write them.

Only what that change touched is put back; what was changed since elsewhere stays. The undoing is a change itself.
"""

from dataclasses import replace
from datetime import date
from typing import Any

from django.utils.translation import gettext as _

from mailadmin.permissions import Reach
from mailcore.models import Account, Alias, Change, Domain
from mailcore.store import directory, parameters, tables
from mailcore.store.directory import AccountDraft, DomainDraft, Problem

_SYSTEM = ("setting.change", "table.change", "domain.change")
_UNDOABLE = (*_SYSTEM, "account.change", "alias.change", "alias.delete")


def possible(reach: Reach, change: Change) -> bool:
    """May this visitor take it back, and is there enough on record to do it?"""
    if change.action not in _UNDOABLE or not change.difference or not reach.changes:
        return False
    return reach.changes_system or change.action not in _SYSTEM


def undo(reach: Reach, change: Change) -> None:
    """Problem: what it changed is gone, is not the visitor's to change, or does not go with what is there now."""
    before = {name: old for name, (old, _new) in change.difference.items()}
    match change.action:
        case "setting.change":
            _setting(change.subject, before)
        case "table.change":
            tables.add(change.subject, {k: v for k, v in before.items() if v is not None}, overwrite=True)
            tables.remove(change.subject, [key for key, value in before.items() if value is None])
        case "domain.change":
            row = Domain.objects.select_related("target").filter(name=change.subject).first()
            directory.change_domain(_there(row).pk, DomainDraft(**{**directory.domain_snapshot(_there(row)), **before}))
        case "account.change":
            _account(reach, change.subject, before)
        case "alias.change":
            alias = Alias.objects.filter(address=change.subject).first()
            if not reach.covers(_there(alias).domain_id):
                raise Problem({"": _("This is not yours to change.")})
            given = {**directory.alias_snapshot(_there(alias)), **before}
            directory.change_alias(_there(alias).pk, given.pop("targets"), **given)
        case "alias.delete":
            domain = Domain.objects.filter(name=change.subject.rpartition("@")[2]).first()
            if not reach.covers(_there(domain).pk):
                raise Problem({"": _("This is not yours to change.")})
            directory.create_alias(
                change.subject, before["targets"], active=before["active"], comment=before["comment"] or ""
            )


def _there(row: Any) -> Any:
    if row is None:
        raise Problem({"": _("What was changed is gone.")})
    return row


def _setting(name: str, before: dict[str, Any]) -> None:
    try:
        parameters.change({name: before["value"]})
    except (KeyError, ValueError) as error:
        raise Problem({"": str(error)}) from error


def _account(reach: Reach, address: str, before: dict[str, Any]) -> None:
    account = _there(Account.objects.filter(address=address).first())
    if not reach.may_change_account(account):
        raise Problem({"": _("This is not yours to change.")})
    values = {**directory.account_snapshot(account), **before}
    values["expires"] = date.fromisoformat(values["expires"]) if values["expires"] else None
    names = values.pop("managed_domains")
    draft = AccountDraft(**values)
    if not reach.changes_system:
        draft = replace(draft, role=account.role)
    ids = Domain.objects.filter(name__in=names).values_list("pk", flat=True)
    directory.change_account(account.pk, replace(draft, managed_domains=tuple(ids)))
