"""Aliases as text: an alias file (aliases(5)) is read into the table and written out again.

Called by `postalias` and `newaliases`. An alias records the file it came from: reading the file again removes aliases
no longer in it, and leaves those created elsewhere alone. Unlike `alias_changes.create_alias` this accepts what Postfix
accepts: unknown targets, commands, files and includes.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

from django.db import transaction

from mailcore.models import Alias, Domain
from mailcore.store.db import audit
from mailcore.store.directory.directory_error import DirectoryError, directory_changed
from mailcore.store.directory.lookup import home_domain
from mailcore.wire.files import table_files

log = logging.getLogger("mailcore.aliases")

_BATCH = 500


def replace_aliases(source: str, aliases: Mapping[str, tuple[table_files.Target, ...]]) -> int:
    """Replace the aliases of one file by these (name → targets), and return their number.

    An alias of the same name from elsewhere is taken over. Raise DirectoryError if there is no domain for names without
    one.
    """
    with transaction.atomic():
        domain = _home_domain()
        removed_count = (
            Alias.objects.filter(domain=domain, source=source).exclude(local_part__in=list(aliases)).delete()[0]
        )
        _write_aliases(domain, source, aliases)
        _record_changes(domain, source, len(aliases), removed_count)
        directory_changed()
    log.info("aliases read from a file: %d", len(aliases))
    return len(aliases)


def add_aliases(source: str, aliases: Mapping[str, tuple[table_files.Target, ...]], *, overwrite: bool) -> list[str]:
    """Add aliases; return the names that existed already and were overwritten or left as they were."""
    with transaction.atomic():
        domain = _home_domain()
        existing = list(
            Alias.objects.filter(domain=domain, local_part__in=list(aliases)).values_list("local_part", flat=True)
        )
        skipped = set() if overwrite else set(existing)
        _write_aliases(domain, source, {name: targets for name, targets in aliases.items() if name not in skipped})
        _record_changes(domain, source, len(aliases) - len(skipped), 0)
        directory_changed()
    return existing


def remove_aliases(names: Iterable[str]) -> int:
    """Remove aliases by name and return how many existed."""
    with transaction.atomic():
        domain = _home_domain()
        count, _ = Alias.objects.filter(domain=domain, local_part__in=[name.lower() for name in names]).delete()
        _record_changes(domain, "", 0, count)
        directory_changed()
    return count


def find_alias_text(name: str) -> str | None:
    """Return the targets of an alias as text, or None if there is no such alias."""
    domain = _home_domain()
    row = Alias.objects.filter(domain=domain, local_part=name.lower(), active=True).first()
    return None if row is None else table_files.format_targets(row.targets, domain.name, row.special)


def list_alias_entries() -> Iterator[tuple[str, str]]:
    """Yield (name, targets as text) of every alias, by name."""
    domain = _home_domain()
    rows = Alias.objects.filter(domain=domain, active=True).order_by("local_part")
    for name, targets, special in rows.values_list("local_part", "targets", "special").iterator(chunk_size=1000):
        yield name, table_files.format_targets(targets, domain.name, special)


def _record_changes(domain: Domain, source: str, written: int, removed: int) -> None:
    after = {"written": written, "removed": removed, "source": source}
    audit.record_change("alias.file", f"@{domain.name}", {}, after)


def _home_domain() -> Domain:
    """Return the domain of names without one."""
    name = home_domain()
    domain = Domain.objects.filter(name=name, kind=Domain.Kind.LOCAL).first()
    if domain is None:
        raise DirectoryError({"": f"{name} is not a domain with mailboxes here (mydomain)"})
    return domain


def _write_aliases(domain: Domain, source: str, aliases: Mapping[str, tuple[table_files.Target, ...]]) -> None:
    """Write aliases; existing ones are changed in place, so that their creation time and comment stay."""
    names = list(aliases)
    for start in range(0, len(names), _BATCH):
        batch = names[start : start + _BATCH]
        existing = {row.local_part: row for row in Alias.objects.filter(domain=domain, local_part__in=batch)}
        added = []
        for name in batch:
            row = existing.get(name) or Alias(address=f"{name}@{domain.name}", local_part=name, domain=domain)
            texts = {_qualify_target(target, domain.name): target.kind for target in aliases[name]}
            row.targets, row.special = list(texts), {text: kind for text, kind in texts.items() if kind}
            row.source, row.active = source, True
            if name not in existing:
                added.append(row)
        Alias.objects.bulk_create(added)
        Alias.objects.bulk_update(existing.values(), ["targets", "special", "source", "active"])


def _qualify_target(target: table_files.Target, domain: str) -> str:
    return target.text if target.kind or "@" in target.text else f"{target.text}@{domain}"
