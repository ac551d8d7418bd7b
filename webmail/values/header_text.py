"""Bytes of strangers as text a page can show. Nothing here raises, whatever the bytes."""

import re

from mailcore.wire.message import headers
from mailcore.wire.text import charsets

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def decode_header(raw: bytes | None) -> str:
    """A header field's text: encoded words and raw 8-bit bytes decoded, folds and controls gone."""
    if not raw:
        return ""
    text = headers.decode_value(raw.decode("latin-1"))
    return _CONTROLS.sub("", " ".join(text.split()))


def decode_body(octets: bytes, charset: str) -> str:
    """The characters of a text part, line ends as \\n."""
    text = charsets.decode_text(octets, charset)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
