"""FETCH responses from index columns.

Each attribute defines the columns it needs and how to format a whole column of values, so that ten thousand responses
are a few passes in C and one join. Among the attributes are OBJECTID (RFC 8474), SAVEDATE (RFC 8514) and PREVIEW
(RFC 8970).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mailcore.servers.imap.internal_dates import format_internal_dates
from mailcore.wire.imap import response_format
from mailcore.wire.imap.body_without_extensions import strip_extensions

Column = Sequence[Any]


@dataclass(frozen=True, slots=True)
class FetchTemplate:
    """The plan for formatting rows as responses.

    `columns` are selected ("uid" first), `template` is filled, `parts` make the template's arguments from the columns.
    """

    columns: tuple[str, ...]
    template: bytes  # Without the beginning ("* %d FETCH (") and the end.
    parts: tuple[tuple[Callable[..., Iterable[Any]] | None, tuple[int, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Attribute:
    template: bytes
    columns: tuple[str, ...]
    format_values: Callable[..., Iterable[Any]] | None = None  # None for the column as it is.


def _format_flags(flags: Column, keywords: Column) -> Iterable[bytes]:
    return map(response_format.format_flags, flags, keywords)


def _format_object_ids(ids: Column) -> Iterable[bytes]:
    return [id_.encode("ascii") for id_ in ids]


def _format_previews(previews: Column) -> Iterable[bytes]:
    return [response_format.format_string(preview.encode("utf-8")) for preview in previews]


_ATTRIBUTES = {
    "UID": _Attribute(b"UID %d", ("uid",)),
    "FLAGS": _Attribute(b"FLAGS %b", ("flags", "keywords"), _format_flags),
    "INTERNALDATE": _Attribute(b"INTERNALDATE %b", ("internal_at",), format_internal_dates),
    "RFC822.SIZE": _Attribute(b"RFC822.SIZE %d", ("size",)),
    "ENVELOPE": _Attribute(b"ENVELOPE %b", ("envelope",)),
    "BODYSTRUCTURE": _Attribute(b"BODYSTRUCTURE %b", ("body_structure",)),
    "BODY": _Attribute(b"BODY %b", ("body_structure",), lambda column: map(strip_extensions, column)),
    "MODSEQ": _Attribute(b"MODSEQ (%d)", ("modseq",)),
    "EMAILID": _Attribute(b"EMAILID (M%b)", ("email_id",), _format_object_ids),
    "THREADID": _Attribute(b"THREADID (T%b)", ("thread_id",), _format_object_ids),
    "SAVEDATE": _Attribute(b"SAVEDATE %b", ("saved_at",), format_internal_dates),
    "PREVIEW": _Attribute(b"PREVIEW %b", ("preview",), _format_previews),
}


def fetch_template(attributes: Iterable[str], more: Iterable[str] = ()) -> FetchTemplate:
    """Return the template for these attributes; `more` are additional columns for the caller, after the others."""
    columns: dict[str, int] = {"uid": 0}
    templates, parts = [], []
    for name in attributes:
        attribute = _ATTRIBUTES[name]
        for column in attribute.columns:
            columns.setdefault(column, len(columns))
        templates.append(attribute.template)
        parts.append((attribute.format_values, tuple(columns[column] for column in attribute.columns)))
    for column in more:
        columns.setdefault(column, len(columns))
    return FetchTemplate(tuple(columns), b" ".join(templates), tuple(parts))


def format_rows(form: FetchTemplate, rows: Sequence[tuple[Any, ...]]) -> list[Iterable[Any]]:
    """Return one iterable of template arguments per attribute."""
    columns = list(zip(*rows, strict=True))
    arguments: list[Iterable[Any]] = []
    for formatter, indexes in form.parts:
        values = [columns[index] for index in indexes]
        arguments.append(formatter(*values) if formatter is not None else values[0])
    return arguments
