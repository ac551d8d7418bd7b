"""The limit for logged-in connections of one account from one address (mail_max_userip_connections)."""

from mailcore import conf, rate_counters
from mailcore.values import Owner


class AccountConnection:
    """One connection's share of an account's limit, for one service; counted over all processes of this machine."""

    __slots__ = ("_key", "_service")

    def __init__(self, service: str) -> None:
        self._service = service
        self._key = ""

    def acquire(self, owner: Owner, address: str) -> bool:
        """Count the connection. Return False if the account has too many from this address."""
        key = f"{owner.account_id} {address}"
        if rate_counters.increment_held(self._service, key) > conf.current().mail_max_userip_connections > 0:
            rate_counters.decrement_held(self._service, key)
            return False
        self._key = key
        return True

    def release(self) -> None:
        """Stop counting the connection, if it is counted."""
        if self._key:
            rate_counters.decrement_held(self._service, self._key)
            self._key = ""
