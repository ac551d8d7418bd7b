"""The audit log: one row for each change of the directory, the settings and the queue, in the change's transaction.

`acting_as` sets the author: the screens and the API wrap every request in it, the administrator's programs every run.
The functions that write (`directory`, `parameter_changes`, `lookup_tables`, `issued_passwords`) call `record_change`
themselves, so that no caller can change something without a row. Rows are only ever added, and secrets never appear in
them.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import time

from django.core.cache import cache

from mailcore.models import Account, Change

_MICRO = 1_000_000
HIDDEN = "••••••"  # shown in place of a secret, before and after


@dataclass(frozen=True, slots=True)
class Author:
    """The account or program that a change is attributed to."""

    name: str  # address of an account, or name of a program
    place: str = ""  # IP address of the client; "" for a program on this machine


_NOBODY = Author("youju")  # a process of this system that acts without a person
_author: ContextVar[Author] = ContextVar("author", default=_NOBODY)


@contextmanager
def acting_as(name: str, place: str = "") -> Iterator[None]:
    """Attribute every change made inside the block to this author."""
    token = _author.set(Author(name[:320], place[:64]))
    try:
        yield
    finally:
        _author.reset(token)


def current_author() -> Author:
    """Return the author that changes are attributed to now."""
    return _author.get()


def record_change(
    action: str,
    subject: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    *,
    domain: str = "",
) -> None:
    """Record a change within the caller's transaction.

    `before` and `after` hold all values, as JSON types; only those that differ are stored. If both are given and are
    equal, no row is written. Administrators of `domain` may read the row; "" means the domain of `subject`, if that is
    an address.
    """
    if before is not None and after is not None and before == after:
        return
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    old, new = before or {}, after or {}
    difference = {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}
    author = current_author()
    Change.objects.create(
        at_us=int(time() * _MICRO),
        by=author.name,
        place=author.place,
        action=action,
        subject=subject[:320],
        domain=(domain or subject.rpartition("@")[2] if "@" in subject else domain)[:255],
        difference=difference,
    )


_LOOKUP_INTERVAL = 3600  # seconds during which a repeated lookup by the same author is not recorded again


def record_lookup(addresses: Iterable[str], what: str) -> None:
    """Record that the current author viewed data of these accounts, so that their owners can see it.

    Addresses that are no accounts, and the author's own, are skipped. `what` is "access" (credentials and sessions),
    "tracking" (the whereabouts of messages) or "message:6F24D148440" (one message). Repeated lookups are recorded once
    an hour.
    """
    author = current_author()
    addresses_of_others = {each.lower() for each in addresses} - {author.name}
    for address in (
        Account.objects.filter(address__in=addresses_of_others).order_by("address").values_list("address", flat=True)
    ):
        if cache.add(f"audit.looked.{author.name}.{address}.{what}"[:240].replace(" ", "_"), 1, _LOOKUP_INTERVAL):
            record_change("account.look", address, {}, {"what": what})
