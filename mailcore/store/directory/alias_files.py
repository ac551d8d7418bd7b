"""Aliases as text: what an alias file (aliases(5)) says goes into the table, and comes out again.

Called by `postalias` and `newaliases`. An alias remembers the file it came from: reading the file again
takes back what is no longer in it, and leaves alone what was made elsewhere. Unlike `aliases.create_alias`
this takes what Postfix takes: targets may be unknown here, commands, files and includes.
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

_AT_ONCE = 500


def replace_aliases(source: str, wanted: Mapping[str, tuple[table_files.Target, ...]]) -> int:
    """Let the aliases of one file be these (name → targets). An alias of the same name made elsewhere is
    taken over. Returns how many the file has now. Problem: there is no domain for names without one."""
    with transaction.atomic():
        domain = _home_domain()
        gone = Alias.objects.filter(domain=domain, source=source).exclude(local_part__in=list(wanted)).delete()[0]
        _write_aliases(domain, source, wanted)
        _record_changes(domain, source, len(wanted), gone)
        directory_changed()
    log.info("aliases read from a file: %d", len(wanted))
    return len(wanted)


def add_aliases(source: str, wanted: Mapping[str, tuple[table_files.Target, ...]], *, overwrite: bool) -> list[str]:
    """Add aliases. Returns the names that were there already: overwritten, or left as they were."""
    with transaction.atomic():
        domain = _home_domain()
        there = list(
            Alias.objects.filter(domain=domain, local_part__in=list(wanted)).values_list("local_part", flat=True)
        )
        kept = set() if overwrite else set(there)
        _write_aliases(domain, source, {name: targets for name, targets in wanted.items() if name not in kept})
        _record_changes(domain, source, len(wanted) - len(kept), 0)
        directory_changed()
    return there


def remove_aliases(names: Iterable[str]) -> int:
    """Remove aliases by name; returns how many there were."""
    with transaction.atomic():
        domain = _home_domain()
        count, _ = Alias.objects.filter(domain=domain, local_part__in=[name.lower() for name in names]).delete()
        _record_changes(domain, "", 0, count)
        directory_changed()
    return count


def find_alias_text(name: str) -> str | None:
    """What an alias stands for, as text; None where there is none."""
    domain = _home_domain()
    row = Alias.objects.filter(domain=domain, local_part=name.lower(), active=True).first()
    return None if row is None else table_files.format_targets(row.targets, domain.name, row.special)


def list_alias_entries() -> Iterator[tuple[str, str]]:
    """(name, targets as text) of every alias, by name."""
    domain = _home_domain()
    rows = Alias.objects.filter(domain=domain, active=True).order_by("local_part")
    for name, targets, special in rows.values_list("local_part", "targets", "special").iterator(chunk_size=1000):
        yield name, table_files.format_targets(targets, domain.name, special)


def _record_changes(domain: Domain, source: str, written: int, removed: int) -> None:
    after = {"written": written, "removed": removed, "source": source}
    audit.record_change("alias.file", f"@{domain.name}", {}, after)


def _home_domain() -> Domain:
    """The domain of names without one."""
    name = home_domain()
    domain = Domain.objects.filter(name=name, kind=Domain.Kind.LOCAL).first()
    if domain is None:
        raise DirectoryError({"": f"{name} is not a domain with mailboxes here (mydomain)"})
    return domain


def _write_aliases(domain: Domain, source: str, wanted: Mapping[str, tuple[table_files.Target, ...]]) -> None:
    """Aliases that are there are changed in place: their age and comment stay."""
    names = list(wanted)
    for start in range(0, len(names), _AT_ONCE):
        chosen = names[start : start + _AT_ONCE]
        there = {row.local_part: row for row in Alias.objects.filter(domain=domain, local_part__in=chosen)}
        fresh = []
        for name in chosen:
            row = there.get(name) or Alias(address=f"{name}@{domain.name}", local_part=name, domain=domain)
            texts = {_qualify_target(target, domain.name): target.kind for target in wanted[name]}
            row.targets, row.special = list(texts), {text: kind for text, kind in texts.items() if kind}
            row.source, row.active = source, True
            if name not in there:
                fresh.append(row)
        Alias.objects.bulk_create(fresh)
        Alias.objects.bulk_update(there.values(), ["targets", "special", "source", "active"])


def _qualify_target(target: table_files.Target, domain: str) -> str:
    return target.text if target.kind or "@" in target.text else f"{target.text}@{domain}"
