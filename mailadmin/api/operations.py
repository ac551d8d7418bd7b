"""Everything the API can do, as one table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import QueryDict

from mailadmin import listing
from mailadmin.api import shapes
from mailadmin.api.shapes import Schema, body
from mailadmin.forms import AccountForm, DomainForm
from mailadmin.pages import accounts as account_pages
from mailadmin.pages import aliases as alias_pages
from mailadmin.pages import domains as domain_pages
from mailadmin.pages import queue as queue_pages
from mailadmin.pages.tracking import visible_to
from mailadmin.permissions import Reach
from mailcore import conf
from mailcore.models import Account, Alias, Change, Domain, Queued
from mailcore.post import files, story
from mailcore.store import audit, directory, parameters
from mailcore.store.directory import AccountDraft, Problem

_PAGE = 100
_LONGEST = 10_000  # pages


class Missing(Exception):
    """There is no such thing within the visitor's reach."""


@dataclass(frozen=True, slots=True)
class Answer:
    body: object
    status: int = 200


Run = Callable[..., Answer]
Allows = Callable[[Reach], bool]


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    allows: Allows
    run: Run
    body: Schema | None = None
    query: Mapping[str, str] = field(default_factory=dict)  # parameter → what it is
    creates: bool = False


def _sees(reach: Reach) -> bool:
    return reach.sees


def _changes(reach: Reach) -> bool:
    return reach.changes


def _sees_system(reach: Reach) -> bool:
    return reach.system


def _changes_system(reach: Reach) -> bool:
    return reach.changes_system


# --- Lists ----------------------------------------------------------------------------------------


def _list(rows: QuerySet[Any], query: QueryDict, shape: Callable[[Any], dict[str, object]]) -> Answer:
    number = query.get("page", "1")
    if not number.isdigit() or not 0 < int(number) <= _LONGEST:
        raise Problem({"page": "not a page's number"})
    page = Paginator(rows, _PAGE).get_page(int(number))
    found = [shape(row) for row in page] if page.number == int(number) else []
    return Answer(
        {"items": found, "page": int(number), "pages": page.paginator.num_pages, "count": page.paginator.count}
    )


# --- Domains --------------------------------------------------------------------------------------


def _domain(row: Domain) -> dict[str, object]:
    return {"domain": row.name, **directory.domain_snapshot(row), "created": row.created.isoformat()}


def _one_domain(reach: Reach, name: str) -> Domain:
    row = reach.see_domains().select_related("target").filter(name=name.lower()).first()
    if row is None:
        raise Missing
    return row


def list_domains(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return _list(domain_pages.matching(query, reach).select_related("target").order_by("name"), query, _domain)


def make_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"kind": "local", "active": True, **given}
    name = str(wanted.pop("domain"))
    domain_id = directory.create_domain(name, _domain_draft(wanted))
    return Answer(_domain(Domain.objects.select_related("target").get(pk=domain_id)), 201)


def show_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer(_domain(_one_domain(reach, name)))


def change_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    row = _one_domain(reach, name)
    directory.change_domain(row.pk, _domain_draft({**directory.domain_snapshot(row), **given}))
    return Answer(_domain(_one_domain(reach, name)))


def delete_domain(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    row = _one_domain(reach, name)
    directory.delete_domain(row.pk)
    return Answer({"deleted": row.name})


def _domain_draft(wanted: Mapping[str, Any]) -> Any:
    return _checked(DomainForm(_typed(wanted), new=False))


# --- Accounts -------------------------------------------------------------------------------------


def _account(row: Account) -> dict[str, object]:
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
    return _list(rows.order_by("address"), query, _account)


def make_account(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"state": "active", "role": "owner", **given}
    address, password = str(wanted.pop("address")), str(wanted.pop("password"))
    domain = Domain.objects.filter(name=address.rpartition("@")[2].strip().lower()).first()
    if domain is not None and not reach.covers(domain.pk):
        raise Missing
    account_id = directory.create_account(address, password, _account_draft(reach, wanted, None))
    return Answer(_account(Account.objects.get(pk=account_id)), 201)


def show_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    return Answer(_account(_one_account(reach, address)))


def change_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.change_account(row.pk, _account_draft(reach, {**directory.account_snapshot(row), **given}, row))
    return Answer(_account(_one_account(reach, address)))


def delete_account(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.delete_account(row.pk)
    return Answer({"deleted": row.address})


def set_password(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_account(reach, address, to_change=True)
    directory.set_password(row.pk, str(given["password"]))
    return Answer({"changed": row.address})


def _account_draft(reach: Reach, wanted: Mapping[str, Any], row: Account | None) -> AccountDraft:
    typed = _typed(wanted)
    names = list(wanted.get("managed_domains") or ())
    typed["managed_domains"] = list(Domain.objects.filter(name__in=names).values_list("pk", flat=True))
    if len(typed["managed_domains"]) != len(set(names)):
        raise Problem({"managed_domains": "one of these domains is not here"})
    if not reach.changes_system and (wanted["role"] != "owner" or names):
        raise Problem({"role": "only an administrator of the whole system gives roles"})
    draft: AccountDraft = _checked(AccountForm(reach, typed))
    return draft


# --- Aliases --------------------------------------------------------------------------------------


def _alias(row: Alias) -> dict[str, object]:
    return {"address": row.address, **directory.alias_snapshot(row), "created": row.created.isoformat()}


def _one_alias(reach: Reach, address: str) -> Alias:
    row = reach.see_aliases().filter(address=address.lower()).first()
    if row is None:
        raise Missing
    return row


def list_aliases(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return _list(alias_pages.matching(query, reach).order_by("address"), query, _alias)


def make_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    wanted = {"active": True, "comment": "", **given}
    address = str(wanted.pop("address"))
    domain = Domain.objects.filter(name=address.rpartition("@")[2].strip().lower()).first()
    if domain is not None and not reach.covers(domain.pk):
        raise Missing
    alias_id = directory.create_alias(address, wanted.pop("targets"), **wanted)
    return Answer(_alias(Alias.objects.get(pk=alias_id)), 201)


def show_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    return Answer(_alias(_one_alias(reach, address)))


def change_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_alias(reach, address)
    wanted: dict[str, Any] = {**directory.alias_snapshot(row), **given}
    directory.change_alias(row.pk, wanted.pop("targets"), **wanted)
    return Answer(_alias(_one_alias(reach, address)))


def delete_alias(reach: Reach, given: Mapping[str, Any], query: QueryDict, address: str) -> Answer:
    row = _one_alias(reach, address)
    directory.delete_alias(row.pk)
    return Answer({"deleted": row.address})


# --- Queue and tracking ---------------------------------------------------------------------------


def _queued(row: Queued) -> dict[str, object]:
    return {
        "queue_id": f"{row.pk:X}",
        "state": row.state,
        "sender": row.sender,
        "size": row.size,
        "received_us": row.received_us,
        "due_us": row.due_us,
        "message_id": row.message_id,
    }


def list_queue(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    return _list(queue_pages.matching(query).order_by("pk"), query, _queued)


def show_letter(reach: Reach, given: Mapping[str, Any], query: QueryDict, queue_id: str) -> Answer:
    try:
        row = Queued.objects.get(pk=files.parse_id(queue_id))
    except (ValueError, OverflowError, Queued.DoesNotExist):
        raise Missing from None
    recipients = [
        {"address": each.address, "state": each.state, "dsn": each.dsn, "relay": each.relay, "reason": each.reason}
        for each in row.recipients.order_by("pk")
    ]
    return Answer({**_queued(row), "recipients": recipients})


def act(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    ids = [int(each, 16) for each in given["ids"]]
    if any(each >= 2**63 for each in ids):
        raise Missing
    return Answer({"letters": queue_pages.do(str(given["action"]), ids)})


def track(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    q = listing.words(query)
    found = [told for each in story.find(q) if (told := visible_to(reach, each)) is not None] if q else []
    items = [
        {
            "queue_id": each.queue_id,
            "sender": each.sender,
            "recipients": list(each.recipients),
            "moments": [
                {"at_us": moment.at_us, "kind": moment.kind, "address": moment.address, "text": moment.text}
                for moment in each.moments
            ],
        }
        for each in found[-_PAGE:]
    ]
    return Answer({"items": items, "page": 1, "pages": 1, "count": len(items)})


# --- Settings and changes -------------------------------------------------------------------------


def _settings(wanted: Callable[[str], bool]) -> list[dict[str, object]]:
    known, origins = conf.specs(), conf.origins()
    return [
        {
            "name": name,
            "value": audit.HIDDEN if known[name].secret and text else text,
            "origin": origins[name],
            "default": known[name].default,
            "help": str(known[name].help),
        }
        for name, text in conf.effective().items()
        if wanted(name)
    ]


def list_settings(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    q = listing.words(query).lower()
    items = _settings(lambda name: q in name.lower())
    return Answer({"items": items, "page": 1, "pages": 1, "count": len(items)})


def show_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return Answer(_setting(name))


def _setting(name: str) -> dict[str, object]:
    found = _settings(lambda each: each == name)
    if not found:
        raise Missing
    return found[0]


def set_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return _set(name, " ".join(str(given["value"]).split()))


def reset_setting(reach: Reach, given: Mapping[str, Any], query: QueryDict, name: str) -> Answer:
    return _set(name, None)


def _set(name: str, value: str | None) -> Answer:
    if name not in conf.specs():
        raise Missing
    if conf.origin(name) == "environment":
        raise Problem({"value": "the environment sets this"})
    try:
        parameters.change({name: value})
    except ValueError as error:
        raise Problem({"value": str(error)}) from error
    return Answer(_setting(name))


def _change(row: Change) -> dict[str, object]:
    return {
        "at_us": row.at_us,
        "by": row.by,
        "place": row.place,
        "action": row.action,
        "subject": row.subject,
        "difference": row.difference,
    }


def list_changes(reach: Reach, given: Mapping[str, Any], query: QueryDict) -> Answer:
    rows = reach.see_changes()
    if q := listing.words(query):
        rows = rows.filter(subject__icontains=q)
    return _list(rows.order_by("-at_us", "-pk"), query, _change)


# --- Forms ----------------------------------------------------------------------------------------


def _typed(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's values as the screens' forms take them."""
    return {name: _as_typed(name, value) for name, value in wanted.items()}


def _as_typed(name: str, value: object) -> object:
    if value is None or value is False:
        return ""
    if value is True:
        return "on"
    if isinstance(value, int):
        return f"{value} B" if name.endswith("_bytes") and value else str(value)
    return value.isoformat() if isinstance(value, date) else value


def _checked(form: Any) -> Any:
    if not form.is_valid():
        raise Problem({name: " ".join(map(str, errors)) for name, errors in form.errors.items()})
    return form.draft()


# --- The table ------------------------------------------------------------------------------------

_Q = {"q": "what to look for", "page": "which page, from 1"}
_ADDRESS = {"address": {"type": "string", "maxLength": 320}}
_NAME = {"domain": {"type": "string", "maxLength": 255}}

OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "domains", "List domains", _sees, list_domains, query=_Q),
    Operation("POST", "domains", "Make a domain", _changes_system, make_domain,
              body({**_NAME, **shapes.DOMAIN}, "domain"), creates=True),
    Operation("GET", "domains/{name}", "One domain", _sees, show_domain),
    Operation("PATCH", "domains/{name}", "Change a domain", _changes_system, change_domain, body(shapes.DOMAIN)),
    Operation("DELETE", "domains/{name}", "Delete a domain with its accounts, their mail and its aliases",
              _changes_system, delete_domain),
    Operation("GET", "accounts", "List accounts", _sees, list_accounts,
              query={**_Q, "domain": "of this domain", "state": "in this state", "role": "of this role"}),
    Operation("POST", "accounts", "Make an account", _changes, make_account,
              body({**_ADDRESS, **shapes.PASSWORD, **shapes.ACCOUNT}, "address", "password"), creates=True),
    Operation("GET", "accounts/{address}", "One account", _sees, show_account),
    Operation("PATCH", "accounts/{address}", "Change an account", _changes, change_account, body(shapes.ACCOUNT)),
    Operation("DELETE", "accounts/{address}", "Delete an account with all its mail", _changes, delete_account),
    Operation("PUT", "accounts/{address}/password", "Set an account's password", _changes, set_password,
              body(shapes.PASSWORD, "password")),
    Operation("GET", "aliases", "List aliases", _sees, list_aliases, query=_Q),
    Operation("POST", "aliases", "Make an alias", _changes, make_alias,
              body({**_ADDRESS, **shapes.ALIAS}, "address", "targets"), creates=True),
    Operation("GET", "aliases/{address}", "One alias", _sees, show_alias),
    Operation("PATCH", "aliases/{address}", "Change an alias", _changes, change_alias, body(shapes.ALIAS)),
    Operation("DELETE", "aliases/{address}", "Delete an alias", _changes, delete_alias),
    Operation("GET", "queue", "List letters that wait", _sees_system, list_queue,
              query={**_Q, "state": "in this state"}),
    Operation("POST", "queue/actions", "Do something with letters", _changes_system, act,
              body(shapes.ACTION, "action", "ids")),
    Operation("GET", "queue/{queue_id}", "One letter with its recipients", _sees_system, show_letter),
    Operation("GET", "tracking", "Where a letter is: by address, Message-ID or queue id", _sees, track,
              query={"q": "what to look for"}),
    Operation("GET", "settings", "List parameters", _sees_system, list_settings, query={"q": "part of the name"}),
    Operation("GET", "settings/{name}", "One parameter", _sees_system, show_setting),
    Operation("PUT", "settings/{name}", "Set a parameter", _changes_system, set_setting, body(shapes.VALUE, "value")),
    Operation("DELETE", "settings/{name}", "Back to the default", _changes_system, reset_setting),
    Operation("GET", "changes", "Who changed what", _sees, list_changes, query=_Q),
)  # fmt: skip
