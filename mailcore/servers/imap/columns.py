"""FETCH responses from index columns: every attribute says which columns it needs and how a whole column of
values is spelled, so that ten thousand responses are a few passes in C and one join.
Among them OBJECTID (RFC 8474), SAVEDATE (RFC 8514) and PREVIEW (RFC 8970)."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mailcore.servers.imap.timezone import date_times
from mailcore.wire.imap import render
from mailcore.wire.imap.structure import without_extensions

Column = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """How rows become responses: `columns` to select ("uid" first), `template` to fill, `spell` to make the
    template's arguments from the columns."""

    columns: tuple[str, ...]
    template: bytes  # without the beginning ("* %d FETCH (") and the end
    parts: tuple[tuple[Callable[..., Iterable[Any]] | None, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Attribute:
    template: bytes
    columns: tuple[str, ...]
    spell: Callable[..., Iterable[Any]] | None = None  # None: the column as it is


def _flags(flags: Column, keywords: Column) -> Iterable[bytes]:
    return map(render.flag_list, flags, keywords)


def _objects(ids: Column) -> Iterable[bytes]:
    return [id_.encode("ascii") for id_ in ids]


def _previews(previews: Column) -> Iterable[bytes]:
    return [render.string(preview.encode("utf-8")) for preview in previews]


_ATTRIBUTES = {
    "UID": _Attribute(b"UID %d", ("uid",)),
    "FLAGS": _Attribute(b"FLAGS %b", ("flags", "keywords"), _flags),
    "INTERNALDATE": _Attribute(b"INTERNALDATE %b", ("internal_at",), date_times),
    "RFC822.SIZE": _Attribute(b"RFC822.SIZE %d", ("size",)),
    "ENVELOPE": _Attribute(b"ENVELOPE %b", ("envelope",)),
    "BODYSTRUCTURE": _Attribute(b"BODYSTRUCTURE %b", ("body_structure",)),
    "BODY": _Attribute(b"BODY %b", ("body_structure",), lambda column: map(without_extensions, column)),
    "MODSEQ": _Attribute(b"MODSEQ (%d)", ("modseq",)),
    "EMAILID": _Attribute(b"EMAILID (M%b)", ("email_id",), _objects),
    "THREADID": _Attribute(b"THREADID (T%b)", ("thread_id",), _objects),
    "SAVEDATE": _Attribute(b"SAVEDATE %b", ("saved_at",), date_times),
    "PREVIEW": _Attribute(b"PREVIEW %b", ("preview",), _previews),
}


def shape(attributes: Iterable[str], more: Iterable[str] = ()) -> Shape:
    """`more` are columns the caller wants besides, after those of the attributes."""
    columns: dict[str, int] = {"uid": 0}
    templates, parts = [], []
    for name in attributes:
        attribute = _ATTRIBUTES[name]
        for column in attribute.columns:
            columns.setdefault(column, len(columns))
        templates.append(attribute.template)
        parts.append((attribute.spell, tuple(columns[column] for column in attribute.columns)))
    for column in more:
        columns.setdefault(column, len(columns))
    return Shape(tuple(columns), b" ".join(templates), tuple(parts))


def spell(form: Shape, rows: Sequence[tuple[Any, ...]]) -> list[Iterable[Any]]:
    """One iterable of template arguments for each attribute."""
    columns = list(zip(*rows, strict=True))
    arguments: list[Iterable[Any]] = []
    for spelling, places in form.parts:
        chosen = [columns[place] for place in places]
        arguments.append(spelling(*chosen) if spelling is not None else chosen[0])
    return arguments
