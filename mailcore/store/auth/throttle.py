"""Throttling of password guesses: how long a log-in attempt waits before it is verified, and which are refused.

Called by `servers.authentication` around every attempt, and through `check_throttled` by the web's login page. Failures
are counted for the client's address and for the account, in memory that all processes share (`rate_counters`). Past
auth_failure_limit each failure doubles the wait, and of an address or account one attempt at a time is verified; others
are refused with TooManyAttempts ("try again later"), whatever their password. So 900 connections guess no
faster than one: with the default limits 2,900 passwords a day. At an address from which the owner has logged in before,
only failures at that very address count. The wait comes before the check, and is the same for right and wrong
passwords, so that hanging up early reveals nothing.

Codes of the second factor have counters of their own (`SECOND`): a correct password does not reset failed codes. An
owner's failures are cleared (`forgive`) when every factor has been verified.
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
from mailcore.conf import caches
from mailcore.models import KnownAddress
from mailcore.values import Owner

T = TypeVar("T")

_ADDRESS, _ACCOUNT, _PAIR = "auth address", "auth account", "auth pair"
_CODES = "auth codes of a session"
FIRST, SECOND = "", " second"  # steps of a log-in, each with counters of its own


def client_network(client_address: str) -> str:
    """Return the network that failures are counted for: an IPv4 address, or the /64 of an IPv6 address."""
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
    """Raised when an attempt is not verified now.

    Others of this address or account are running, or so many wait that one more would keep other pages from being
    served.
    """


def _keys(address: str, client_address: str, step: str) -> dict[str, str]:
    """Return kind → key of the three counters of an attempt."""
    network = client_network(client_address)
    return {
        _ADDRESS + step: network,
        _ACCOUNT + step: address,
        _PAIR + step: f"{address}\0{network}",
    }


class Attempt:
    """One attempt: sleep `wait` seconds, `admit`, verify, then always `end`, or it counts as running forever."""

    def __init__(self, address: str, client_address: str, step: str = FIRST) -> None:
        """Register the attempt; raise TooManyAttempts if it must not run.

        `address` is the account's, whether or not there is such an account.
        """
        self._keys = _keys(address, client_address, step)
        others = {kind: rate_counters.increment_held(kind, key) - 1 for kind, key in self._keys.items()}
        self._has_failed = self._has_ended = False
        try:
            self._counted: tuple[str, ...] = (_ADDRESS + step, _ACCOUNT + step)
            failures = self._failures()
            if _is_over_limit(failures) and _is_known_address(address, client_network(client_address)):
                self._counted = (_PAIR + step,)
                failures = self._failures()
            if any(others[kind] >= rate_counters.NO_ROOM - 1 for kind in self._counted):
                raise TooManyAttempts  # without space for a counter, assume that the limit is exceeded
            self._is_alone = _is_over_limit(failures)  # past the limit, and the one attempt that is verified
            if self._is_alone and any(
                others[kind] and _is_over_limit(self._failures_of(kind)) for kind in self._counted
            ):
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
        """Check the limit again just before the password is verified; raise TooManyAttempts if it is reached by now.

        Attempts that began together, before any had failed, are not verified once enough of them have failed.
        """
        if not self._is_alone and _is_over_limit(self._failures()):
            raise TooManyAttempts

    def fail(self) -> None:
        """Count a wrong password, once per attempt, whatever the client does meanwhile."""
        if not self._has_failed:
            self._has_failed = True
            for kind, key in self._keys.items():
                rate_counters.count_events(kind, key, conf.current().auth_failure_time)

    def end(self, *, failed: bool) -> None:
        """End the attempt."""
        if failed:
            self.fail()
        if not self._has_ended:
            self._has_ended = True
            for kind, key in self._keys.items():
                rate_counters.decrement_held(kind, key)


def forgive(address: str, client_address: str) -> None:
    """Clear the failures of an owner at this address who has verified every factor."""
    for step in (FIRST, SECOND):
        kind = _PAIR + step
        rate_counters.clear_events(kind, _keys(address, client_address, step)[kind])


def count_code(session_key: str) -> bool:
    """Count a second-factor code entered in a session; return False if there were too many, and the session must end.

    The limit is second_factor_attempts.
    """
    limit = conf.current().second_factor_attempts
    return not limit or rate_counters.count_events(_CODES, session_key, conf.current().auth_failure_time) <= limit


def forgive_codes(session_key: str) -> None:
    """Clear the count of a session in which the correct code was entered."""
    rate_counters.clear_events(_CODES, session_key)


_sleeping = 0  # threads of this process that sleep in `_wait_in_thread`
_sleeping_lock = Lock()


def _wait_in_thread(seconds: float) -> None:
    """Sleep in a web thread; raise TooManyAttempts if half of web_threads do so already.

    The others must be free to serve pages.
    """
    global _sleeping
    with _sleeping_lock:
        if _sleeping >= max(1, conf.current().web_threads // 2):
            raise TooManyAttempts
        _sleeping += 1
    try:
        sleep(seconds)
    finally:
        with _sleeping_lock:
            _sleeping -= 1


def check_throttled(address: str, client_address: str, verify: Callable[[], T | None], step: str = FIRST) -> T | None:
    """Return the result of `verify`, called after the wait that applies, or None for a failed attempt.

    For threads that may sleep (the web's). Raise TooManyAttempts. The caller clears earlier failures once every factor
    has been verified (`forgive`).
    """
    attempt = Attempt(address, client_address, step)
    result: T | None = None
    raised = True
    try:
        if attempt.wait:
            _wait_in_thread(attempt.wait)
        attempt.admit()
        result = verify()
        raised = False
    finally:
        attempt.end(failed=result is None and not raised)
    return result


def _is_over_limit(failures: int) -> bool:
    limit = conf.current().auth_failure_limit
    return 0 < limit <= failures


def _delay_seconds(failures: int) -> float:
    parameters = conf.current()
    excess = failures - parameters.auth_failure_limit
    if excess < 0 or not parameters.auth_failure_limit:
        return 0.0
    return float(min(parameters.auth_failure_delay_max, parameters.auth_failure_delay * 2 ** min(excess, 16)))


# --- Addresses the owner has used -----------------------------------------------------------------

_recorded: OrderedDict[tuple[int, str], date] = OrderedDict()  # recorded today by this process
_lock = Lock()
_RECORDED_LIMIT = 20_000


def _is_known_address(address: str, network: str) -> bool:
    since = timezone.localdate() - timedelta(seconds=conf.current().auth_known_address_time)
    return KnownAddress.objects.filter(account__address=address, address=network, last_used__gte=since).exists()


def record_known_address(owner: Owner, client_address: str) -> None:
    """Record that the owner logged in from an address; written once a day."""
    network, today = client_network(client_address), timezone.localdate()
    with _lock:
        if _recorded.get((owner.account_id, network)) == today:
            return
        _recorded[(owner.account_id, network)] = today
        if len(_recorded) > _RECORDED_LIMIT:
            _recorded.popitem(last=False)
    KnownAddress.objects.update_or_create(account_id=owner.account_id, address=network, defaults={"last_used": today})
    since = today - timedelta(seconds=conf.current().auth_known_address_time)
    KnownAddress.objects.filter(account_id=owner.account_id, last_used__lt=since).delete()


def _clear_cache() -> None:
    with _lock:
        _recorded.clear()


caches.register(caches.Source.LOGINS, _clear_cache)
