"""SASLprep (RFC 4013): the form of a name or password that SCRAM compares."""

import stringprep
import unicodedata

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def saslprep(text: str) -> str:
    """Return `text` prepared as a stored string; printable ASCII is returned unchanged.

    Raise ValueError if it contains a prohibited character.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    prepared = unicodedata.normalize("NFKC", mapped)
    if any(prohibited(c) for c in prepared for prohibited in _PROHIBITED):
        raise ValueError("prohibited character")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    """Raise ValueError if right-to-left text has left-to-right characters or wrong ends (RFC 3454 §6)."""
    if not any(stringprep.in_table_d1(c) for c in text):
        return
    mixed = any(stringprep.in_table_d2(c) for c in text)
    if mixed or not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise ValueError("text of mixed direction")
