"""Who changed what: one row for each change of the directory, the settings and the queue, in its transaction.

`by` says who is at work: the screens and the API wrap every request in it, the administrator's programs every run.
The functions that write (`directory`, `parameters`, `tables`, `login`) call `note` themselves, so that nothing is
changed without a row, whoever asked for it. Rows are only ever added; what is secret never stands in one.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import time

from django.core.cache import cache

from mailcore.models import Account, Change

_MICRO = 1_000_000
HIDDEN = "••••••"  # in the place of a secret, before and after


@dataclass(frozen=True, slots=True)
class Author:
    name: str  # an account's address, or a program's name
    place: str = ""  # the address they are at; "" on this machine


_NOBODY = Author("youju")  # a program of ours without anybody behind it
_author: ContextVar[Author] = ContextVar("author", default=_NOBODY)


@contextmanager
def acting_as(name: str, place: str = "") -> Iterator[None]:
    """What is changed inside is this one's doing."""
    token = _author.set(Author(name[:320], place[:64]))
    try:
        yield
    finally:
        _author.reset(token)


def current_author() -> Author:
    return _author.get()


def record_change(
    action: str,
    subject: str,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
    *,
    domain: str = "",
) -> None:
    """Something was changed, within the caller's transaction. `before` and `after` are the whole of it, as JSON has
    values; what differs is kept. Where both are given and nothing differs, nothing was changed. `domain`: whose
    administrators may read of it ("": the one in `subject`, if that is an address)."""
    if before is not None and after is not None and before == after:
        return
    names = list(dict.fromkeys([*(before or {}), *(after or {})]))
    old, new = before or {}, after or {}
    difference = {name: [old.get(name), new.get(name)] for name in names if old.get(name) != new.get(name)}
    who = current_author()
    Change.objects.create(
        at_us=int(time() * _MICRO),
        by=who.name,
        place=who.place,
        action=action,
        subject=subject[:320],
        domain=(domain or subject.rpartition("@")[2] if "@" in subject else domain)[:255],
        difference=difference,
    )


_AGAIN = 3600  # seconds until the same look is noted once more


def record_lookup(addresses: Iterable[str], what: str) -> None:
    """Somebody looked into what belongs to these accounts (addresses of others are passed over): its owner can read
    that. `what`: "access" (what opens it), "tracking" (where its messages are), "message:6F24D148440" (one of them). Who
    looks again and again is noted once an hour."""
    who = current_author()
    wanted = {each.lower() for each in addresses} - {who.name}
    for address in Account.objects.filter(address__in=wanted).order_by("address").values_list("address", flat=True):
        if cache.add(f"audit.looked.{who.name}.{address}.{what}"[:240].replace(" ", "_"), 1, _AGAIN):
            record_change("account.look", address, {}, {"what": what})
