"""The limit for web connections of one address (web_connection_limit), counted over all web processes.

Called by `web_process` for every connection. Beyond the limit a new connection replaces its address's oldest one that
serves no request; if all serve one, it is closed itself. Behind a proxy (BEHIND_PROXY) all connections are the proxy's,
which limits its clients itself.
"""

from collections.abc import Iterator
from typing import Protocol

from django.conf import settings

from mailcore import conf, rate_counters
from mailcore.store.auth.throttle import client_network

_KIND = "web connections"


class WebConnection(Protocol):
    """A connection as this module sees it."""

    @property
    def is_idle(self) -> bool:
        """True between requests, and until the header of the first is complete."""

    def drop(self) -> None:
        """Close the connection."""


_open: dict[str, dict[WebConnection, None]] = {}  # By network, oldest first.


def register(connection: WebConnection, address: str) -> str:
    """Count a new connection and apply the limit; return the key for `unregister`, "" if it is not counted."""
    if settings.BEHIND_PROXY:
        return ""
    network = client_network(address)
    own = _open.setdefault(network, {})
    own[connection] = None
    limit = conf.current().web_connection_limit
    if 0 < limit < rate_counters.increment_held(_KIND, network):
        idle: Iterator[WebConnection] = (each for each in own if each.is_idle)
        next(idle, connection).drop()
    return network


def unregister(connection: WebConnection, network: str) -> None:
    """Stop counting a connection."""
    own = _open.get(network)
    if own is None or connection not in own:
        return
    rate_counters.decrement_held(_KIND, network)
    del own[connection]
    if not own:
        del _open[network]
