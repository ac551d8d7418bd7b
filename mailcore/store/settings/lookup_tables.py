"""Lookup tables by name: access(5), transport(5), passwords for other hosts and others.

Restrictions and routing look a key up with `find_value`; `postmap` and the screens write. Keys are folded to lower
case. A table named in a parameter may carry Postfix's type and directory ("hash:/etc/postfix/transport"); only its last
part counts, `table_name`. Results are cached for directory_cache_time, like those of the directory.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic

from django.db import transaction

from mailcore import conf
from mailcore.conf import caches
from mailcore.models import AccessEntry
from mailcore.store.db import audit
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.notify import notifications

_LIMIT = 20_000
_BATCH = 500

_cache: dict[tuple[str, str], tuple[float, str | None]] = {}
_non_empty_cache: dict[str, tuple[float, bool]] = {}


def table_name(text: str) -> str:
    """Return the name of a table without type and directory: "transport" for "hash:/etc/postfix/transport"."""
    return text.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


_value_query = CompiledQuery(
    lambda table, key: AccessEntry.objects.filter(table=table, key=key).values_list("value"), str, str
)


def find_value(table: str, key: str) -> str | None:
    """Return the value of a key, or None if the table does not contain it."""
    cache_key = (table_name(table), key.lower())
    now = monotonic()
    if (cached := _cache.get(cache_key)) is not None and cached[0] > now:
        return cached[1]
    row = _value_query.row(*cache_key)
    value = None if row is None else str(row[0])
    if len(_cache) >= _LIMIT:
        _cache.clear()
    _cache[cache_key] = (now + conf.current().directory_cache_time, value)
    return value


def find_first(tables: Iterable[str], keys: Sequence[str]) -> str | None:
    """Return the value of the first key that one of the tables contains, key by key, or None."""
    non_empty = [table for table in tables if has_entries(table)]
    for key in keys:
        for table in non_empty:
            if (value := find_value(table, key)) is not None:
                return value
    return None


def has_entries(table: str) -> bool:
    """Return True if the table has any entry; for an empty table most messages need no lookups of their addresses."""
    name = table_name(table)
    now = monotonic()
    if (cached := _non_empty_cache.get(name)) is None or cached[0] <= now:
        cached = (now + conf.current().directory_cache_time, AccessEntry.objects.filter(table=name).exists())
        _non_empty_cache[name] = cached
    return cached[1]


def _clear_cache() -> None:
    _cache.clear()
    _non_empty_cache.clear()


caches.register(caches.Source.DATABASE, _clear_cache)


def look_up_uncached(table: str, key: str) -> str | None:
    """Return the current value of a key, bypassing the cache, also for keys that were not folded."""
    rows = AccessEntry.objects.filter(table=table_name(table), key__in=(key, key.lower()))
    return dict(rows.values_list("key", "value")).get(key, rows.values_list("value", flat=True).first())


def list_entries(table: str) -> Iterator[tuple[str, str]]:
    """Yield every (key, value), by key."""
    rows = AccessEntry.objects.filter(table=table_name(table)).order_by("key")
    yield from rows.values_list("key", "value").iterator(chunk_size=1000)


def list_tables() -> list[str]:
    """Return the names of tables that have entries."""
    return list(AccessEntry.objects.order_by("table").values_list("table", flat=True).distinct())


def replace_entries(table: str, entries: Mapping[str, str]) -> None:
    """Replace all entries of the table in one transaction."""
    name = table_name(table)
    with transaction.atomic():
        rows = AccessEntry.objects.filter(table=name)
        _record_change(name, dict(rows.values_list("key", "value")), entries)
        rows.delete()
        _insert_entries(name, entries.items())
        _tables_changed()


def add_entries(table: str, entries: Mapping[str, str], *, overwrite: bool) -> list[str]:
    """Add entries; return the keys that existed already and were overwritten or left as they were."""
    name = table_name(table)
    with transaction.atomic():
        existing: dict[str, str] = {}
        keys = list(entries)
        for start in range(0, len(keys), _BATCH):
            rows = AccessEntry.objects.filter(table=name, key__in=keys[start : start + _BATCH])
            existing |= dict(rows.values_list("key", "value"))
            if overwrite:
                rows.delete()
        skipped = set() if overwrite else set(existing)
        written = {key: value for key, value in entries.items() if key not in skipped}
        _record_change(name, {key: existing[key] for key in existing if key in written}, written)
        _insert_entries(name, written.items())
        _tables_changed()
    return list(existing)


def remove_entries(table: str, keys: Iterable[str]) -> int:
    """Remove entries and return their number."""
    entries = {each for key in keys for each in (key, key.lower())}
    with transaction.atomic():
        rows = AccessEntry.objects.filter(table=table_name(table), key__in=entries)
        removed = dict(rows.values_list("key", "value"))
        _record_change(table_name(table), removed, {})
        rows.delete()
        _tables_changed()
    return len(removed)


_PASSWORD_PARAMETERS = ("smtp_sasl_password_maps",)  # parameters that name tables of passwords
_MAX_RECORDED = 200  # a change with more entries is recorded as numbers only


def is_secret(table: str) -> bool:
    """Return True if a parameter names this table for passwords."""
    return any(table_name(each) == table for name in _PASSWORD_PARAMETERS for each in getattr(conf.current(), name))


def _record_change(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    if before == after:
        return
    if is_secret(name) or len(before) + len(after) > _MAX_RECORDED:
        audit.record_change("table.import", name, {}, {"removed": len(before), "written": len(after)})
    else:
        audit.record_change("table.change", name, before, after)


def _insert_entries(name: str, entries: Iterable[tuple[str, str]]) -> None:
    AccessEntry.objects.bulk_create(
        [AccessEntry(table=name, key=key, value=value) for key, value in entries], batch_size=_BATCH
    )


def _tables_changed() -> None:
    _clear_cache()
    transaction.on_commit(_clear_cache)
    notifications.publish_settings_changed()
