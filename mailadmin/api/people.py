"""Domains, accounts and aliases, as the API has them."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin.api.answers import Answer, Missing, checked, listed, typed
from mailadmin.forms import AccountForm, DomainForm
from mailadmin.pages import accounts as account_pages
from mailadmin.pages import aliases as alias_pages
from mailadmin.pages import domains as domain_pages
from mailadmin.pages import sessions as session_pages
from mailadmin.permissions import Reach
from mailcore.models import Account, Alias, Domain
from mailcore.store import audit, directory, factors, login
from mailcore.store.directory import AccountDraft, Problem

# --- Domains --------------------------------------------------------------------------------------


def told_domain(row: Domain) -> dict[str, object]:
    return {"domain": row.name, **directory.domain_snapshot(row), "created": row.created.isoformat()}


def _one_domain(reach: Reach, name: str) -> Domain:
    row = reach.see_domains().select_related("target").filter(name=name.lower()).first()
    if row is None:
        raise Missing
    return row


def list_domains(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return listed(domain_pages.matching(query, reach).select_related("target").order_by("name"), query, told_domain)


def make_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"kind": "local", "active": True, **given}
    name = str(wanted.pop("domain"))
    domain_id = directory.create_domain(name, _domain_draft(wanted))
    return Answer(told_domain(Domain.objects.select_related("target").get(pk=domain_id)), 201)


def show_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer(told_domain(_one_domain(reach, name)))


def change_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    row = _one_domain(reach, name)
    directory.change_domain(row.pk, _domain_draft({**directory.domain_snapshot(row), **given}))
    return Answer(told_domain(_one_domain(reach, name)))


def delete_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    row = _one_domain(reach, name)
    directory.delete_domain(row.pk)
    return Answer({"deleted": row.name})


def _domain_draft(wanted: Mapping[str, Any]) -> Any:
    return checked(DomainForm(typed(wanted), new=False))


# --- Accounts -------------------------------------------------------------------------------------


def told_account(row: Account) -> dict[str, object]:
    return {
        "address": row.address,
        **directory.account_snapshot(row),
        "used_bytes": row.used_bytes,
        "used_messages": row.used_messages,
        "second_factor": row.second_factor,
        "created": row.created.isoformat(),
    }


def _one_account(reach: Reach, address: str, *, to_change: bool = False) -> Account:
    row = reach.see_accounts().select_related("domain").filter(address=address.lower()).first()
    if row is None or (to_change and not reach.may_change_account(row)):
        raise Missing
    return row


def list_accounts(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    rows = account_pages.matching(query, reach).prefetch_related("managed_domains")
    return listed(rows.order_by("address"), query, told_account)


def make_account(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"state": "active", "role": "owner", **given}
    address, password = str(wanted.pop("address")), str(wanted.pop("password"))
    domain = Domain.objects.filter(name=address.rpartition("@")[2].strip().lower()).first()
    if domain is not None and not reach.covers(domain.pk):
        raise Missing
    account_id = directory.create_account(address, password, _account_draft(reach, wanted, None))
    return Answer(told_account(Account.objects.get(pk=account_id)), 201)


def show_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    return Answer(told_account(_one_account(reach, address)))


def change_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.change_account(row.pk, _account_draft(reach, {**directory.account_snapshot(row), **given}, row))
    return Answer(told_account(_one_account(reach, address)))


def delete_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.delete_account(row.pk)
    return Answer({"deleted": row.address})


def set_password(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.set_password(row.pk, str(given["password"]))
    login.end_sessions(row.pk)
    return Answer({"changed": row.address})


def show_access(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address)
    audit.looked([row.address], "access")
    return Answer(told_access(row))


def told_access(row: Account) -> dict[str, object]:
    return {
        "factors": [{"kind": each.kind, "label": each.label} for each in factors.of(row.pk).own],
        "programs": [
            {"number": each.id, "label": each.label, "last_used": each.last_used and each.last_used.isoformat()}
            for each in login.app_passwords(row.pk)
        ],
        "sessions": [
            {"number": each.id, "agent": each.agent, "client": each.client, "created": each.created.isoformat()}
            for each in login.web_sessions(row.pk)
        ],
    }


def end_access(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    if not session_pages.take_back(row.pk, str(given["what"]), int(given.get("number", 0))):
        raise Missing
    return Answer(told_access(row))


def _account_draft(reach: Reach, wanted: Mapping[str, Any], row: Account | None) -> AccountDraft:
    data = typed(wanted)
    names = list(wanted.get("managed_domains") or ())
    data["managed_domains"] = list(Domain.objects.filter(name__in=names).values_list("pk", flat=True))
    if len(data["managed_domains"]) != len(set(names)):
        raise Problem({"managed_domains": "one of these domains is not here"})
    if not reach.changes_system and (wanted["role"] != "owner" or names):
        raise Problem({"role": "only an administrator of the whole system gives roles"})
    draft: AccountDraft = checked(AccountForm(reach, data))
    return draft


# --- Aliases --------------------------------------------------------------------------------------


def told_alias(row: Alias) -> dict[str, object]:
    return {"address": row.address, **directory.alias_snapshot(row), "created": row.created.isoformat()}


def _one_alias(reach: Reach, address: str) -> Alias:
    row = reach.see_aliases().filter(address=address.lower()).first()
    if row is None:
        raise Missing
    return row


def list_aliases(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return listed(alias_pages.matching(query, reach).order_by("address"), query, told_alias)


def make_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"active": True, "comment": "", **given}
    address = str(wanted.pop("address"))
    domain = Domain.objects.filter(name=address.rpartition("@")[2].strip().lower()).first()
    if domain is not None and not reach.covers(domain.pk):
        raise Missing
    alias_id = directory.create_alias(address, wanted.pop("targets"), **wanted)
    return Answer(told_alias(Alias.objects.get(pk=alias_id)), 201)


def show_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    return Answer(told_alias(_one_alias(reach, address)))


def change_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_alias(reach, address)
    wanted: dict[str, Any] = {**directory.alias_snapshot(row), **given}
    directory.change_alias(row.pk, wanted.pop("targets"), **wanted)
    return Answer(told_alias(_one_alias(reach, address)))


def delete_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_alias(reach, address)
    directory.delete_alias(row.pk)
    return Answer({"deleted": row.address})
