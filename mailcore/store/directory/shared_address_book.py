"""The shared address book: the other accounts of one's own domain."""

from collections.abc import Sequence

from django.db.models import Q

from mailcore import conf
from mailcore.models import Account

_REACHABLE_STATES = (Account.State.ACTIVE, Account.State.RECEIVE_ONLY, Account.State.NO_LOGIN, Account.State.HOLD)


def find_colleagues(address: str, words: str, addresses: Sequence[str] | None, at_most: int) -> list[tuple[str, str]]:
    """Return (name, address) of accounts in `address`'s domain that can receive mail, except itself, by name.

    Only those that contain `words`, or are among `addresses`. The result is empty if the parameter
    `webmail_shared_address_book` is off.
    """
    if not conf.current().webmail_shared_address_book:
        return []
    rows = Account.objects.filter(
        domain__name=address.rpartition("@")[2], domain__active=True, state__in=_REACHABLE_STATES
    )
    if words:
        rows = rows.filter(Q(name__icontains=words) | Q(address__icontains=words))
    if addresses is not None:
        rows = rows.filter(address__in=addresses)
    return list(rows.exclude(address=address).order_by("name", "address").values_list("name", "address")[:at_most])
