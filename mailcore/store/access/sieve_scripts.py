"""Sieve scripts of accounts, the active script, and what the `duplicate` and `vacation` extensions record.

Called by the ManageSieve server (RFC 5804) through the executor, one function a command, and by
`mta.delivery.sieve_filter` at delivery. A script that does not compile is never stored; refusals are values with the
response codes of RFC 5804 §1.3.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from mailcore import conf
from mailcore.models import Account, Mailbox, SieveMemory, SieveScript
from mailcore.store.directory.directory_error import directory_changed
from mailcore.values import Owner, Refusal
from mailcore.wire.sieve.compiler import compile_script
from mailcore.wire.sieve.extensions.external_lists import ExternalList
from mailcore.wire.sieve.extensions.filter_scores import ScoreSource
from mailcore.wire.sieve.regex import RegexLimits
from mailcore.wire.sieve.script_parser import SieveError

MAX_NAME_LENGTH = 128  # characters (RFC 5804 §1.6)
_NO_SUCH = Refusal("NONEXISTENT", "There is no script by that name")
_DELETE_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class ActiveScript:
    """The script that messages to an account pass through, and what it may know of its owner.

    `reported_fault` is the fault that the owner has been notified of already.
    """

    id: int
    account_id: int
    name: str
    content: str
    reported_fault: str
    address: str
    language: str
    time_zone: str


def regex_limits() -> RegexLimits:
    """Return the limits of patterns in scripts."""
    parameters = conf.current()
    return RegexLimits(parameters.sieve_regex_max_length, parameters.sieve_regex_max_states)


def find_external_list(address: str, name: str) -> ExternalList | None:
    """Return an account's list of this name for Sieve scripts, by the setting SIEVE_EXTERNAL_LISTS."""
    for prefix, path in settings.SIEVE_EXTERNAL_LISTS.items():
        if name.startswith(prefix):
            found: ExternalList | None = import_string(path)(address, name.removeprefix(prefix))
            return found
    return None


def score_source(test: str) -> ScoreSource:
    """Return where a filter's result stands in a message for "spamtest" or "virustest", by the parameters."""
    parameters = conf.current()
    return ScoreSource(
        *(
            getattr(parameters, f"sieve_{test}_{setting}")
            for setting in ("status_header", "status_type", "max_value", "max_header", "text_values")
        )
    )


# --- For owners -----------------------------------------------------------------------------------


def list_scripts(owner: Owner) -> list[tuple[str, bool]]:
    """Return (name, True if it is active) of each script, by name."""
    active = Account.objects.filter(pk=owner.account_id).values_list("active_script_id", flat=True).first()
    rows = SieveScript.objects.filter(account_id=owner.account_id).order_by("name").values_list("id", "name")
    return [(name, id_ == active) for id_, name in rows]


def get_script(owner: Owner, name: str) -> str | Refusal:
    """Return the content of a script."""
    found = SieveScript.objects.filter(account_id=owner.account_id, name=name).values_list("content", flat=True).first()
    return _NO_SUCH if found is None else found


def syntax_error(content: str) -> Refusal | None:
    """Return the first error in a script, with its line, or None."""
    limit = conf.current().sieve_max_script_size
    if limit and len(content.encode("utf-8", "replace")) > limit:
        return Refusal("QUOTA/MAXSIZE", f"A script may have at most {limit} bytes")
    try:
        compile_script(content, regex_limits())
    except SieveError as error:
        return Refusal("", str(error))
    return None


def has_space(owner: Owner, name: str, size: int) -> Refusal | None:
    """Return a refusal if a script of `size` bytes may not be stored under this name, else None."""
    parameters = conf.current()
    if parameters.sieve_max_script_size and size > parameters.sieve_max_script_size:
        return Refusal("QUOTA/MAXSIZE", f"A script may have at most {parameters.sieve_max_script_size} bytes")
    others = SieveScript.objects.filter(account_id=owner.account_id).exclude(name=name).count()
    if parameters.sieve_quota_max_scripts and others >= parameters.sieve_quota_max_scripts:
        return Refusal("QUOTA/MAXSCRIPTS", f"There may be at most {parameters.sieve_quota_max_scripts} scripts")
    return None


def put_script(owner: Owner, name: str, content: str) -> Refusal | None:
    """Store a script, replacing the one of this name; an active script stays active."""
    if (refusal := _check_name(name) or syntax_error(content)) is not None:
        return refusal
    with transaction.atomic():
        _lock_account(owner)
        if (refusal := has_space(owner, name, 0)) is not None:
            return refusal
        SieveScript.objects.update_or_create(
            account_id=owner.account_id, name=name, defaults={"content": content, "fault": ""}
        )
    return None


def activate_script(owner: Owner, name: str) -> Refusal | None:
    """Make this script the active one; "" deactivates all."""
    with transaction.atomic():
        _lock_account(owner)
        script = SieveScript.objects.filter(account_id=owner.account_id, name=name).first() if name else None
        if name and script is None:
            return _NO_SUCH
        Account.objects.filter(pk=owner.account_id).update(active_script=script)
        directory_changed()
    return None


def delete_script(owner: Owner, name: str) -> Refusal | None:
    """Delete a script, unless it is active."""
    with transaction.atomic():
        _lock_account(owner)
        script = SieveScript.objects.filter(account_id=owner.account_id, name=name).first()
        if script is None:
            return _NO_SUCH
        if Account.objects.filter(active_script=script).exists():
            return Refusal("ACTIVE", "An active script cannot be deleted")
        script.delete()
    return None


def rename_script(owner: Owner, old: str, new: str) -> Refusal | None:
    """Rename a script; an active one stays active (RFC 5804 §2.11.1)."""
    if (refusal := _check_name(new)) is not None:
        return refusal
    with transaction.atomic():
        _lock_account(owner)
        own = SieveScript.objects.filter(account_id=owner.account_id)
        if not own.filter(name=old).exists():
            return _NO_SUCH
        if new != old and own.filter(name=new).exists():
            return Refusal("ALREADYEXISTS", "There is a script by that name already")
        own.filter(name=old).update(name=new)
    return None


def _lock_account(owner: Owner) -> None:
    Account.objects.select_for_update().filter(pk=owner.account_id).values_list("id").first()


def _check_name(name: str) -> Refusal | None:
    if not name or len(name) > MAX_NAME_LENGTH or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", name):
        return Refusal("", "Invalid script name")
    return None


# --- At delivery ----------------------------------------------------------------------------------


def active_scripts(account_ids: Iterable[int]) -> Mapping[int, ActiveScript]:
    """Return account id → active script."""
    columns = (
        *("active_script_id", "id", "active_script__name", "active_script__content", "active_script__fault"),
        *("address", "language", "time_zone"),
    )
    rows = Account.objects.filter(id__in=set(account_ids), active_script__isnull=False).values_list(*columns)
    return {row[1]: ActiveScript(*row) for row in rows}


def find_included_script(account_id: int, location: str, name: str) -> str | None:
    """Return the text of a script that another one includes (RFC 6609 §3.2), or None if there is none.

    "personal" scripts are the account's own, "global" ones the files NAME.sieve in sieve_global_dir.
    """
    if _check_name(name) is not None:
        return None
    if location == "personal":
        rows = SieveScript.objects.filter(account_id=account_id, name=name)
        return rows.values_list("content", flat=True).first()
    folder = conf.current().sieve_global_dir
    if not folder or "/" in name or name.startswith("."):
        return None
    try:
        return (Path(folder) / f"{name}.sieve").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def list_target_mailboxes(account_id: int) -> dict[str, str]:
    """Return the mailboxes that messages can be filed into: name → special use or ""."""
    rows = Mailbox.objects.filter(account_id=account_id, selectable=True)
    return dict(rows.values_list("name", "special_use"))


def record_fault(script_id: int, error_text: str) -> bool:
    """Record that a script failed at run time; return True for the first fault since it was stored.

    Call inside a transaction.
    """
    return SieveScript.objects.filter(pk=script_id, fault="").update(fault=error_text or "?") == 1


def has_seen(account_id: int, key: str) -> bool:
    """Return True if `key` is recorded and its time has not passed."""
    return SieveMemory.objects.filter(account_id=account_id, key=_key_digest(key), until_at__gt=int(time())).exists()


def record_seen(account_id: int, key: str, seconds: int, *, anew: bool = False) -> bool:
    """Record `key` for so many seconds; return False if it is recorded already.

    An existing record keeps its time unless `anew`. Call inside a transaction.
    """
    if not anew and has_seen(account_id, key):
        return False
    # Another delivery to this account waits here, and then finds the record.
    Account.objects.select_for_update().filter(pk=account_id).values_list("id").first()
    was_seen = has_seen(account_id, key)
    if anew or not was_seen:
        SieveMemory.objects.update_or_create(
            account_id=account_id, key=_key_digest(key), defaults={"until_at": int(time()) + seconds}
        )
    return not was_seen


def delete_expired() -> int:
    """Delete expired records, at most 10,000 at once, and return their number."""
    old = SieveMemory.objects.filter(until_at__lte=int(time())).values_list("id", flat=True)
    ids = list(old[:_DELETE_BATCH])
    SieveMemory.objects.filter(id__in=ids).delete()
    return len(ids)


def _key_digest(key: str) -> str:
    return hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=32).hexdigest()
