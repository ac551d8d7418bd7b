"""Who has mail here: domains, accounts and aliases.

`lookup` answers routing and sign-in, as values; the other files are all the writes there are, one noun
each, called by the admin screens, the administrator's programs and the demo. A write is one transaction;
what cannot be granted is a `Problem` with words for a person, and then nothing was written.
"""

from mailcore.store.directory.lookup import (
    AccountEntry,
    AliasEntry,
    DomainEntry,
    find_account,
    find_alias,
    find_domain,
    forget,
    home_domain,
)
from mailcore.store.directory.problem import Problem

__all__ = [
    "AccountEntry",
    "AliasEntry",
    "DomainEntry",
    "Problem",
    "find_account",
    "find_alias",
    "find_domain",
    "forget",
    "home_domain",
]
