"""How much an account may keep: its own limit, else its domain's, else the parameter.

`lock` and its purses are used by whatever adds messages, inside its transaction; `room_for` is the
answer at RCPT time, before there is a letter. 0 as a limit means no limit.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from mailcore import conf
from mailcore.models import Account, Mailbox
from mailcore.store.prepared import Prepared
from mailcore.terms import Reply

_FIELDS = (
    "id",
    "used_bytes",
    "used_messages",
    "quota_bytes",
    "quota_messages",
    "domain__account_quota_bytes",
    "domain__account_quota_messages",
)


@dataclass(slots=True)
class Purse:
    """What one account has used and may use, and what the running transaction adds."""

    account_id: int
    used_bytes: int
    used_messages: int
    limit_bytes: int
    limit_messages: int
    added_bytes: int = 0
    added_messages: int = 0

    def refuses(self, size: int) -> Reply | None:
        """Why a message of `size` octets does not fit; None if it does.

        A message that could never fit is refused for good (5.2.2), as every one is where
        virtual_overquota_bounce says so; otherwise it waits for room (4.2.2).
        """
        bytes_after = self.used_bytes + self.added_bytes + size
        messages_after = self.used_messages + self.added_messages + 1
        if self.limit_bytes and bytes_after > self.limit_bytes:
            never = size > self.limit_bytes
        elif self.limit_messages and messages_after > self.limit_messages:
            never = False
        else:
            return None
        if never or conf.current().virtual_overquota_bounce:
            return Reply(552, "5.2.2", "Mailbox is full")
        return Reply(452, "4.2.2", "Mailbox is full")

    def take(self, size: int) -> Reply | None:
        """Count a message of `size` octets in, or say why not."""
        refusal = self.refuses(size)
        if refusal is None:
            self.added_bytes += size
            self.added_messages += 1
        return refusal


def _purse(row: tuple[int, int, int, int | None, int | None, int | None, int | None]) -> Purse:
    account_id, used_bytes, used_messages, own_bytes, own_messages, domain_bytes, domain_messages = row
    limit_bytes = own_bytes if own_bytes is not None else domain_bytes
    limit_messages = own_messages if own_messages is not None else domain_messages
    return Purse(
        account_id,
        used_bytes,
        used_messages,
        conf.current().virtual_mailbox_limit if limit_bytes is None else limit_bytes,
        limit_messages or 0,
    )


_lock = Prepared(
    lambda ids: Account.objects.select_for_update(of=("self",))
    .filter(id__in=ids)
    .order_by("id")
    .values_list(*_FIELDS),
    (int,),
)


def lock(account_ids: Iterable[int]) -> dict[int, Purse]:
    """The purses of these accounts, their rows locked until the transaction ends."""
    ids = list(set(account_ids))
    return {row[0]: _purse(row) for row in _lock.rows(ids)} if ids else {}  # type: ignore[arg-type]


_look = Prepared(lambda account_id: Account.objects.filter(id=account_id).values_list(*_FIELDS), int)


def look(account_id: int) -> Purse | None:
    """One account's purse, unlocked; None where there is no such account."""
    row = _look.row(account_id)
    return _purse(row) if row else None  # type: ignore[arg-type]


def room_for(account_id: int, size: int) -> Reply | None:
    """The refusal at RCPT for a message that says it has `size` octets (0: it did not say)."""
    purse = look(account_id)
    return purse.refuses(size) if purse else None


def recount(account_id: int) -> tuple[int, int]:
    """Count an account's mailboxes anew; returns (octets, messages) as they are now."""
    total = Mailbox.objects.filter(account_id=account_id).aggregate(
        octets=Coalesce(Sum("size"), 0), count=Coalesce(Sum("messages"), 0), boxes=Count("id")
    )
    Account.objects.filter(id=account_id).update(used_bytes=total["octets"], used_messages=total["count"])
    return total["octets"], total["count"]
