"""Writing aliases: an address that stands for one or many others."""

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
    """Make an alias; returns its id. A target without a domain is one of the alias's own.

    An alias with the address of an account takes the account's mail; it may name the account itself, to
    forward and keep a copy. Problem: no address, its domain not here, taken, a target that is wrong or
    nobody, a circle.
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
        raise DirectoryError({"address": _("%(address)s is there already.") % {"address": row.address}}) from error
    log.info("alias created: %s", row.address)
    return row.pk


def change_alias(alias_id: int, targets: Iterable[str], *, active: bool = True, comment: str = "") -> None:
    """Let the alias stand for these targets. Problem as for `create_alias`, or it is gone.

    Commands, files and includes that an aliases file gave this alias may stay or go; none can be added."""
    with transaction.atomic():
        row = _lock_alias(alias_id)
        before = alias_snapshot(row)
        _apply_targets(row, targets, active, comment)
        row.save()
        audit.record_change("alias.change", row.address, before, alias_snapshot(row))
        directory_changed()
    log.info("alias changed: %s", row.address)


def delete_alias(alias_id: int) -> None:
    with transaction.atomic():
        row = _lock_alias(alias_id)
        audit.record_change("alias.delete", row.address, alias_snapshot(row), {})
        row.delete()
        directory_changed()
    log.info("alias deleted: %s", row.address)


def alias_snapshot(row: Alias) -> dict[str, object]:
    """An alias as the audit keeps it."""
    return {"targets": list(row.targets), "active": row.active, "comment": row.comment}


def split_targets(text: str) -> list[str]:
    """The addresses in what a person typed: parted by commas, semicolons, white space or new lines, their
    full-width forms included."""
    return [word for word in re.split(r"[\s,;，；、]+", text) if word]


def aliases_naming(address: str) -> list[str]:
    """The aliases that deliver to this address, by name."""
    return [row.address for row in _rows_naming(f'"{address}"') if address in row.targets]


def drop_targets(fragment: str, gone: Callable[[str], bool]) -> None:
    """Take deleted addresses out of all aliases, within the caller's transaction; an alias that stands for
    nobody any more goes too. `fragment` is in the JSON text of every target that could be `gone`."""
    for row in _rows_naming(fragment):
        kept = [target for target in row.targets if not gone(target)]
        before = alias_snapshot(row)
        if not kept:
            audit.record_change("alias.delete", row.address, before, {})
            row.delete()
        elif kept != row.targets:
            row.targets = kept
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
    """Problem where the domain has all the aliases it may have."""
    most = Domain.objects.select_for_update().values_list("max_aliases", flat=True).get(pk=domain.pk)
    if most is not None and domain.aliases.count() >= most:
        raise DirectoryError({"address": _("%(domain)s has all the aliases it may have.") % {"domain": domain.name}})


def _lock_alias(alias_id: int) -> Alias:
    row = Alias.objects.select_for_update().filter(pk=alias_id).first()
    if row is None:
        raise DirectoryError({"": _("This alias is gone.")})
    return row


def _apply_targets(row: Alias, targets: Iterable[str], active: bool, comment: str) -> None:
    row.targets = _clean_targets(row, targets)
    row.special = {text: kind for text, kind in row.special.items() if text in row.targets}
    row.active, row.comment = active, comment.strip()


def _clean_targets(row: Alias, given: Iterable[str]) -> list[str]:
    """The targets, cleaned, each once, in order."""
    targets: dict[str, None] = {}
    for text in given:
        targets[text if text in row.targets else _address(text, row.domain.name)] = None
    if not targets:
        raise DirectoryError({"targets": _("An alias delivers to at least one address.")})
    limit = conf.current().virtual_alias_expansion_limit
    if len(targets) > limit:
        words = ngettext(
            "An alias delivers to at most %(limit)d address.",
            "An alias delivers to at most %(limit)d addresses.",
            limit,
        )
        raise DirectoryError({"targets": words % {"limit": limit}})
    named = [target for target in targets if target not in row.special]
    _reject_unknown_targets(named, row.address)
    _reject_loop(row.address, named)
    return list(targets)


def _address(text: str, domain: str) -> str:
    """Return the address a person gave as a target; a name alone is one of `domain`. Problem: it is none."""
    text = text.strip()
    try:
        if table_files.parse_target(text).kind:
            words = _("“%(target)s”: commands, files and lists to include come only from an aliases file.")
            raise DirectoryError({"targets": words % {"target": text}})
        address = addresses.parse_address(text.lower())
    except addresses.AddressError as error:
        raise DirectoryError({"targets": _("“%(address)s” is not an address.") % {"address": text}}) from error
    return f"{address}@{domain}" if addresses.is_bare(text.lower()) else address


def _reject_unknown_targets(targets: Iterable[str], itself: str) -> None:
    """Problem where a target's domain is ours and has nobody by its name."""
    names = {addresses.split_address(target)[1] for target in targets}
    ours = set(
        Domain.objects.filter(name__in=names, kind=Domain.Kind.LOCAL, catch_all="").values_list("name", flat=True)
    )
    delimiter = conf.current().recipient_delimiter
    for target in targets:
        local_part, domain = addresses.split_address(target)
        if domain not in ours or target == itself:
            continue
        known = (target, f"{addresses.split_extension(local_part, delimiter)[0]}@{domain}")
        if not (Account.objects.filter(address__in=known).exists() or Alias.objects.filter(address__in=known).exists()):
            raise DirectoryError({"targets": _("Nobody here is called %(address)s.") % {"address": target}})


def _reject_loop(start: str, targets: Sequence[str]) -> None:
    """Problem where following the aliases from `targets` leads back to `start`.

    An alias that names itself means the account of the same address; without one it leads nowhere.
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
                    way = " → ".join([*_loop_path(address, came_from), start])
                    raise DirectoryError({"targets": _("This goes round in a circle: %(way)s") % {"way": way}})
                if target not in came_from:
                    came_from[target] = address
                    following.append(target)
        level = following


def _loop_path(address: str, came_from: dict[str, str]) -> list[str]:
    way = [address]
    while way[-1] in came_from:
        way.append(came_from[way[-1]])
    return way[::-1]
