"""Guessing passwords made slow: how long an attempt to sign in waits before it is judged.

Called by `servers.sasl` around every attempt, and through `judged` by the web's door. Failures are counted for the
client's address and for the account, in memory that all processes share (`anvil`); past auth_failure_limit each one
doubles the wait. Nobody is ever locked out: the right password opens after the wait, and at an address from which the
owner has signed in before only failures at that very address count. The wait comes before the check, and is the same
for right and wrong, so that not waiting for the end of it teaches nothing.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, timedelta
from threading import Lock
from time import sleep
from typing import TypeVar

from django.utils import timezone

from mailcore import anvil, conf
from mailcore.models import KnownAddress
from mailcore.terms import Owner

T = TypeVar("T")

_ADDRESS, _ACCOUNT, _PAIR = "auth address", "auth account", "auth pair"


def network(client_address: str) -> str:
    """What counts as one place: an IPv4 address, or the /64 of an IPv6 one."""
    try:
        address = ipaddress.ip_address(client_address)
    except ValueError:
        return client_address[:45]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False).network_address)
    return str(address)


class Attempt:
    """One attempt under way. `wait` seconds, judge, then `end`: always, or it counts on as one under way."""

    def __init__(self, address: str, client_address: str) -> None:
        """`address`: the account's, whether there is such an account or not."""
        place = network(client_address)
        self._pair = f"{address}\0{place}"
        self._address, self._place = address, place
        counts = {kind: self._begin(kind) for kind in (_ADDRESS, _ACCOUNT, _PAIR)}
        self.wait = _delay(max(counts[_ADDRESS], counts[_ACCOUNT]))
        if self.wait and _is_known(address, place):
            self.wait = _delay(counts[_PAIR])

    def _key(self, kind: str) -> str:
        return {_ADDRESS: self._place, _ACCOUNT: self._address, _PAIR: self._pair}[kind]

    def _begin(self, kind: str) -> int:
        """Failures so far and, once there are any, other attempts under way, which may become some. Until then many
        at once are an office whose server was away."""
        key = self._key(kind)
        under_way = anvil.enter(kind, key) - 1
        failures = anvil.rate(kind, key, conf.current().auth_failure_time, events=0)
        return failures + under_way if failures else 0

    def end(self, *, failed: bool) -> None:
        for kind in (_ADDRESS, _ACCOUNT, _PAIR):
            anvil.leave(kind, self._key(kind))
            if failed:
                anvil.rate(kind, self._key(kind), conf.current().auth_failure_time)

    def succeeded(self) -> None:
        """The owner was here, and is not to suffer for their own slips of the finger."""
        anvil.forgive(_PAIR, self._pair)


class Busy(Exception):
    """So many attempts wait that one more would keep other pages from being served."""


_waiting = 0  # threads of this process
_seats = Lock()


def _wait(seconds: float) -> None:
    """Half of web_threads may wait at once; the others serve pages. Raises Busy."""
    global _waiting
    with _seats:
        if _waiting >= max(1, conf.current().web_threads // 2):
            raise Busy
        _waiting += 1
    try:
        sleep(seconds)
    finally:
        with _seats:
            _waiting -= 1


def judged(address: str, client_address: str, judge: Callable[[], T | None]) -> T | None:
    """`judge` after the wait it deserves, in a thread that may wait (the web's). None: it failed. Raises Busy."""
    attempt = Attempt(address, client_address)
    found: T | None = None
    fault = True
    try:
        if attempt.wait:
            _wait(attempt.wait)
        found = judge()
        fault = False
    finally:
        attempt.end(failed=found is None and not fault)
    if found is not None:
        attempt.succeeded()
    return found


def _delay(failures: int) -> float:
    parameters = conf.current()
    over = failures - parameters.auth_failure_limit
    if over < 0 or not parameters.auth_failure_limit:
        return 0.0
    return float(min(parameters.auth_failure_delay_max, parameters.auth_failure_delay * 2 ** min(over, 16)))


# --- Where the owner has been before --------------------------------------------------------------

_seen: OrderedDict[tuple[int, str], date] = OrderedDict()  # noted today by this process
_lock = Lock()
_SEEN_LIMIT = 20_000


def _is_known(address: str, place: str) -> bool:
    since = timezone.localdate() - timedelta(seconds=conf.current().auth_known_address_time)
    return KnownAddress.objects.filter(account__address=address, address=place, last_used__gte=since).exists()


def note(owner: Owner, client_address: str) -> None:
    """The owner has signed in from there: written once a day."""
    place, today = network(client_address), timezone.localdate()
    with _lock:
        if _seen.get((owner.account_id, place)) == today:
            return
        _seen[(owner.account_id, place)] = today
        if len(_seen) > _SEEN_LIMIT:
            _seen.popitem(last=False)
    KnownAddress.objects.update_or_create(account_id=owner.account_id, address=place, defaults={"last_used": today})
    since = today - timedelta(seconds=conf.current().auth_known_address_time)
    KnownAddress.objects.filter(account_id=owner.account_id, last_used__lt=since).delete()


def forget() -> None:
    """Write again from now on (for tests: another database)."""
    with _lock:
        _seen.clear()
