"""Changes of aliases: an alias is an address that stands for one or more others."""

import logging
import re
from collections.abc import Callable, Iterable, Sequence

from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailcore import conf
from mailcore.models import Account, Alias, Domain
from mailcore.store.db import audit
from mailcore.store.directory.directory_error import DirectoryError, directory_changed
from mailcore.wire.files import table_files
from mailcore.wire.message import envelope_address as addresses

log = logging.getLogger("mailcore.aliases")


def create_alias(address: str, targets: Iterable[str], *, active: bool = True, comment: str = "") -> int:
    """Create an alias and return its id.

    A target without a domain is in the alias's own. An alias with the address of an account takes the account's mail;
    it may name the account itself, to forward and keep a copy. Raise DirectoryError for an invalid or taken address, a
    domain that is not local, an invalid or unknown target, or a loop.
    """
    local_part, domain = _parse_address(address)
    row = Alias(address=f"{local_part}@{domain.name}", local_part=local_part, domain=domain)
    try:
        with transaction.atomic():
            _check_alias_limit(domain)
            _apply_targets(row, targets, active, comment)
            row.save(force_insert=True)
            audit.record_change("alias.create", row.address, {}, alias_snapshot(row))
            directory_changed()
    except IntegrityError as error:
        raise DirectoryError({"address": _("%(address)s already exists.") % {"address": row.address}}) from error
    log.info("alias created: %s", row.address)
    return row.pk


def change_alias(alias_id: int, targets: Iterable[str], *, active: bool = True, comment: str = "") -> None:
    """Set the targets of an alias; raise DirectoryError as `create_alias` does, or if it does not exist.

    Commands, files and includes that an aliases file gave this alias may stay or be removed; none can be added.
    """
    with transaction.atomic():
        row = _lock_alias(alias_id)
        before = alias_snapshot(row)
        _apply_targets(row, targets, active, comment)
        row.save()
        audit.record_change("alias.change", row.address, before, alias_snapshot(row))
        directory_changed()
    log.info("alias changed: %s", row.address)


def delete_alias(alias_id: int) -> None:
    """Delete an alias; raise DirectoryError if it does not exist."""
    with transaction.atomic():
        row = _lock_alias(alias_id)
        audit.record_change("alias.delete", row.address, alias_snapshot(row), {})
        row.delete()
        directory_changed()
    log.info("alias deleted: %s", row.address)


def alias_snapshot(row: Alias) -> dict[str, object]:
    """Return an alias as the audit log records it."""
    return {"targets": list(row.targets), "active": row.active, "comment": row.comment}


def split_targets(text: str) -> list[str]:
    """Return the addresses a person typed, separated by commas, semicolons or white space, also full-width ones."""
    return [word for word in re.split(r"[\s,;，；、]+", text) if word]


def aliases_naming(address: str) -> list[str]:
    """Return the aliases that deliver to this address, by name."""
    return [row.address for row in _rows_naming(f'"{address}"') if address in row.targets]


def drop_targets(fragment: str, is_deleted: Callable[[str], bool]) -> None:
    """Remove deleted addresses from all aliases, within the caller's transaction; delete aliases left without targets.

    `fragment` occurs in the JSON text of every target for which `is_deleted` may be true.
    """
    for row in _rows_naming(fragment):
        remaining = [target for target in row.targets if not is_deleted(target)]
        before = alias_snapshot(row)
        if not remaining:
            audit.record_change("alias.delete", row.address, before, {})
            row.delete()
        elif remaining != row.targets:
            row.targets = remaining
            row.save(update_fields=["targets"])
            audit.record_change("alias.change", row.address, before, alias_snapshot(row))


def _rows_naming(fragment: str) -> Iterable[Alias]:
    return Alias.objects.filter(targets__icontains=fragment).order_by("address")


def _parse_address(address: str) -> tuple[str, Domain]:
    try:
        address = addresses.parse_address(address.strip().lower())
    except addresses.AddressError as error:
        raise DirectoryError({"address": _("“%(address)s” is not an address.") % {"address": address}}) from error
    local_part, name = addresses.split_address(address)
    domain = Domain.objects.filter(name=name, kind=Domain.Kind.LOCAL).first()
    if domain is None:
        message = _("%(domain)s is not a domain with mailboxes here.") % {"domain": name or "?"}
        raise DirectoryError({"address": message})
    return local_part, domain


def _check_alias_limit(domain: Domain) -> None:
    """Raise DirectoryError if the domain has as many aliases as it may have."""
    most = Domain.objects.select_for_update().values_list("max_aliases", flat=True).get(pk=domain.pk)
    if most is not None and domain.aliases.count() >= most:
        raise DirectoryError({"address": _("%(domain)s has reached its limit of aliases.") % {"domain": domain.name}})


def _lock_alias(alias_id: int) -> Alias:
    row = Alias.objects.select_for_update().filter(pk=alias_id).first()
    if row is None:
        raise DirectoryError({"": _("This alias no longer exists.")})
    return row


def _apply_targets(row: Alias, targets: Iterable[str], active: bool, comment: str) -> None:
    row.targets = _clean_targets(row, targets)
    row.special = {text: kind for text, kind in row.special.items() if text in row.targets}
    row.active, row.comment = active, comment.strip()


def _clean_targets(row: Alias, texts: Iterable[str]) -> list[str]:
    """Return the targets, normalized, each once, in order."""
    targets: dict[str, None] = {}
    for text in texts:
        targets[text if text in row.targets else _parse_target(text, row.domain.name)] = None
    if not targets:
        raise DirectoryError({"targets": _("An alias delivers to at least one address.")})
    limit = conf.current().virtual_alias_expansion_limit
    if len(targets) > limit:
        message = ngettext(
            "An alias delivers to at most %(limit)d address.",
            "An alias delivers to at most %(limit)d addresses.",
            limit,
        )
        raise DirectoryError({"targets": message % {"limit": limit}})
    plain = [target for target in targets if target not in row.special]
    _reject_unknown_targets(plain, row.address)
    _reject_loop(row.address, plain)
    return list(targets)


def _parse_target(text: str, domain: str) -> str:
    """Return a typed target as an address, in `domain` if it names none; raise DirectoryError if invalid."""
    text = text.strip()
    try:
        if table_files.parse_target(text).kind:
            message = _("“%(target)s”: commands, files and included lists can only come from an aliases file.")
            raise DirectoryError({"targets": message % {"target": text}})
        address = addresses.parse_address(text.lower())
    except addresses.AddressError as error:
        raise DirectoryError({"targets": _("“%(address)s” is not an address.") % {"address": text}}) from error
    return f"{address}@{domain}" if addresses.is_bare(text.lower()) else address


def _reject_unknown_targets(targets: Iterable[str], own_address: str) -> None:
    """Raise DirectoryError for a target in a local domain that has no such account or alias."""
    names = {addresses.split_address(target)[1] for target in targets}
    local_domains = set(
        Domain.objects.filter(name__in=names, kind=Domain.Kind.LOCAL, catch_all="").values_list("name", flat=True)
    )
    delimiter = conf.current().recipient_delimiter
    for target in targets:
        local_part, domain = addresses.split_address(target)
        if domain not in local_domains or target == own_address:
            continue
        candidates = (target, f"{addresses.split_extension(local_part, delimiter)[0]}@{domain}")
        if not (
            Account.objects.filter(address__in=candidates).exists()
            or Alias.objects.filter(address__in=candidates).exists()
        ):
            raise DirectoryError({"targets": _("There is no account or alias %(address)s here.") % {"address": target}})


def _reject_loop(start: str, targets: Sequence[str]) -> None:
    """Raise DirectoryError if following the aliases from `targets` leads back to `start`.

    An alias that names itself means the account of the same address; without one it is an error.
    """
    if start in targets and not Account.objects.filter(address=start).exists():
        raise DirectoryError({"targets": _("%(address)s would deliver to itself.") % {"address": start}})
    came_from: dict[str, str] = {target: start for target in targets if target != start}
    level = list(came_from)
    while level:
        following: list[str] = []
        for address, listed in Alias.objects.filter(address__in=level).values_list("address", "targets"):
            for target in listed:
                if target == start:
                    path = " → ".join([*_loop_path(address, came_from), start])
                    raise DirectoryError({"targets": _("These aliases form a loop: %(way)s") % {"way": path}})
                if target not in came_from:
                    came_from[target] = address
                    following.append(target)
        level = following


def _loop_path(address: str, came_from: dict[str, str]) -> list[str]:
    path = [address]
    while path[-1] in came_from:
        path.append(came_from[path[-1]])
    return path[::-1]
