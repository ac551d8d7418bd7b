"""Cached lookups of domains, accounts and aliases, for routing and log-in.

Called by `mta` (policy, routing) for every recipient of every message, and by log-in. A lookup is one query; its
result, also a negative one, is cached in this process for directory_cache_time seconds. So a change made by another
process takes effect after that at the latest, and at once in processes that clear their caches when they are notified
that settings changed. A process's own changes clear the cache themselves.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from threading import Lock
from time import monotonic
from typing import Generic, TypeVar

from django.db.models import OuterRef, Subquery
from django.utils import timezone

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Account, Alias, Domain, Mailbox
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.mailbox import quota_limits

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DomainEntry:
    """An active domain; `target` is the domain an alias domain stands for."""

    id: int
    name: str
    kind: str  # "local", "alias" or "relay"
    target: str = ""
    catch_all: str = ""


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """An account in any state; `domain_active` is False if its domain is off."""

    id: int
    address: str
    state: str  # Account.State
    expires: date | None
    domain_active: bool
    filtered: bool = False  # messages to it pass through a Sieve script
    limited: bool = True  # it, or its domain, has a quota
    inbox_id: int = 0  # id of its INBOX; 0 if it has none yet

    @property
    def open(self) -> bool:
        """Return True if the account is neither off nor expired."""
        expired = self.expires is not None and self.expires < timezone.localdate()
        return self.state != Account.State.OFF and self.domain_active and not expired

    @property
    def can_receive(self) -> bool:
        return self.open and self.state != Account.State.SEND_ONLY

    @property
    def can_send(self) -> bool:
        return self.open and self.state != Account.State.RECEIVE_ONLY

    @property
    def held(self) -> bool:
        """Return True if mail for it waits in the queue until the administrator releases it."""
        return self.state == Account.State.HOLD


@dataclass(frozen=True, slots=True)
class AliasEntry:
    """An active alias.

    `targets` are in order, at least one; `special` has the kinds of those that are no addresses.
    """

    address: str
    targets: tuple[str, ...]
    special: Mapping[str, str] = field(default_factory=dict)


class _TimedCache(Generic[T]):
    """A cache of one kind of lookup; entries live directory_cache_time seconds."""

    LIMIT = 20_000

    def __init__(self, query: Callable[[str], T]) -> None:
        self._query = query
        self._entries: dict[str, tuple[float, T]] = {}
        self._generation = 0
        self._lock = Lock()

    def get(self, key: str) -> T:
        cached = self._entries.get(key)
        now = monotonic()
        if cached is not None and cached[0] > now:
            return cached[1]
        generation = self._generation
        value = self._query(key)
        with self._lock:
            # A result from before `clear` must not be stored after it.
            if generation == self._generation:
                if len(self._entries) >= self.LIMIT:
                    self._entries.clear()
                self._entries[key] = (now + conf.current().directory_cache_time, value)
        return value

    def clear(self) -> None:
        with self._lock:
            self._generation += 1
            self._entries.clear()


_account_rows = CompiledQuery(
    lambda address: Account.objects.filter(address=address).values_list(
        *("id", "address", "state", "expires", "domain__active", "active_script_id", "quota_bytes", "quota_messages"),
        *("domain__account_quota_bytes", "domain__account_quota_messages", "domain__total_quota_bytes"),
        Subquery(Mailbox.objects.filter(account_id=OuterRef("id"), name="INBOX").values("id")),
    ),
    str,
)
_alias_rows = CompiledQuery(
    lambda address: Alias.objects.filter(address=address, active=True).values_list("address", "targets", "special"), str
)
_domain_rows = CompiledQuery(
    lambda name: Domain.objects.filter(name=name, active=True).values_list(
        "id", "name", "kind", "target__name", "catch_all"
    ),
    str,
)


def _query_account(address: str) -> AccountEntry | None:
    row = _account_rows.row(address)
    if row is None:
        return None
    id_, stored_address, state, expires, domain_active, script, *quotas, inbox_id = row
    # Compiled queries return the driver's values: SQLite has no dates and no booleans.
    day = date.fromisoformat(expires) if isinstance(expires, str) else expires
    limited = quota_limits.has_limit(*quotas)
    return AccountEntry(
        id_, stored_address, state, day, bool(domain_active), script is not None, limited, inbox_id or 0
    )


def _query_alias(address: str) -> AliasEntry | None:
    row = _alias_rows.row(address)
    if row is None:
        return None
    targets, special = (json.loads(each) if isinstance(each, str | bytes) else each for each in row[1:])
    return AliasEntry(row[0], tuple(targets), special)


def _query_domain(name: str) -> DomainEntry | None:
    row = _domain_rows.row(name)
    return DomainEntry(row[0], row[1], row[2], row[3] or "", row[4]) if row else None


def _query_home(_: str) -> str:
    names = Domain.objects.filter(kind=Domain.Kind.LOCAL).order_by("name").values_list("name", flat=True)[:2]
    only = list(names)
    return only[0] if len(only) == 1 else ""


def _query_administrators(domain: str) -> tuple[str, ...]:
    """Return the addresses that a role of a domain stands for: its administrators', else the system's."""
    role = Account.Role
    candidates = (
        Account.objects.filter(role=role.DOMAIN, managed_domains__name=domain),
        Account.objects.filter(role=role.ADMINISTRATOR),
    )
    for accounts in candidates:
        found = [_query_account(address) for address in accounts.order_by("address").values_list("address", flat=True)]
        if receiving := tuple(entry.address for entry in found if entry is not None and entry.can_receive):
            return receiving
    return ()


_accounts = _TimedCache(_query_account)
_aliases = _TimedCache(_query_alias)
_domains = _TimedCache(_query_domain)
_home = _TimedCache(_query_home)
_administrators = _TimedCache(_query_administrators)


def find_account(address: str) -> AccountEntry | None:
    """Return the account with exactly this address (any case), in any state."""
    return _accounts.get(address.lower())


def find_alias(address: str) -> AliasEntry | None:
    """Return the active alias with exactly this address (any case)."""
    return _aliases.get(address.lower())


def find_domain(name: str) -> DomainEntry | None:
    """Return the active domain of this name (any case, A-labels)."""
    return _domains.get(name.lower())


def administrators_of(domain: str) -> tuple[str, ...]:
    """Return the addresses of a domain's administrators who receive mail, else of the system's."""
    return _administrators.get(domain.lower())


def home_domain() -> str:
    """Return the domain of names without one: the only local domain, else mydomain."""
    return _home.get("") or conf.current().mydomain


for _cache in (_accounts, _aliases, _domains, _home, _administrators):
    caches.register(caches.Source.DATABASE, _cache.clear)
