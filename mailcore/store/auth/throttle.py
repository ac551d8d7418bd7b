"""Guessing passwords made slow: how long an attempt to sign in waits before it is judged, and which are refused.

Called by `servers.sasl` around every attempt, and through `judged` by the web's door. Failures are counted for the
client's address and for the account, in memory that all processes share (`anvil`). Past auth_failure_limit each one
doubles the wait, and of an address or account one attempt at a time is judged; others are refused at once (Busy: "try
again later"), whatever password they bring. So 900 connections guess no faster than one: with the default limits 2,900
passwords a day. At an address from which the owner has signed in before only failures at that very address count. The
wait comes before the check, and is the same for right and wrong, so that not waiting for the end of it teaches nothing.

Codes of the second factor have counters of their own (`SECOND`): a right password forgives no wrong code. Failures of
an owner are forgiven (`forgive`) when everything that was asked has been shown.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from datetime import date, timedelta
from threading import Lock
from time import sleep
from typing import TypeVar

from django.utils import timezone

from mailcore import conf, rate_counters
from mailcore.models import KnownAddress
from mailcore.values import Owner

T = TypeVar("T")

_ADDRESS, _ACCOUNT, _PAIR = "auth address", "auth account", "auth pair"
_CODES = "auth codes of a session"
FIRST, SECOND = "", " second"  # steps, each with counters of its own


def client_network(client_address: str) -> str:
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


class TooManyAttempts(Exception):
    """The attempt is not judged now: others of this address or account are under way, or so many wait that one more
    would keep other pages from being served."""


def _keys(address: str, client_address: str, step: str) -> dict[str, str]:
    """Return kind → key of the three counters of an attempt."""
    place = client_network(client_address)
    return {
        _ADDRESS + step: place,
        _ACCOUNT + step: address,
        _PAIR + step: f"{address}\0{place}",
    }


class Attempt:
    """One attempt under way: `wait` seconds, `admit`, judge, then `end`: always, or it counts on as one under way."""

    def __init__(self, address: str, client_address: str, step: str = FIRST) -> None:
        """`address`: the account's, whether there is such an account or not. Raises Busy."""
        self._keys = _keys(address, client_address, step)
        others = {kind: rate_counters.increment_held(kind, key) - 1 for kind, key in self._keys.items()}
        self._has_failed = self._has_ended = False
        try:
            self._counted: tuple[str, ...] = (_ADDRESS + step, _ACCOUNT + step)
            failures = self._failures()
            if _is_over(failures) and _is_known_address(address, client_network(client_address)):
                self._counted = (_PAIR + step,)
                failures = self._failures()
            if any(others[kind] >= rate_counters.NO_ROOM - 1 for kind in self._counted):
                raise TooManyAttempts  # who cannot be counted is taken for somebody past the limit
            self._is_alone = _is_over(failures)  # past the limit, and the one that is judged
            if self._is_alone and any(others[kind] and _is_over(self._failures_of(kind)) for kind in self._counted):
                raise TooManyAttempts
        except BaseException:
            self.end(failed=False)
            raise
        self.wait = _delay_seconds(failures)

    def _failures_of(self, kind: str) -> int:
        return rate_counters.count_events(kind, self._keys[kind], conf.current().auth_failure_time, events=0)

    def _failures(self) -> int:
        return max(self._failures_of(kind) for kind in self._counted)

    def admit(self) -> None:
        """Called when a thread is about to judge: attempts that began together, before any had failed, are not judged
        once enough of them have. Raises Busy."""
        if not self._is_alone and _is_over(self._failures()):
            raise TooManyAttempts

    def fail(self) -> None:
        """The password was wrong; counted once, whatever becomes of the client meanwhile."""
        if not self._has_failed:
            self._has_failed = True
            for kind, key in self._keys.items():
                rate_counters.count_events(kind, key, conf.current().auth_failure_time)

    def end(self, *, failed: bool) -> None:
        """The attempt is over."""
        if failed:
            self.fail()
        if not self._has_ended:
            self._has_ended = True
            for kind, key in self._keys.items():
                rate_counters.decrement_held(kind, key)


def forgive(address: str, client_address: str) -> None:
    """The owner has shown everything that was asked, and is not to suffer for their own slips of the finger."""
    for step in (FIRST, SECOND):
        kind = _PAIR + step
        rate_counters.clear_events(kind, _keys(address, client_address, step)[kind])


def count_code(session_key: str) -> bool:
    """Count a code shown in one session. False: too many were (second_factor_attempts), and the session ends."""
    limit = conf.current().second_factor_attempts
    return not limit or rate_counters.count_events(_CODES, session_key, conf.current().auth_failure_time) <= limit


def forgive_codes(session_key: str) -> None:
    """The right code was shown in this session."""
    rate_counters.clear_events(_CODES, session_key)


_waiting = 0  # threads of this process
_seats = Lock()


def _wait_in_thread(seconds: float) -> None:
    """Half of web_threads may wait at once; the others serve pages. Raises Busy."""
    global _waiting
    with _seats:
        if _waiting >= max(1, conf.current().web_threads // 2):
            raise TooManyAttempts
        _waiting += 1
    try:
        sleep(seconds)
    finally:
        with _seats:
            _waiting -= 1


def check_throttled(address: str, client_address: str, judge: Callable[[], T | None], step: str = FIRST) -> T | None:
    """`judge` after the wait it deserves, in a thread that may wait (the web's). None: it failed. Raises Busy. What
    failed before is forgiven by the caller, when all has been shown (`forgive`)."""
    attempt = Attempt(address, client_address, step)
    found: T | None = None
    fault = True
    try:
        if attempt.wait:
            _wait_in_thread(attempt.wait)
        attempt.admit()
        found = judge()
        fault = False
    finally:
        attempt.end(failed=found is None and not fault)
    return found


def _is_over(failures: int) -> bool:
    limit = conf.current().auth_failure_limit
    return 0 < limit <= failures


def _delay_seconds(failures: int) -> float:
    parameters = conf.current()
    over = failures - parameters.auth_failure_limit
    if over < 0 or not parameters.auth_failure_limit:
        return 0.0
    return float(min(parameters.auth_failure_delay_max, parameters.auth_failure_delay * 2 ** min(over, 16)))


# --- Where the owner has been before --------------------------------------------------------------

_seen: OrderedDict[tuple[int, str], date] = OrderedDict()  # noted today by this process
_lock = Lock()
_SEEN_LIMIT = 20_000


def _is_known_address(address: str, place: str) -> bool:
    since = timezone.localdate() - timedelta(seconds=conf.current().auth_known_address_time)
    return KnownAddress.objects.filter(account__address=address, address=place, last_used__gte=since).exists()


def record_known_address(owner: Owner, client_address: str) -> None:
    """The owner has signed in from there: written once a day."""
    place, today = client_network(client_address), timezone.localdate()
    with _lock:
        if _seen.get((owner.account_id, place)) == today:
            return
        _seen[(owner.account_id, place)] = today
        if len(_seen) > _SEEN_LIMIT:
            _seen.popitem(last=False)
    KnownAddress.objects.update_or_create(account_id=owner.account_id, address=place, defaults={"last_used": today})
    since = today - timedelta(seconds=conf.current().auth_known_address_time)
    KnownAddress.objects.filter(account_id=owner.account_id, last_used__lt=since).delete()


def clear_cache() -> None:
    """Write again from now on (for tests: another database)."""
    with _lock:
        _seen.clear()
