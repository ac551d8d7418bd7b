"""The caches of this process and how they are cleared.

A module that caches what is stored elsewhere registers how its cache is cleared. Results of pure functions
(`functools.lru_cache`) need no clearing and are not here.
"""

from collections.abc import Callable
from enum import Enum, auto


class Source(Enum):
    """A source of cached values, which are outdated together."""

    DATABASE = auto()  # Accounts, aliases, domains, lookup tables, quotas, DKIM keys.
    LOGINS = auto()  # Passwords that were verified, addresses that were recorded.
    DNS = auto()
    FOLDERS = auto()  # What directories contained.


_clearers: dict[Source, list[Callable[[], object]]] = {source: [] for source in Source}


def register(source: Source, clear_cache: Callable[[], object]) -> None:
    """Register a function that clears one cache of values from this source."""
    _clearers[source].append(clear_cache)


def clear(source: Source) -> None:
    """Clear the caches of values from one source, so that it is queried again."""
    for clear_cache in _clearers[source]:
        clear_cache()


def clear_all() -> None:
    """Clear every registered cache."""
    for source in Source:
        clear(source)
