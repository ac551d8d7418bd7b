"""Changes of accounts: create, change, set a password, delete; also what owners may change themselves."""

import contextlib
import logging
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from zoneinfo import available_timezones

from django.conf import settings
from django.contrib.auth.hashers import identify_hasher
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet, Sum
from django.utils.translation import gettext as _

from mailcore.models import Account, Annotation, Domain, Expunged, Message, MessageSummary, MessageText
from mailcore.store.credentials import dovecot_hashes, scram
from mailcore.store.db import audit
from mailcore.store.directory import alias_changes
from mailcore.store.directory.directory_error import DirectoryError, directory_changed
from mailcore.store.mailbox import access_rights, mailboxes
from mailcore.store.maildir import maildir_files
from mailcore.store.notify import notifications
from mailcore.wire.message import envelope_address as addresses

log = logging.getLogger("mailcore.accounts")


@dataclass(frozen=True, slots=True)
class AccountDraft:
    """An account as the administrator requests it; quotas are bytes and messages.

    A quota of None leaves it to the domain's limit, 0 means no limit.
    """

    name: str = ""
    state: str = "active"
    role: str = "owner"
    managed_domains: tuple[int, ...] = ()  # ids; used with role "domain"
    expires: date | None = None
    quota_bytes: int | None = None
    quota_messages: int | None = None
    language: str = ""
    time_zone: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """A number of accounts, and the bytes and messages in their mailboxes."""

    accounts: int
    byte_count: int
    messages: int


def create_account(
    address: str, password: str, draft: AccountDraft = AccountDraft(), *, password_hash: str = ""
) -> int:
    """Create an account with its mailboxes and Maildir, and return its id.

    With `password_hash` (as Django stores it; for imports and demos) the password is ignored. Raise DirectoryError for
    an invalid or taken address, a domain that is not local or is full, or a weak password.
    """
    with transaction.atomic():
        account = _insert_account(address, password, draft, password_hash)
        mailboxes.create_special_mailboxes(account.pk)
        audit.record_change("account.create", account.address, {}, account_snapshot(account))
        directory_changed()
    log.info("account created: %s", account.address)
    return account.pk


def check_account(
    address: str, password: str, draft: AccountDraft = AccountDraft(), *, password_hash: str = ""
) -> None:
    """Check what `create_account` checks, and raise DirectoryError as it does; nothing is created."""
    with transaction.atomic():
        _insert_account(address, password, draft, password_hash)
        transaction.set_rollback(True)


def _insert_account(address: str, password: str, draft: AccountDraft, password_hash: str) -> Account:
    local_part, domain = _parse_address(address)
    account = Account(address=f"{local_part}@{domain.name}", local_part=local_part, domain=domain)
    domain = Domain.objects.select_for_update().get(pk=domain.pk)
    if domain.max_accounts is not None and domain.accounts.count() >= domain.max_accounts:
        raise DirectoryError({"address": _("%(domain)s has reached its limit of accounts.") % {"domain": domain.name}})
    _apply_draft(account, draft)
    _set_password(account, password, password_hash)
    try:
        with transaction.atomic():
            account.save(force_insert=True)
    except IntegrityError as error:
        raise DirectoryError({"address": _("%(address)s already exists.") % {"address": account.address}}) from error
    access_rights.remove_account_entries(Account.objects.filter(pk=account.pk))
    account.managed_domains.set(draft.managed_domains)
    return account


def change_account(account_id: int, draft: AccountDraft) -> None:
    """Change an account to what the draft says.

    Raise DirectoryError if it does not exist, the draft is invalid, or no administrator would be left.
    """
    with transaction.atomic():
        account = _lock_account(account_id)
        was_administrator, before = _is_administrator(account), account_snapshot(account)
        _apply_draft(account, draft)
        account.save()
        account.managed_domains.set(draft.managed_domains)
        audit.record_change("account.change", account.address, before, account_snapshot(account))
        if was_administrator and not _is_administrator(account):
            _require_administrator()
        directory_changed()
        revalidate_sessions([account_id])
    log.info("account changed: %s", account.address)


def change_accounts(account_ids: Sequence[int], changes: Mapping[str, Any]) -> int:
    """Change fields of many accounts and return their number.

    Fields: state, expires, quota_bytes, quota_messages, language, time_zone. Raise DirectoryError if a value is invalid
    or no administrator would be left; of the last thousand nothing has been changed then.
    """
    count = 0
    for start in range(0, len(account_ids), _BATCH):
        count += _change_batch(account_ids[start : start + _BATCH], changes)
    log.info("accounts changed: %d", count)
    return count


_BATCH = 1000
_BULK_FIELDS = ("state", "expires", "quota_bytes", "quota_messages", "language", "time_zone")


def _change_batch(account_ids: Sequence[int], changes: Mapping[str, Any]) -> int:
    if not set(changes) <= set(_BULK_FIELDS):
        raise DirectoryError({"": _("This cannot be changed for many accounts at once.")})
    if "state" in changes and changes["state"] not in Account.State.values:
        raise DirectoryError({"state": _("There is no such state.")})
    _validate_language(changes.get("language", ""))
    _validate_time_zone(changes.get("time_zone", ""))
    new = {name: value.isoformat() if isinstance(value, date) else value for name, value in changes.items()}
    with transaction.atomic():
        rows = list(Account.objects.select_for_update().filter(pk__in=account_ids))
        for row in rows:
            old = {name: getattr(row, name) for name in changes}
            old |= {name: value.isoformat() for name, value in old.items() if isinstance(value, date)}
            audit.record_change("account.change", row.address, old, new)
        Account.objects.filter(pk__in=[row.pk for row in rows]).update(**changes)
        if any(_is_administrator(row) for row in rows):
            _require_administrator()
        directory_changed()
        revalidate_sessions([row.pk for row in rows])
    return len(rows)


def change_own(account_id: int, *, name: str, language: str, time_zone: str) -> None:
    """Change what owners may change about their own account."""
    with transaction.atomic():
        account = _lock_account(account_id)
        before = account_snapshot(account)
        account.name, account.language = name.strip(), _validate_language(language)
        account.time_zone = _validate_time_zone(time_zone)
        account.save(update_fields=["name", "language", "time_zone"])
        audit.record_change("account.change", account.address, before, account_snapshot(account))
        directory_changed()


def set_password(account_id: int, password: str) -> None:
    """Set the account's password; app passwords stay valid.

    Raise DirectoryError if it is too weak or the account does not exist.
    """
    with transaction.atomic():
        account = _lock_account(account_id)
        _set_password(account, password)
        account.save(update_fields=["password", "scram"])
        audit.record_change("account.password", account.address)
        directory_changed()
        revalidate_sessions([account_id])
    log.info("password changed: %s", account.address)


def set_password_hash(account_id: int, password_hash: str) -> None:
    """Set the account's password by its hash, as Django stores it, without knowing the password.

    Raise DirectoryError if it is no such hash or the account does not exist.
    """
    with transaction.atomic():
        account = _lock_account(account_id)
        _set_password(account, "", password_hash)
        account.save(update_fields=["password", "scram"])
        audit.record_change("account.password", account.address)
        directory_changed()
        revalidate_sessions([account_id])
    log.info("password changed: %s", account.address)


def delete_account(account_id: int) -> None:
    """Delete an account with all its mail, permanently, and remove it from the aliases that name it.

    Raise DirectoryError if it does not exist or is the last administrator.
    """
    with transaction.atomic():
        account = _lock_account(account_id)
        deleted = account.address
        audit.record_change("account.delete", deleted, account_snapshot(account), {})
        _delete_rows(Account.objects.filter(pk=account_id))
        alias_changes.drop_targets(f'"{deleted}"', lambda target: target == deleted)
        directory_changed()
        revalidate_sessions([account_id])
    log.info("account deleted: %s", deleted)


def account_snapshot(account: Account) -> dict[str, object]:
    """Return what an administrator may set of an account, as the audit log records it."""
    return {
        "name": account.name,
        "state": account.state,
        "role": account.role,
        "managed_domains": sorted(domain.name for domain in account.managed_domains.all()),
        "expires": account.expires.isoformat() if account.expires else None,
        "quota_bytes": account.quota_bytes,
        "quota_messages": account.quota_messages,
        "language": account.language,
        "time_zone": account.time_zone,
    }


def delete_all_in(domain_id: int) -> None:
    """Delete every account of a domain, within the caller's transaction (`domain_changes.delete_domain`)."""
    _delete_rows(Account.objects.filter(domain=domain_id))


def revalidate_sessions(account_ids: Iterable[int]) -> None:
    """Let sessions of these accounts check at their next command whether they may continue."""
    ids = [-account_id for account_id in account_ids]
    for start in range(0, len(ids), 1000):  # a notification must fit into a datagram
        notifications.publish_mailboxes(ids[start : start + 1000])


def usage_of_accounts(rows: QuerySet[Account]) -> Usage:
    """Return the number of these accounts and their usage."""
    sums = rows.aggregate(accounts=Count("pk"), byte_count=Sum("used_bytes"), messages=Sum("used_messages"))
    return Usage(sums["accounts"], sums["byte_count"] or 0, sums["messages"] or 0)


# --- Steps ----------------------------------------------------------------------------------------


def _parse_address(address: str) -> tuple[str, Domain]:
    """Return (local part, domain) of a new account; raise DirectoryError if the address is not possible."""
    try:
        address = addresses.parse_address(address.strip().lower())
    except addresses.AddressError as error:
        raise DirectoryError({"address": _("“%(address)s” is not an address.") % {"address": address}}) from error
    local_part, name = addresses.split_address(address)
    domain = Domain.objects.filter(name=name, kind=Domain.Kind.LOCAL).first()
    if domain is None:
        message = _("%(domain)s is not a domain with mailboxes here.") % {"domain": name or "?"}
        raise DirectoryError({"address": message})
    if set(local_part) & set(' "\\/@') or not local_part.isprintable():
        raise DirectoryError({"address": _("An account's name has no spaces, quotes, slashes or “@”.")})
    return local_part, domain


def _lock_account(account_id: int) -> Account:
    row = Account.objects.select_for_update().filter(pk=account_id).first()
    if row is None:
        raise DirectoryError({"": _("This account no longer exists.")})
    return row


def _apply_draft(account: Account, draft: AccountDraft) -> None:
    if draft.state not in Account.State.values:
        raise DirectoryError({"state": _("There is no such state.")})
    if draft.role not in Account.Role.values:
        raise DirectoryError({"role": _("There is no such role.")})
    account.name = draft.name.strip()
    account.state, account.role, account.expires = draft.state, draft.role, draft.expires
    account.quota_bytes, account.quota_messages = draft.quota_bytes, draft.quota_messages
    account.language, account.time_zone = _validate_language(draft.language), _validate_time_zone(draft.time_zone)


def _validate_language(code: str) -> str:
    if code and code not in dict(settings.LANGUAGES):
        raise DirectoryError({"language": _("There is no such language.")})
    return code


def _validate_time_zone(name: str) -> str:
    if name and name not in available_timezones():
        raise DirectoryError({"time_zone": _("There is no such time zone.")})
    return name


def _set_password(account: Account, password: str, password_hash: str = "") -> None:
    if password_hash:
        try:
            identify_hasher(password_hash)
        except ValueError as error:
            raise DirectoryError({"password": _("This is not a password hash of a known kind.")}) from error
        account.password = password_hash
        account.scram = dovecot_hashes.scram_keys(password_hash.removeprefix("dovecot$"))
        return
    try:
        validate_password(password, account)
    except ValidationError as error:
        raise DirectoryError({"password": " ".join(error.messages)}) from error
    account.set_password(password)
    account.scram = scram.make_keys(account.address, account.scram, password)


def _is_administrator(account: Account) -> bool:
    return account.role == Account.Role.ADMINISTRATOR and account.is_active


def _require_administrator() -> None:
    """Raise DirectoryError if this transaction leaves no administrator who can log in."""
    administrators = Account.objects.filter(role=Account.Role.ADMINISTRATOR)
    if not administrators.exclude(state__in=(Account.State.OFF, Account.State.NO_LOGIN)).exists():
        raise DirectoryError({"": _("This is the last administrator: create another one first.")})


def _delete_rows(rows: QuerySet[Account]) -> None:
    """Delete rows now, and files once the transaction has committed."""
    directories = [maildir_files.account_directory(address) for address in rows.values_list("address", flat=True)]
    access_rights.remove_account_entries(rows)
    was_administrator = rows.filter(role=Account.Role.ADMINISTRATOR).exists()
    # Dependent tables first, each in one statement: cascading would read every message first.
    for table in (
        MessageText.objects.filter(message__mailbox__account__in=rows),
        MessageSummary.objects.filter(message__mailbox__account__in=rows),
        Message.objects.filter(mailbox__account__in=rows),
        Expunged.objects.filter(mailbox__account__in=rows),
        Annotation.objects.filter(account__in=rows),
    ):
        table._raw_delete(table.db)
    rows.delete()
    if was_administrator:
        _require_administrator()
    transaction.on_commit(lambda: _remove_directories(directories))


def _remove_directories(directories: Iterable[str]) -> None:
    """Delete directories after renaming each in one step, so that a new account of that name never sees old mail."""
    for directory in directories:
        removed = os.path.join(settings.MAIL_ROOT, f".removed-{uuid.uuid4().hex}")
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, removed)
            shutil.rmtree(removed, ignore_errors=True)
