"""Changes of a message's header by a script (RFC 5293).

A header is a list of raw fields, each with its continuation lines and line ends, so that a field that is not changed
keeps its octets.
"""

import re
from collections.abc import Callable, Sequence
from email.header import Header

from mailcore.wire.message import headers

_FIELD = re.compile(rb"[^\n]*\n(?:[ \t][^\n]*\n)*|[^\n]+\Z")
_NAME = re.compile(r"[!-9;-~]{1,100}")
_LINE_LENGTH = 76  # characters (RFC 5322 §2.1.1)
# These tell loops and answers by programs, so no script may delete them (RFC 5293 §5).
NEVER_DELETED = frozenset(("received", "auto-submitted"))


def is_field_name(name: str) -> bool:
    """Return True for a name that a header field may have (RFC 5322 §3.6.8)."""
    return _NAME.fullmatch(name) is not None


def split_raw_fields(header: bytes) -> tuple[list[bytes], bytes]:
    """Return the raw fields of a header, and the empty line that ends it (b"" if there is none)."""
    fields = _FIELD.findall(header)
    end = fields.pop() if fields and fields[-1] in (b"\r\n", b"\n") else b""
    return fields, end


def field_name(field: bytes) -> str:
    """Return the name of a raw field in lower case, "" of a line that is no field."""
    name, colon, _ = field.partition(b":")
    return name.rstrip(b" \t").decode("latin-1").lower() if colon else ""


def field_value(field: bytes) -> str:
    """Return a raw field's value decoded, as tests see it."""
    return headers.decode_value(field.partition(b":")[2].decode("latin-1")).strip()


def render_field(name: str, value: str, line_end: bytes) -> bytes:
    """Return a new field, folded, with what is not ASCII as encoded words (RFC 2047)."""
    charset = "us-ascii" if value.isascii() else "utf-8"
    text = Header(value, charset, maxlinelen=_LINE_LENGTH, header_name=name).encode(linesep=line_end.decode())
    return f"{name}: {text}".encode("ascii") + line_end


def matching_fields(
    fields: Sequence[bytes], name: str, index: int | None, has_value: Callable[[str], bool]
) -> frozenset[int]:
    """Return the positions of the fields of this name (any case) whose value fits.

    `index`: only the field at this index among those of the name, negative from the end.
    """
    found = [at for at, field in enumerate(fields) if field_name(field) == name.lower()]
    if index is not None:
        found = [found[index]] if -len(found) <= index < len(found) else []
    return frozenset(at for at in found if has_value(field_value(fields[at])))
