"""Limits for unauthenticated connections: how many one address may have, and for how long.

Called by the servers that users log in to (IMAP, POP3, ManageSieve, submission), from the moment a connection is
accepted, its TLS handshake included. Beyond unauthenticated_connection_limit a new connection replaces its address's
oldest, beyond unauthenticated_connection_total_limit the oldest of all; login_timeout runs from the start, whatever the
client sends. Counted over all processes (`rate_counters`); each process drops its own connections. Only the second
limit holds for clients in smtpd_client_event_limit_exceptions: a webmail beside us has the users of many addresses.
"""

import asyncio
from collections.abc import Callable

from mailcore import conf, rate_counters
from mailcore.mta.policy.networks import in_networks
from mailcore.store.auth.throttle import client_network

TOO_LATE = "Disconnected for inactivity during authentication."
TOO_MANY = "Too many unauthenticated connections from this address."
TOO_MANY_IN_ALL = "Too many unauthenticated connections."
CLOSE_GRACE = 2.0  # Seconds that a disconnected client has to read the reason.
_KIND = "unauthenticated"

_TOTAL = "unauthenticated total"

_waiting: "dict[str, dict[UnauthenticatedConnection, None]]" = {}  # By address, oldest first.
_all: "dict[UnauthenticatedConnection, None]" = {}  # Oldest first.


class UnauthenticatedConnection:
    """An unauthenticated connection, until `release`. `drop` is called at most once, with the reason, and closes it."""

    def __init__(self, address: str, drop: Callable[[str], None]) -> None:
        self._network = client_network(address)
        self._drop = drop
        self._is_released = False
        parameters = conf.current()
        self._timer = asyncio.get_running_loop().call_later(parameters.login_timeout, self._disconnect, TOO_LATE)
        count = rate_counters.increment_held(_KIND, self._network)
        own = _waiting.setdefault(self._network, {})
        own[self] = _all[self] = None
        total = rate_counters.increment_held(_TOTAL, "")
        limit = parameters.unauthenticated_connection_limit
        if 0 < limit < count and not in_networks(address, parameters.smtpd_client_event_limit_exceptions):
            next(iter(own))._disconnect(TOO_MANY)
        elif 0 < parameters.unauthenticated_connection_total_limit < total:
            next(iter(_all))._disconnect(TOO_MANY_IN_ALL)

    def hand_over(self, drop: Callable[[str], None]) -> bool:
        """Let a session disconnect the client from now on. Return False if the connection is not counted any more."""
        self._drop = drop
        return not self._is_released

    def disconnects_by(self, drop: Callable[[str], None]) -> bool:
        """Return True if no session has taken over from `drop`."""
        return self._drop is drop

    def release(self) -> None:
        """Stop counting: the client has authenticated, or the connection has ended."""
        if self._is_released:
            return
        self._is_released = True
        self._timer.cancel()
        rate_counters.decrement_held(_KIND, self._network)
        rate_counters.decrement_held(_TOTAL, "")
        del _all[self]
        own = _waiting[self._network]
        del own[self]
        if not own:
            del _waiting[self._network]

    def _disconnect(self, reason: str) -> None:
        if not self._is_released:
            self.release()
            self._drop(reason)


def count_connection(
    address: str, drop: Callable[[str], None], accepted: UnauthenticatedConnection | None
) -> UnauthenticatedConnection:
    """Count a session's connection; `accepted` is what its listener counted, whose place and time it keeps."""
    if accepted is not None and accepted.hand_over(drop):
        return accepted
    return UnauthenticatedConnection(address, drop)
