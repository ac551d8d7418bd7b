"""Who has mail here: domains, accounts and aliases.

`lookup` answers routing and sign-in, as values; the other files are all the writes there are, one noun
each, called by the admin screens, the administrator's programs and the demo. A write is one transaction;
what cannot be granted is a `Problem` with words for a person, and then nothing was written.
"""

from mailcore.store.directory.accounts import (
    AccountDraft,
    change_account,
    change_accounts,
    change_own,
    check_account,
    create_account,
    delete_account,
    set_password,
    set_password_hash,
)
from mailcore.store.directory.accounts import snapshot as account_snapshot
from mailcore.store.directory.aliases import aliases_naming, change_alias, create_alias, delete_alias, split_targets
from mailcore.store.directory.aliases import snapshot as alias_snapshot
from mailcore.store.directory.domains import (
    Contents,
    DomainDraft,
    change_domain,
    create_domain,
    delete_domain,
    domain_contents,
)
from mailcore.store.directory.domains import snapshot as domain_snapshot
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
from mailcore.store.directory.shared_book import colleagues

__all__ = [
    "AccountDraft",
    "AccountEntry",
    "AliasEntry",
    "Contents",
    "DomainDraft",
    "DomainEntry",
    "Problem",
    "account_snapshot",
    "alias_snapshot",
    "aliases_naming",
    "change_account",
    "change_accounts",
    "change_alias",
    "change_domain",
    "change_own",
    "check_account",
    "colleagues",
    "create_account",
    "create_alias",
    "create_domain",
    "delete_account",
    "delete_alias",
    "delete_domain",
    "domain_contents",
    "domain_snapshot",
    "find_account",
    "find_alias",
    "find_domain",
    "forget",
    "home_domain",
    "set_password",
    "set_password_hash",
    "split_targets",
]
