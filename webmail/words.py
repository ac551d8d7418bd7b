"""Octets of strangers as text a page can show. Nothing here raises, whatever the octets."""

import re

from mailcore.wire import charsets, headers

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def header(raw: bytes | None) -> str:
    """A header field's text: encoded words and raw 8-bit octets decoded, folds and controls gone."""
    if not raw:
        return ""
    text = headers.decoded(raw.decode("latin-1"))
    return _CONTROLS.sub("", " ".join(text.split()))


def body(octets: bytes, charset: str) -> str:
    """The characters of a text part, line ends as \\n."""
    text = charsets.decode(octets, charset)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
