"""Aliases as text: what an alias file (aliases(5)) says goes into the table, and comes out again.

Called by `postalias` and `newaliases`. An alias remembers the file it came from: reading the file again
takes back what is no longer in it, and leaves alone what was made elsewhere. Unlike `aliases.create_alias`
this takes what Postfix takes: targets may be unknown here, commands, files and includes.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping

from django.db import transaction

from mailcore.models import Alias, Domain
from mailcore.store import audit
from mailcore.store.directory.lookup import home_domain
from mailcore.store.directory.problem import Problem, changed
from mailcore.wire import tables

log = logging.getLogger(__name__)

_AT_ONCE = 500


def replace_from(source: str, wanted: Mapping[str, tuple[tables.Target, ...]]) -> int:
    """Let the aliases of one file be these (name → targets). An alias of the same name made elsewhere is
    taken over. Returns how many the file has now. Problem: there is no domain for names without one."""
    with transaction.atomic():
        domain = _home()
        gone = Alias.objects.filter(domain=domain, source=source).exclude(local_part__in=list(wanted)).delete()[0]
        _write(domain, source, wanted)
        _note(domain, source, len(wanted), gone)
        changed()
    log.info("aliases read from a file: %d", len(wanted))
    return len(wanted)


def add(source: str, wanted: Mapping[str, tuple[tables.Target, ...]], *, overwrite: bool) -> list[str]:
    """Add aliases. Returns the names that were there already: overwritten, or left as they were."""
    with transaction.atomic():
        domain = _home()
        there = list(
            Alias.objects.filter(domain=domain, local_part__in=list(wanted)).values_list("local_part", flat=True)
        )
        kept = set() if overwrite else set(there)
        _write(domain, source, {name: targets for name, targets in wanted.items() if name not in kept})
        _note(domain, source, len(wanted) - len(kept), 0)
        changed()
    return there


def remove(names: Iterable[str]) -> int:
    """Remove aliases by name; returns how many there were."""
    with transaction.atomic():
        domain = _home()
        count, _ = Alias.objects.filter(domain=domain, local_part__in=[name.lower() for name in names]).delete()
        _note(domain, "", 0, count)
        changed()
    return count


def find(name: str) -> str | None:
    """What an alias stands for, as text; None where there is none."""
    domain = _home()
    row = Alias.objects.filter(domain=domain, local_part=name.lower(), active=True).first()
    return None if row is None else tables.render_targets(row.targets, domain.name, row.special)


def entries() -> Iterator[tuple[str, str]]:
    """(name, targets as text) of every alias, by name."""
    domain = _home()
    rows = Alias.objects.filter(domain=domain, active=True).order_by("local_part")
    for name, targets, special in rows.values_list("local_part", "targets", "special").iterator(chunk_size=1000):
        yield name, tables.render_targets(targets, domain.name, special)


def _note(domain: Domain, source: str, written: int, removed: int) -> None:
    after = {"written": written, "removed": removed, "source": source}
    audit.note("alias.file", f"@{domain.name}", {}, after)


def _home() -> Domain:
    """The domain of names without one."""
    name = home_domain()
    domain = Domain.objects.filter(name=name, kind=Domain.Kind.LOCAL).first()
    if domain is None:
        raise Problem({"": f"{name} is not a domain with mailboxes here (mydomain)"})
    return domain


def _write(domain: Domain, source: str, wanted: Mapping[str, tuple[tables.Target, ...]]) -> None:
    """Aliases that are there are changed in place: their age and comment stay."""
    names = list(wanted)
    for start in range(0, len(names), _AT_ONCE):
        chosen = names[start : start + _AT_ONCE]
        there = {row.local_part: row for row in Alias.objects.filter(domain=domain, local_part__in=chosen)}
        fresh = []
        for name in chosen:
            row = there.get(name) or Alias(address=f"{name}@{domain.name}", local_part=name, domain=domain)
            texts = {_full(target, domain.name): target.kind for target in wanted[name]}
            row.targets, row.special = list(texts), {text: kind for text, kind in texts.items() if kind}
            row.source, row.active = source, True
            if name not in there:
                fresh.append(row)
        Alias.objects.bulk_create(fresh)
        Alias.objects.bulk_update(there.values(), ["targets", "special", "source", "active"])


def _full(target: tables.Target, domain: str) -> str:
    return target.text if target.kind or "@" in target.text else f"{target.text}@{domain}"
