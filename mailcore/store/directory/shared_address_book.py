"""Who else has an account in one's own domain: the address book that everybody there shares."""

from collections.abc import Sequence

from django.db.models import Q

from mailcore import conf
from mailcore.models import Account

_AT_HOME = (Account.State.ACTIVE, Account.State.RECEIVE_ONLY, Account.State.NO_LOGIN, Account.State.HOLD)


def find_colleagues(address: str, words: str, addresses: Sequence[str] | None, at_most: int) -> list[tuple[str, str]]:
    """(name, address) of those in `address`'s domain who can be written to, without itself, by name; those that hold
    `words`, or of these `addresses` only. Nobody where the parameter `webmail_shared_address_book` says no."""
    if not conf.current().webmail_shared_address_book:
        return []
    rows = Account.objects.filter(domain__name=address.rpartition("@")[2], domain__active=True, state__in=_AT_HOME)
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(address__icontains=words))
    if addresses is not None:
        rows = rows.filter(address__in=addresses)
    return list(rows.exclude(address=address).order_by("name", "address").values_list("name", "address")[:at_most])
