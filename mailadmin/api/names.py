"""A domain's DNS and its DKIM keys, as the API has them."""

from collections.abc import Mapping
from typing import Any

from django.http import QueryDict

from mailadmin import attention
from mailadmin.api.answers import Answer, Missing, whole
from mailadmin.permissions import Reach
from mailcore.models import Domain
from mailcore.post import dnscheck
from mailcore.store import dkim
from mailcore.store.dkim import KeyEntry


def _domain(reach: Reach, name: str) -> Domain:
    row = reach.see_domains().filter(name=name.lower()).first()
    if row is None:
        raise Missing
    return row


def list_records(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    """The records at once; with ?check=1 what the DNS says of them."""
    row = _domain(reach, name)
    records = dnscheck.wanted(row)
    if query.get("check") == "1":
        found = dnscheck.check(records)
        attention.remember_dns(row.name, found)
    else:
        found = [dnscheck.Checked(record, "unknown") for record in records]
    return whole(
        [
            {
                "name": each.record.name,
                "kind": each.record.kind,
                "value": each.record.value,
                "optional": each.record.optional,
                "state": each.state,
                "found": list(each.found),
            }
            for each in found
        ]
    )


def _key(entry: KeyEntry) -> dict[str, object]:
    return {
        "selector": entry.selector,
        "algorithm": entry.algorithm,
        "state": entry.state,
        "created": entry.created.isoformat(),
        "name": entry.name,
        "record": entry.record,
    }


def _one_key(row: Domain, selector: str) -> KeyEntry:
    for entry in dkim.keys(row):
        if entry.selector == selector:
            return entry
    raise Missing


def show_keys(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer({"keys": [_key(entry) for entry in dkim.keys(_domain(reach, name))]})


def make_key(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    row = _domain(reach, name)
    made = dkim.make(row.pk, str(given["algorithm"]))
    return Answer(next(_key(entry) for entry in dkim.keys(row) if entry.id == made), 201)


def put_key_to_work(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str, selector: str) -> Answer:
    row = _domain(reach, name)
    dkim.put_to_work(row.pk, _one_key(row, selector).id)
    return Answer(_key(_one_key(row, selector)))


def delete_key(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str, selector: str) -> Answer:
    row = _domain(reach, name)
    dkim.delete(row.pk, _one_key(row, selector).id)
    return Answer({"deleted": selector})
