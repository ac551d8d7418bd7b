"""The directory: domains, accounts and aliases.

May import `mailcore.store.credentials`, `db`, `mailbox`, `maildir`, `notify` and `settings`. `lookup` serves routing
and log-in, as values; the other modules make all changes, one noun each, called by the admin screens, the
administrator's programs and the demo. A change is one transaction; one that cannot be made raises DirectoryError with
texts for people, and nothing was written.
"""

from mailcore.store.directory.account_changes import (
    AccountDraft,
    account_snapshot,
    change_account,
    change_accounts,
    change_own,
    check_account,
    create_account,
    delete_account,
    set_password,
    set_password_hash,
)
from mailcore.store.directory.alias_changes import (
    alias_snapshot,
    aliases_naming,
    change_alias,
    create_alias,
    delete_alias,
    split_targets,
)
from mailcore.store.directory.directory_error import DirectoryError
from mailcore.store.directory.domain_changes import (
    DomainContents,
    DomainDraft,
    change_domain,
    create_domain,
    delete_domain,
    domain_contents,
    domain_snapshot,
)
from mailcore.store.directory.lookup import (
    AccountEntry,
    AliasEntry,
    DomainEntry,
    administrators_of,
    find_account,
    find_alias,
    find_domain,
    home_domain,
)
from mailcore.store.directory.shared_address_book import find_colleagues

__all__ = [
    "AccountDraft",
    "AccountEntry",
    "AliasEntry",
    "DirectoryError",
    "DomainContents",
    "DomainDraft",
    "DomainEntry",
    "account_snapshot",
    "administrators_of",
    "alias_snapshot",
    "aliases_naming",
    "change_account",
    "change_accounts",
    "change_alias",
    "change_domain",
    "change_own",
    "check_account",
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
    "find_colleagues",
    "find_domain",
    "home_domain",
    "set_password",
    "set_password_hash",
    "split_targets",
]
