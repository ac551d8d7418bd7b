"""i;unicode-casemap (RFC 5051), the collation of SORT's keys (RFC 5256 §3): equal to i;ascii-casemap for ASCII.

Letters become upper case, so that "[" and "_" follow them (RFC 4790 §9.2), and letters with accents are sorted with
those without.
"""

import unicodedata


def casemap(text: str) -> str:
    """Return the key that orders `text`, by code point; without NUL, which databases refuse."""
    key = text.upper() if text.isascii() else unicodedata.normalize("NFKD", "".join(map(_titlecase, text)))
    return key.replace("\0", "") if "\0" in key else key


def _titlecase(character: str) -> str:
    """Return the titlecase property of UnicodeData.txt; str.title would also expand "ß" to two characters."""
    title = character.title()
    return title if len(title) == 1 else character
