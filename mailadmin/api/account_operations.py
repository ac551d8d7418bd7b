"""API operations for domains, accounts and aliases."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin.api.responses import ApiResponse, NotFound, paginate_rows, to_form_data, validate_form
from mailadmin.forms import AccountForm, DomainForm
from mailadmin.permissions import Permissions
from mailadmin.views.directory import accounts as account_pages
from mailadmin.views.directory import aliases as alias_pages
from mailadmin.views.directory import domains as domain_pages
from mailadmin.views.profile import web_sessions as session_pages
from mailcore.models import Account, Alias, Domain
from mailcore.store import directory
from mailcore.store.auth import account_login, second_factors
from mailcore.store.credentials import api_tokens
from mailcore.store.db import audit
from mailcore.store.directory import AccountDraft, DirectoryError

# --- Domains --------------------------------------------------------------------------------------


def serialize_domain(row: Domain) -> dict[str, object]:
    return {"domain": row.name, **directory.domain_snapshot(row), "created": row.created.isoformat()}


def _find_domain(permissions: Permissions, name: str) -> Domain:
    row = permissions.visible_domains().select_related("target").filter(name=name.lower()).first()
    if row is None:
        raise NotFound
    return row


def list_domains(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    return paginate_rows(
        domain_pages.matching_domains(query, permissions).select_related("target").order_by("name"),
        query,
        serialize_domain,
    )


def create_domain(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    values = {"kind": "local", "active": True, **given}
    name = str(values.pop("domain"))
    domain_id = directory.create_domain(name, _parse_domain_draft(values))
    return ApiResponse(serialize_domain(Domain.objects.select_related("target").get(pk=domain_id)), 201)


def show_domain(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return ApiResponse(serialize_domain(_find_domain(permissions, name)))


def change_domain(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    row = _find_domain(permissions, name)
    directory.change_domain(row.pk, _parse_domain_draft({**directory.domain_snapshot(row), **given}))
    return ApiResponse(serialize_domain(_find_domain(permissions, name)))


def delete_domain(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    row = _find_domain(permissions, name)
    directory.delete_domain(row.pk)
    return ApiResponse({"deleted": row.name})


def _parse_domain_draft(values: Mapping[str, Any]) -> Any:
    return validate_form(DomainForm(to_form_data(values), new=False))


# --- Accounts -------------------------------------------------------------------------------------


def serialize_account(row: Account) -> dict[str, object]:
    return {
        "address": row.address,
        **directory.account_snapshot(row),
        "used_bytes": row.used_bytes,
        "used_messages": row.used_messages,
        "second_factor": row.second_factor,
        "created": row.created.isoformat(),
    }


def _find_account(permissions: Permissions, address: str, *, to_change: bool = False) -> Account:
    row = permissions.visible_accounts().select_related("domain").filter(address=address.lower()).first()
    if row is None or (to_change and not permissions.can_change_account(row)):
        raise NotFound
    return row


def list_accounts(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    rows = account_pages.matching_accounts(query, permissions).prefetch_related("managed_domains")
    return paginate_rows(rows.order_by("address"), query, serialize_account)


def create_account(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    values = {"state": "active", "role": "owner", **given}
    address, password = str(values.pop("address")), str(values.pop("password"))
    if not permissions.covers_address(address):
        raise NotFound
    account_id = directory.create_account(address, password, _parse_account_draft(permissions, values, None))
    return ApiResponse(serialize_account(Account.objects.get(pk=account_id)), 201)


def show_account(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    return ApiResponse(serialize_account(_find_account(permissions, address)))


def change_account(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_account(permissions, address, to_change=True)
    directory.change_account(
        row.pk, _parse_account_draft(permissions, {**directory.account_snapshot(row), **given}, row)
    )
    return ApiResponse(serialize_account(_find_account(permissions, address)))


def delete_account(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_account(permissions, address, to_change=True)
    directory.delete_account(row.pk)
    return ApiResponse({"deleted": row.address})


def set_password(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_account(permissions, address, to_change=True)
    directory.set_password(row.pk, str(given["password"]))
    account_login.end_sessions(row.pk)
    if given.get("revoke"):
        account_login.revoke_issued_secrets(row.pk)
    return ApiResponse({"changed": row.address})


def show_access(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_account(permissions, address)
    audit.record_lookup([row.address], "access")
    return ApiResponse(serialize_access(row))


def serialize_access(row: Account) -> dict[str, object]:
    return {
        "factors": [{"kind": each.kind, "label": each.label} for each in second_factors.list_factors(row.pk).own],
        "programs": [
            {"number": each.id, "label": each.label, "last_used": each.last_used and each.last_used.isoformat()}
            for each in account_login.app_passwords(row.pk)
        ],
        "tokens": [
            {"number": each.id, "label": each.label, "last_used": each.last_used and each.last_used.isoformat()}
            for each in api_tokens.list_tokens(row.pk)
        ],
        "sessions": [
            {"number": each.id, "agent": each.agent, "client": each.client, "created": each.created.isoformat()}
            for each in account_login.web_sessions(row.pk)
        ],
    }


def revoke_access(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_account(permissions, address, to_change=True)
    if not session_pages.revoke(row.pk, str(given["what"]), int(given.get("number", 0))):
        raise NotFound
    return ApiResponse(serialize_access(row))


def _parse_account_draft(permissions: Permissions, values: Mapping[str, Any], row: Account | None) -> AccountDraft:
    data = to_form_data(values)
    names = list(values.get("managed_domains") or ())
    data["managed_domains"] = list(Domain.objects.filter(name__in=names).values_list("pk", flat=True))
    if len(data["managed_domains"]) != len(set(names)):
        raise DirectoryError({"managed_domains": "one of these domains does not exist"})
    if not permissions.can_change_system and (values["role"] != "owner" or names):
        raise DirectoryError({"role": "only an administrator of the whole system may assign roles"})
    draft: AccountDraft = validate_form(AccountForm(permissions, data))
    return draft


# --- Aliases --------------------------------------------------------------------------------------


def serialize_alias(row: Alias) -> dict[str, object]:
    return {"address": row.address, **directory.alias_snapshot(row), "created": row.created.isoformat()}


def _find_alias(permissions: Permissions, address: str) -> Alias:
    row = permissions.visible_aliases().filter(address=address.lower()).first()
    if row is None:
        raise NotFound
    return row


def list_aliases(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    return paginate_rows(alias_pages.matching_aliases(query, permissions).order_by("address"), query, serialize_alias)


def create_alias(permissions: Permissions, given: Mapping[str, Any], query: QueryDict) -> ApiResponse:
    values = {"active": True, "comment": "", **given}
    address = str(values.pop("address"))
    if not permissions.covers_address(address):
        raise NotFound
    alias_id = directory.create_alias(address, values.pop("targets"), **values)
    return ApiResponse(serialize_alias(Alias.objects.get(pk=alias_id)), 201)


def show_alias(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    return ApiResponse(serialize_alias(_find_alias(permissions, address)))


def change_alias(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_alias(permissions, address)
    values: dict[str, Any] = {**directory.alias_snapshot(row), **given}
    directory.change_alias(row.pk, values.pop("targets"), **values)
    return ApiResponse(serialize_alias(_find_alias(permissions, address)))


def delete_alias(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, address: str) -> ApiResponse:
    row = _find_alias(permissions, address)
    directory.delete_alias(row.pk)
    return ApiResponse({"deleted": row.address})
