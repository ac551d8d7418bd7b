"""Quotas: the limits of an account are its own, else its domain's, else the parameter's.

`lock_allowances` is used by everything that adds messages, inside its transaction; `check_room` gives the reply at RCPT
time, before there is a message. A limit of 0 means no limit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import Account, Domain, Mailbox
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.values import Reply

_FIELDS = (
    "id",
    "used_bytes",
    "used_messages",
    "quota_bytes",
    "quota_messages",
    "domain__account_quota_bytes",
    "domain__account_quota_messages",
    "domain_id",
    "domain__total_quota_bytes",
    "quota_warned",
)


@dataclass(slots=True)
class DomainAllowance:
    """The usage of a domain with a quota of its own.

    It is read, not locked: concurrent writers may together exceed the limit once; further messages are then refused.
    """

    used_bytes: int
    limit_bytes: int


@dataclass(slots=True)
class QuotaAllowance:
    """The usage and limits of one account, and what the running transaction adds."""

    account_id: int
    used_bytes: int
    used_messages: int
    limit_bytes: int
    limit_messages: int
    domain: DomainAllowance | None = None
    warned: int = 0  # the level of quota_warning_levels that its owner was last notified of
    added_bytes: int = 0
    added_messages: int = 0

    def find_refusal(self, size: int, messages: int = 1) -> Reply | None:
        """Return the refusal of messages that do not fit, or None; `size` is the bytes of all of them together.

        A message that could never fit gets a permanent reply (5.2.2), as does every one if virtual_overquota_bounce is
        set; otherwise the reply is temporary (4.2.2).
        """
        bytes_after = self.used_bytes + self.added_bytes + size
        messages_after = self.used_messages + self.added_messages + messages
        if self.limit_bytes and bytes_after > self.limit_bytes:
            is_permanent = size > self.limit_bytes
        elif self.limit_messages and messages_after > self.limit_messages:
            is_permanent = False
        elif self.domain is not None and self.domain.used_bytes + size > self.domain.limit_bytes:
            is_permanent = size > self.domain.limit_bytes
        else:
            return None
        if is_permanent or conf.current().virtual_overquota_bounce:
            return Reply(552, "5.2.2", "Mailbox is full")
        return Reply(452, "4.2.2", "Mailbox is full")

    def consume(self, size: int) -> Reply | None:
        """Add a message of `size` bytes to the usage, or return the refusal."""
        refusal = self.find_refusal(size)
        if refusal is None:
            self.add_usage(size)
        return refusal

    def add_usage(self, size: int) -> None:
        """Add a message of `size` bytes to the usage, even beyond the limit."""
        self.added_bytes += size
        self.added_messages += 1
        if self.domain is not None:
            self.domain.used_bytes += size


def effective_limit(own: int | None, domain: int | None) -> int:
    """Return the limit in bytes: the account's, else its domain's, else the parameter's; 0 means none."""
    limit = own if own is not None else domain
    return conf.current().virtual_mailbox_limit if limit is None else limit


def has_limit(
    own_bytes: int | None,
    own_messages: int | None,
    domain_bytes: int | None,
    domain_messages: int | None,
    total: int | None,
) -> bool:
    """Return True if any limit applies to an account with these quotas of its own and of its domain."""
    messages = own_messages if own_messages is not None else domain_messages
    return bool(effective_limit(own_bytes, domain_bytes) or messages or total)


def _build_allowances(rows: Iterable[tuple[Any, ...]]) -> dict[int, QuotaAllowance]:
    """Build allowances from rows of _FIELDS."""
    allowances: dict[int, QuotaAllowance] = {}
    domains: dict[int, DomainAllowance] = {}
    for row in rows:
        account_id, used_bytes, used_messages, own_bytes, own_messages, domain_bytes, domain_messages = row[:7]
        domain_id, domain_total, warned = row[7:]
        if domain_total and domain_id not in domains:
            [(used,)] = _domain_usage.rows(domain_id)
            domains[domain_id] = DomainAllowance(used, domain_total)
        allowances[account_id] = QuotaAllowance(
            account_id,
            used_bytes,
            used_messages,
            effective_limit(own_bytes, domain_bytes),
            (own_messages if own_messages is not None else domain_messages) or 0,
            domains.get(domain_id),
            warned,
        )
    return allowances


_domain_usage = CompiledQuery(
    lambda domain_id: (
        Account.objects.filter(domain=domain_id)
        .order_by()
        .values_list("domain")
        .annotate(byte_count=Sum("used_bytes"))
        .values_list("byte_count")
    ),
    int,
)
# The accounts are locked without their domains, which all concurrent deliveries to a domain share.
_lock_query = CompiledQuery(
    lambda ids: (
        Account.objects.select_for_update()
        .filter(id__in=ids)
        .order_by("id")
        .values_list("id", "used_bytes", "used_messages", "quota_bytes", "quota_messages", "quota_warned", "domain_id")
    ),
    (int,),
)
_domain_limits = CompiledQuery(
    lambda ids: Domain.objects.filter(id__in=ids).values_list(
        "id", "account_quota_bytes", "account_quota_messages", "total_quota_bytes"
    ),
    (int,),
)


def lock_allowances(account_ids: Iterable[int]) -> dict[int, QuotaAllowance]:
    """Lock the rows of these accounts until the transaction ends, and return their allowances."""
    ids = list(set(account_ids))
    if not ids:
        return {}
    rows = _lock_query.rows(ids)
    if not rows:
        return {}
    limits = {domain: own for domain, *own in _domain_limits.rows(list({row[-1] for row in rows}))}
    return _build_allowances((*row[:5], *limits[row[-1]][:2], row[-1], limits[row[-1]][2], row[5]) for row in rows)


_allowance_query = CompiledQuery(lambda account_id: Account.objects.filter(id=account_id).values_list(*_FIELDS), int)


def read_allowance(account_id: int) -> QuotaAllowance | None:
    """Return one account's allowance, not locked, or None if there is no such account."""
    return _build_allowances(_allowance_query.rows(account_id)).get(account_id)


def check_room(account_id: int, size: int) -> Reply | None:
    """Return the refusal at RCPT time for a message with SIZE=`size` (0 if not given), or None.

    An account with ample free space is not checked again for a second; the check that counts is made when the message
    is inserted.
    """
    now = monotonic()
    if size < _AMPLE_SIZE and _ample_until.get(account_id, 0.0) > now:
        return None
    allowance = read_allowance(account_id)
    if allowance is None:
        return None
    if allowance.find_refusal(_AMPLE_COUNT * _AMPLE_SIZE, _AMPLE_COUNT) is None:
        if len(_ample_until) >= _CACHE_LIMIT:
            _ample_until.clear()
        _ample_until[account_id] = now + _RECHECK_AFTER
    return allowance.find_refusal(max(size, 1))


_AMPLE_SIZE = 1 << 20  # bytes; larger messages are always checked
_AMPLE_COUNT = 100  # ample space is enough for so many messages of that size
_RECHECK_AFTER = 1.0  # seconds
_CACHE_LIMIT = 20_000  # accounts
_ample_until: dict[int, float] = {}  # account → time until which it need not be checked
caches.register(caches.Source.DATABASE, _ample_until.clear)


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage and limits of one account, in bytes and messages; a limit of 0 means none."""

    account_id: int
    address: str
    used_bytes: int
    limit_bytes: int
    used_messages: int
    limit_messages: int

    @property
    def percent(self) -> int:
        """Return the usage in percent of the limit that is nearer."""
        return max(
            self.used_bytes * 100 // self.limit_bytes if self.limit_bytes else 0,
            self.used_messages * 100 // self.limit_messages if self.limit_messages else 0,
        )


def list_usage(addresses: Iterable[str] = ()) -> Iterator[Usage]:
    """Yield the usage of every account, or of the accounts with these addresses, by address."""
    rows = Account.objects.order_by("address")
    selected = [address.lower() for address in addresses]
    if selected:
        rows = rows.filter(address__in=selected)
    for row in rows.values_list("address", *_FIELDS).iterator(chunk_size=1000):
        address, id_, used_bytes, used_messages, own_bytes, own_messages, domain_bytes, domain_messages, *_ = row
        messages = (own_messages if own_messages is not None else domain_messages) or 0
        yield Usage(id_, address, used_bytes, effective_limit(own_bytes, domain_bytes), used_messages, messages)


@dataclass(frozen=True, slots=True)
class QuotaCrossing:
    """An account that has just used more than `level` percent of its limit."""

    account_id: int
    address: str
    language: str
    level: int
    percent: int
    used_bytes: int
    limit_bytes: int


def find_crossings(allowances: Iterable[QuotaAllowance]) -> list[QuotaCrossing]:
    """Return the accounts that cross one of quota_warning_levels by what the running transaction adds.

    An account is returned once per crossing, and again after its usage fell below the level. Call inside that
    transaction, which has locked the accounts' rows.
    """
    levels = sorted(conf.current().quota_warning_levels)
    crossings = []
    for allowance in allowances if levels else ():
        before = _crossed_level(levels, _percent_used(allowance, allowance.used_bytes, allowance.used_messages))
        used_bytes, used_messages = (
            allowance.used_bytes + allowance.added_bytes,
            allowance.used_messages + allowance.added_messages,
        )
        percent = _percent_used(allowance, used_bytes, used_messages)
        now = _crossed_level(levels, percent)
        if now != allowance.warned:
            Account.objects.filter(id=allowance.account_id).update(quota_warned=now)
        if now > min(allowance.warned, before):
            account = Account.objects.only("address", "language").get(id=allowance.account_id)
            limit = allowance.limit_bytes
            crossings.append(
                QuotaCrossing(allowance.account_id, account.address, account.language, now, percent, used_bytes, limit)
            )
    return crossings


def _percent_used(allowance: QuotaAllowance, used_bytes: int, used_messages: int) -> int:
    """Return the usage in percent of the limit that is nearer."""
    return max(
        used_bytes * 100 // allowance.limit_bytes if allowance.limit_bytes else 0,
        used_messages * 100 // allowance.limit_messages if allowance.limit_messages else 0,
    )


def _crossed_level(levels: Sequence[int], percent: int) -> int:
    return max((level for level in levels if level <= percent), default=0)


def recount_usage(account_id: int) -> tuple[int, int]:
    """Count the messages in an account's mailboxes and store the result; return (bytes, messages)."""
    with transaction.atomic():
        # Concurrent changes hold this row's lock, or wait for it and then add to the result.
        Account.objects.select_for_update().filter(id=account_id).first()
        total = Mailbox.objects.filter(account_id=account_id).aggregate(
            byte_count=Coalesce(Sum("size"), 0), count=Coalesce(Sum("messages"), 0)
        )
        Account.objects.filter(id=account_id).update(used_bytes=total["byte_count"], used_messages=total["count"])
    return total["byte_count"], total["count"]
