"""The demo site (`runmailserver --demo`): benet.com with the example users of the book."""

import secrets

from django.contrib.auth.hashers import make_password
from django.db import transaction

from mailcore.models import Account, Domain
from mailcore.store import directory
from mailcore.store.directory import AccountDraft, DirectoryError

DOMAIN = "benet.com"
PASSWORD = "123456"  # noqa: S105  (published in the book)
_QUOTA = 5 * 1000**3  # bytes


def build_accounts(users: int = 0) -> str:
    """Create the domain, its accounts and the group all@.

    With `users`, also user000, user001, …. Return the random password of admin@benet.com. Raise DirectoryError if the
    directory is not empty.
    """
    with transaction.atomic():
        if Account.objects.exists() or Domain.objects.exists():
            raise DirectoryError({"": "The demo is built in an empty directory only."})
        directory.create_domain(DOMAIN)
        administrator_password = secrets.token_urlsafe(12)
        directory.create_account(
            f"admin@{DOMAIN}", administrator_password, AccountDraft(name="管理员", role="administrator")
        )
        # One hash for all accounts with the book's password: making a hundred would take as long as a hundred checks.
        password_hash = make_password(PASSWORD)
        people = {"xiaoqi": "小七", "lisi": "李四", **{f"user{number:03d}": "" for number in range(users)}}
        for name, full_name in people.items():
            directory.create_account(
                f"{name}@{DOMAIN}", "", AccountDraft(name=full_name, quota_bytes=_QUOTA), password_hash=password_hash
            )
        directory.create_alias(f"all@{DOMAIN}", ["xiaoqi", "lisi"])
    return administrator_password
