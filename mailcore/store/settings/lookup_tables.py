"""Lookup tables by name: access(5), transport(5), passwords for other hosts and their like.

Restrictions and routing ask `find` with a key; `postmap` and the screens write. Keys are folded to lower
case. A table named in a parameter may carry Postfix's type and directory ("hash:/etc/postfix/transport"):
what counts is its last part, `table_name`. Answers are remembered for directory_cache_time, as the
directory's are.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic

from django.db import transaction

from mailcore import conf
from mailcore.models import AccessEntry
from mailcore.store.db import audit
from mailcore.store.db.compiled_queries import CompiledQuery
from mailcore.store.notify import notifications

_LIMIT = 20_000
_AT_ONCE = 500

_known: dict[tuple[str, str], tuple[float, str | None]] = {}
_filled: dict[str, tuple[float, bool]] = {}


def table_name(text: str) -> str:
    """ "transport" of "hash:/etc/postfix/transport"."""
    return text.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


_rows = CompiledQuery(
    lambda table, key: AccessEntry.objects.filter(table=table, key=key).values_list("value"), str, str
)


def find_value(table: str, key: str) -> str | None:
    """The value of a key, None where the table does not have it."""
    asked = (table_name(table), key.lower())
    now = monotonic()
    if (known := _known.get(asked)) is not None and known[0] > now:
        return known[1]
    row = _rows.row(*asked)
    value = None if row is None else str(row[0])
    if len(_known) >= _LIMIT:
        _known.clear()
    _known[asked] = (now + conf.current().directory_cache_time, value)
    return value


def find_first(tables: Iterable[str], keys: Sequence[str]) -> str | None:
    """The value of the first key that one of the tables has, key by key."""
    filled = [table for table in tables if has_entries(table)]
    for key in keys:
        for table in filled:
            if (value := find_value(table, key)) is not None:
                return value
    return None


def has_entries(table: str) -> bool:
    """Is there anything in the table? Spares most messages the look for their addresses."""
    name = table_name(table)
    now = monotonic()
    if (known := _filled.get(name)) is None or known[0] <= now:
        known = (now + conf.current().directory_cache_time, AccessEntry.objects.filter(table=name).exists())
        _filled[name] = known
    return known[1]


def clear_cache() -> None:
    """Ask the database again from now on."""
    _known.clear()
    _filled.clear()


def look_up_uncached(table: str, key: str) -> str | None:
    """`find`, but as the database has it now and with the key as it is (for keys that were not folded)."""
    found = AccessEntry.objects.filter(table=table_name(table), key__in=(key, key.lower()))
    return dict(found.values_list("key", "value")).get(key, found.values_list("value", flat=True).first())


def list_entries(table: str) -> Iterator[tuple[str, str]]:
    """Every (key, value), by key."""
    rows = AccessEntry.objects.filter(table=table_name(table)).order_by("key")
    yield from rows.values_list("key", "value").iterator(chunk_size=1000)


def list_tables() -> list[str]:
    """The tables that have entries."""
    return list(AccessEntry.objects.order_by("table").values_list("table", flat=True).distinct())


def replace_entries(table: str, wanted: Mapping[str, str]) -> None:
    """Let the table have these entries and no others, in one transaction."""
    name = table_name(table)
    with transaction.atomic():
        rows = AccessEntry.objects.filter(table=name)
        _record_change(name, dict(rows.values_list("key", "value")), wanted)
        rows.delete()
        _insert_entries(name, wanted.items())
        _tables_changed()


def add_entries(table: str, wanted: Mapping[str, str], *, overwrite: bool) -> list[str]:
    """Add entries. Returns the keys that were there already: overwritten, or left as they were."""
    name = table_name(table)
    with transaction.atomic():
        there: dict[str, str] = {}
        keys = list(wanted)
        for start in range(0, len(keys), _AT_ONCE):
            rows = AccessEntry.objects.filter(table=name, key__in=keys[start : start + _AT_ONCE])
            there |= dict(rows.values_list("key", "value"))
            if overwrite:
                rows.delete()
        skipped = set() if overwrite else set(there)
        written = {key: value for key, value in wanted.items() if key not in skipped}
        _record_change(name, {key: there[key] for key in there if key in written}, written)
        _insert_entries(name, written.items())
        _tables_changed()
    return list(there)


def remove_entries(table: str, keys: Iterable[str]) -> int:
    """Remove entries; returns how many there were."""
    wanted = {each for key in keys for each in (key, key.lower())}
    with transaction.atomic():
        rows = AccessEntry.objects.filter(table=table_name(table), key__in=wanted)
        gone = dict(rows.values_list("key", "value"))
        _record_change(table_name(table), gone, {})
        rows.delete()
        _tables_changed()
    return len(gone)


_SECRET = ("smtp_sasl_password_maps",)  # parameters whose tables hold passwords
_NOTED = 200  # entries a change names; of larger ones only how many there were


def is_secret(table: str) -> bool:
    """Does a parameter name this table for passwords?"""
    return any(table_name(each) == table for name in _SECRET for each in getattr(conf.current(), name))


def _record_change(name: str, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    if before == after:
        return
    if is_secret(name) or len(before) + len(after) > _NOTED:
        audit.record_change("table.import", name, {}, {"removed": len(before), "written": len(after)})
    else:
        audit.record_change("table.change", name, before, after)


def _insert_entries(name: str, wanted: Iterable[tuple[str, str]]) -> None:
    AccessEntry.objects.bulk_create(
        [AccessEntry(table=name, key=key, value=value) for key, value in wanted], batch_size=_AT_ONCE
    )


def _tables_changed() -> None:
    clear_cache()
    transaction.on_commit(clear_cache)
    notifications.publish_settings_changed()
