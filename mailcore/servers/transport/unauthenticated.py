"""Connections on which nobody has signed in yet: how many one address may have, and for how long.

Called by the servers that people sign in to (IMAP, POP3, ManageSieve, submission), from the moment a connection is
accepted, its TLS handshake included. Beyond unauthenticated_connection_limit a new connection takes the place of its
address's oldest; login_timeout runs from the beginning, whatever the client sends meanwhile. Counted over all
processes (`anvil`); each process drops those it has itself. Clients in smtpd_client_event_limit_exceptions have no such
limit, as with SMTP's.
"""

import asyncio
from collections.abc import Callable

from mailcore import conf, rate_counters
from mailcore.mta.policy.networks import in_networks
from mailcore.store.auth.throttle import client_network

TOO_LATE = "Disconnected for inactivity during authentication."
TOO_MANY = "Too many connections from this address on which nobody has signed in."
LAST_WORDS = 2.0  # seconds a client that is turned away has to take what was said to it
_KIND = "unauthenticated"

_waiting: "dict[str, dict[Stranger, None]]" = {}  # by address, oldest first


class Stranger:
    """One such connection, until `release`. `drop` is called with the reason, at most once, and ends it."""

    def __init__(self, address: str, drop: Callable[[str], None]) -> None:
        self._place = client_network(address)
        self._drop = drop
        self._is_over = False
        parameters = conf.current()
        self._timer = asyncio.get_running_loop().call_later(parameters.login_timeout, self._turn_away, TOO_LATE)
        count = rate_counters.increment_held(_KIND, self._place)
        mine = _waiting.setdefault(self._place, {})
        mine[self] = None
        limit = parameters.unauthenticated_connection_limit
        if 0 < limit < count and not in_networks(address, parameters.smtpd_client_event_limit_exceptions):
            next(iter(mine))._turn_away(TOO_MANY)

    def release(self) -> None:
        """Somebody has signed in, or the connection has ended."""
        if self._is_over:
            return
        self._is_over = True
        self._timer.cancel()
        rate_counters.decrement_held(_KIND, self._place)
        mine = _waiting[self._place]
        del mine[self]
        if not mine:
            del _waiting[self._place]

    def _turn_away(self, reason: str) -> None:
        if not self._is_over:
            self.release()
            self._drop(reason)
