"""How much an account may keep: its own limit, else its domain's, else the parameter.

`lock` and its purses are used by whatever adds messages, inside its transaction; `room_for` is the
answer at RCPT time, before there is a message. 0 as a limit means no limit.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Coalesce

from mailcore import conf
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
    """What a domain with a quota of its own has used. Read, not locked: writers at the same moment may go
    over it by what they are writing, and then nobody writes until there is room."""

    used_bytes: int
    limit_bytes: int


@dataclass(slots=True)
class QuotaAllowance:
    """What one account has used and may use, and what the running transaction adds."""

    account_id: int
    used_bytes: int
    used_messages: int
    limit_bytes: int
    limit_messages: int
    domain: DomainAllowance | None = None
    warned: int = 0  # the level of quota_warning_levels its owner has been told of
    added_bytes: int = 0
    added_messages: int = 0

    def find_refusal(self, size: int, messages: int = 1) -> Reply | None:
        """Why a message of `size` bytes, or so many of that size together, do not fit; None if they do.

        A message that could never fit is refused for good (5.2.2), as every one is where
        virtual_overquota_bounce says so; otherwise it waits for room (4.2.2).
        """
        bytes_after = self.used_bytes + self.added_bytes + size
        messages_after = self.used_messages + self.added_messages + messages
        if self.limit_bytes and bytes_after > self.limit_bytes:
            never = size > self.limit_bytes
        elif self.limit_messages and messages_after > self.limit_messages:
            never = False
        elif self.domain is not None and self.domain.used_bytes + size > self.domain.limit_bytes:
            never = size > self.domain.limit_bytes
        else:
            return None
        if never or conf.current().virtual_overquota_bounce:
            return Reply(552, "5.2.2", "Mailbox is full")
        return Reply(452, "4.2.2", "Mailbox is full")

    def consume(self, size: int) -> Reply | None:
        """Count a message of `size` bytes in, or say why not."""
        refusal = self.find_refusal(size)
        if refusal is None:
            self.add_usage(size)
        return refusal

    def add_usage(self, size: int) -> None:
        """Count a message of `size` bytes in, whether there is room or not."""
        self.added_bytes += size
        self.added_messages += 1
        if self.domain is not None:
            self.domain.used_bytes += size


def effective_limit(own: int | None, domain: int | None) -> int:
    """The bytes that count: the account's, else its domain's, else the parameter's; 0: no limit."""
    limit = own if own is not None else domain
    return conf.current().virtual_mailbox_limit if limit is None else limit


def has_limit(
    own_bytes: int | None,
    own_messages: int | None,
    domain_bytes: int | None,
    domain_messages: int | None,
    total: int | None,
) -> bool:
    """Is there any limit for an account with these quotas of its own and of its domain's?"""
    messages = own_messages if own_messages is not None else domain_messages
    return bool(effective_limit(own_bytes, domain_bytes) or messages or total)


def _build_allowances(rows: Iterable[tuple[Any, ...]]) -> dict[int, QuotaAllowance]:
    """Rows of _FIELDS."""
    purses: dict[int, QuotaAllowance] = {}
    domains: dict[int, DomainAllowance] = {}
    for row in rows:
        account_id, used_bytes, used_messages, own_bytes, own_messages, domain_bytes, domain_messages = row[:7]
        domain_id, domain_total, warned = row[7:]
        if domain_total and domain_id not in domains:
            [(used,)] = _domain_usage.rows(domain_id)
            domains[domain_id] = DomainAllowance(used, domain_total)
        purses[account_id] = QuotaAllowance(
            account_id,
            used_bytes,
            used_messages,
            effective_limit(own_bytes, domain_bytes),
            (own_messages if own_messages is not None else domain_messages) or 0,
            domains.get(domain_id),
            warned,
        )
    return purses


_domain_usage = CompiledQuery(
    lambda domain_id: (
        Account.objects.filter(domain=domain_id)
        .order_by()
        .values_list("domain")
        .annotate(octets=Sum("used_bytes"))
        .values_list("octets")
    ),
    int,
)
# The rows are locked without their domains: a domain is shared by all who receive at this moment.
_lock = CompiledQuery(
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
    """The purses of these accounts, their rows locked until the transaction ends."""
    ids = list(set(account_ids))
    if not ids:
        return {}
    rows = _lock.rows(ids)
    if not rows:
        return {}
    limits = {domain: own for domain, *own in _domain_limits.rows(list({row[-1] for row in rows}))}
    return _build_allowances((*row[:5], *limits[row[-1]][:2], row[-1], limits[row[-1]][2], row[5]) for row in rows)


_allowance_query = CompiledQuery(lambda account_id: Account.objects.filter(id=account_id).values_list(*_FIELDS), int)


def read_allowance(account_id: int) -> QuotaAllowance | None:
    """One account's purse, unlocked; None where there is no such account."""
    return _build_allowances(_allowance_query.rows(account_id)).get(account_id)


def check_room(account_id: int, size: int) -> Reply | None:
    """The refusal at RCPT for a message that says it has `size` bytes (0: it did not say). Who has plenty of room
    is not asked again for a second: what counts is asked when the message is entered."""
    now = monotonic()
    if size < _PLENTY and _plenty_of_room.get(account_id, 0.0) > now:
        return None
    purse = read_allowance(account_id)
    if purse is None:
        return None
    if purse.find_refusal(_MANY * _PLENTY, _MANY) is None:
        if len(_plenty_of_room) >= _REMEMBERED:
            _plenty_of_room.clear()
        _plenty_of_room[account_id] = now + _ASK_AGAIN
    return purse.find_refusal(max(size, 1))


def clear_cache() -> None:
    """Quotas may have changed: ask again."""
    _plenty_of_room.clear()


_PLENTY = 1 << 20  # bytes; messages larger than this are always asked for
_MANY = 100  # times that much, and so many messages, have room: plenty
_ASK_AGAIN = 1.0  # seconds
_REMEMBERED = 20_000  # accounts
_plenty_of_room: dict[int, float] = {}  # account → until when it need not be asked


@dataclass(frozen=True, slots=True)
class Usage:
    """What one account uses of what it may; bytes, 0 as a limit: none."""

    account_id: int
    address: str
    used_bytes: int
    limit_bytes: int
    used_messages: int
    limit_messages: int

    @property
    def percent(self) -> int:
        """Of the limit that is nearer."""
        return max(
            self.used_bytes * 100 // self.limit_bytes if self.limit_bytes else 0,
            self.used_messages * 100 // self.limit_messages if self.limit_messages else 0,
        )


def list_usage(addresses: Iterable[str] = ()) -> Iterator[Usage]:
    """Every account's usage, or these accounts', by address."""
    rows = Account.objects.order_by("address")
    wanted = [address.lower() for address in addresses]
    if wanted:
        rows = rows.filter(address__in=wanted)
    for row in rows.values_list("address", *_FIELDS).iterator(chunk_size=1000):
        address, id_, used_bytes, used_messages, own_bytes, own_messages, domain_bytes, domain_messages, *_ = row
        messages = (own_messages if own_messages is not None else domain_messages) or 0
        yield Usage(id_, address, used_bytes, effective_limit(own_bytes, domain_bytes), used_messages, messages)


@dataclass(frozen=True, slots=True)
class QuotaCrossing:
    """An account that has just used more than `level` percent of what it may."""

    account_id: int
    address: str
    language: str
    level: int
    percent: int
    used_bytes: int
    limit_bytes: int


def find_crossings(purses: Iterable[QuotaAllowance]) -> list[QuotaCrossing]:
    """The accounts that cross one of quota_warning_levels by what the running transaction adds. Told once per
    crossing: who falls below and comes back is told again. Call in that transaction, which has the accounts' rows."""
    levels = sorted(conf.current().quota_warning_levels)
    found = []
    for purse in purses if levels else ():
        before = _crossed_level(levels, _percent_used(purse, purse.used_bytes, purse.used_messages))
        used_bytes, used_messages = purse.used_bytes + purse.added_bytes, purse.used_messages + purse.added_messages
        percent = _percent_used(purse, used_bytes, used_messages)
        now = _crossed_level(levels, percent)
        if now != purse.warned:
            Account.objects.filter(id=purse.account_id).update(quota_warned=now)
        if now > min(purse.warned, before):
            account = Account.objects.only("address", "language").get(id=purse.account_id)
            limit = purse.limit_bytes
            found.append(
                QuotaCrossing(purse.account_id, account.address, account.language, now, percent, used_bytes, limit)
            )
    return found


def _percent_used(purse: QuotaAllowance, used_bytes: int, used_messages: int) -> int:
    """How full the account is, by the limit that is nearer."""
    return max(
        used_bytes * 100 // purse.limit_bytes if purse.limit_bytes else 0,
        used_messages * 100 // purse.limit_messages if purse.limit_messages else 0,
    )


def _crossed_level(levels: Sequence[int], percent: int) -> int:
    return max((level for level in levels if level <= percent), default=0)


def recount_usage(account_id: int) -> tuple[int, int]:
    """Count an account's mailboxes anew; returns (bytes, messages) as they are now."""
    with transaction.atomic():
        # Whoever adds or removes messages at this moment has this row, or waits for it and adds to the result.
        Account.objects.select_for_update().filter(id=account_id).first()
        total = Mailbox.objects.filter(account_id=account_id).aggregate(
            octets=Coalesce(Sum("size"), 0), count=Coalesce(Sum("messages"), 0)
        )
        Account.objects.filter(id=account_id).update(used_bytes=total["octets"], used_messages=total["count"])
    return total["octets"], total["count"]
