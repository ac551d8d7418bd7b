"""Decoding of untrusted headers and bodies to text a page can show; nothing here raises."""

import re

from mailcore.wire.message import headers
from mailcore.wire.text import charsets

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f]")


def decode_header(raw: bytes | None, charset: str = "") -> str:
    """Return a header field's text: encoded words and raw 8-bit bytes decoded, unfolded, without control characters.

    `charset` is that of the message's text, which raw bytes are likely to have too.
    """
    if not raw:
        return ""
    text = headers.decode_value(raw.decode("latin-1"), charset)
    return _CONTROLS.sub("", " ".join(text.split()))


def decode_body(data: bytes, charset: str) -> str:
    r"""Return the characters of a text part, with \n line ends."""
    text = charsets.decode_text(data, charset)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
