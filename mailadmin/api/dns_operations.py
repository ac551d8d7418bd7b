"""API operations for a domain's DNS records and DKIM keys."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin import system_warnings
from mailadmin.api.responses import ApiResponse, NotFound, single_page
from mailadmin.permissions import Permissions
from mailcore.models import Domain
from mailcore.mta.dns import domain_check
from mailcore.store.settings import dkim_keys
from mailcore.store.settings.dkim_keys import KeyEntry


def _find_domain(permissions: Permissions, name: str) -> Domain:
    row = permissions.visible_domains().filter(name=name.lower()).first()
    if row is None:
        raise NotFound
    return row


def list_records(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    """List the records a domain needs; with ?check=1 they are compared with the DNS."""
    row = _find_domain(permissions, name)
    records = domain_check.expected_records(row)
    if query.get("check") == "1":
        checked = domain_check.check_records(records)
        system_warnings.cache_dns_result(row.name, checked)
    else:
        checked = [domain_check.CheckedRecord(record, "unknown") for record in records]
    return single_page(
        [
            {
                "name": each.record.name,
                "kind": each.record.kind,
                "value": each.record.value,
                "optional": each.record.optional,
                "state": each.state,
                "found": list(each.found),
            }
            for each in checked
        ]
    )


def _serialize_key(entry: KeyEntry) -> dict[str, object]:
    return {
        "selector": entry.selector,
        "algorithm": entry.algorithm,
        "state": entry.state,
        "created": entry.created.isoformat(),
        "name": entry.name,
        "record": entry.record,
    }


def _find_key(row: Domain, selector: str) -> KeyEntry:
    for entry in dkim_keys.list_keys(row):
        if entry.selector == selector:
            return entry
    raise NotFound


def show_keys(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    return ApiResponse(
        {"keys": [_serialize_key(entry) for entry in dkim_keys.list_keys(_find_domain(permissions, name))]}
    )


def create_key(permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str) -> ApiResponse:
    row = _find_domain(permissions, name)
    key_id = dkim_keys.create_key(row.pk, str(given["algorithm"]))
    return ApiResponse(next(_serialize_key(entry) for entry in dkim_keys.list_keys(row) if entry.id == key_id), 201)


def activate_key(
    permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str, selector: str
) -> ApiResponse:
    row = _find_domain(permissions, name)
    dkim_keys.activate_key(row.pk, _find_key(row, selector).id)
    return ApiResponse(_serialize_key(_find_key(row, selector)))


def delete_key(
    permissions: Permissions, given: Mapping[str, Any], query: QueryDict, name: str, selector: str
) -> ApiResponse:
    row = _find_domain(permissions, name)
    dkim_keys.delete_key(row.pk, _find_key(row, selector).id)
    return ApiResponse({"deleted": selector})
