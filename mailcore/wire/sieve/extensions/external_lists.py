"""Lists outside of a script, such as an address book (RFC 6134)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

ADDRESS_BOOK = "urn:ietf:params:sieve:addrbook:"
DEFAULT = f"{ADDRESS_BOOK}default"  # The name that every address book has (§2.6).
_SHORT = ":addrbook:"


@dataclass(frozen=True, slots=True)
class ExternalList:
    """A list of addresses: `contains` an address in any case, and its `members`."""

    contains: Callable[[str], bool]
    members: Callable[[], Iterable[str]]


def expand_name(name: str) -> str:
    """Return the whole name of a list; ":addrbook:default" is short for a URN (§2.6)."""
    return ADDRESS_BOOK + name[len(_SHORT) :] if name.startswith(_SHORT) else name
