"""Sizes as administrators type them: "500 MB", "1,5 Go"; a kilobyte is 1024 bytes, as everywhere in mail."""

import re
import unicodedata

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mailcore.conf.size_format import UNITS, unit_patterns

_TYPED = re.compile(r"(\d{1,15}(?:[.,]\d{1,3})?)\s*(?:([kmgt]?)(?:i?b|字节)?)?", re.IGNORECASE)


def format_exact_size(size: int) -> str:
    """Format a size for an input field without rounding: "512 MB", or "51200000 B" if no larger unit is exact."""
    unit = 0
    while size and size % 1024 == 0 and unit < len(UNITS) - 1:
        size, unit = size // 1024, unit + 1
    return f"{size} {UNITS[unit]}" if size else "0"


def parse_size(text: str) -> int:
    """Parse a size typed in the active language's units or in "MB"; return bytes.

    Raise `ValueError` with a text for the user.
    """
    text = text.strip()
    typed = _TYPED.fullmatch(_normalize_number(text))
    if typed is None:
        raise ValueError(_("“%(text)s” is not a size such as 500 MB or 2 GB.") % {"text": text})
    number, unit = typed[1].replace(",", "."), (typed[2] or "").upper()
    plain = text[-1:].isdecimal()
    if plain and number != "0":
        raise ValueError(_("Say which unit: “%(text)s MB”?") % {"text": text})
    return int(float(number) * 1024 ** ("BKMGT".index(unit) if unit else 0))


def _normalize_number(text: str) -> str:
    """Return the text with a unit of `UNITS` and ASCII digits."""
    text = text.strip("\N{LEFT-TO-RIGHT MARK}")
    units = {
        re.sub("%[sd]|\N{LEFT-TO-RIGHT MARK}", "", pattern).strip(): unit
        for pattern, unit in zip(unit_patterns(), UNITS, strict=True)
    }
    for word in sorted(units, key=len, reverse=True):
        if text.casefold().endswith(word.casefold()):
            text = text[: -len(word)] + units[word]
            break
    return "".join(str(unicodedata.decimal(character, character)) for character in text)


class SizeField(forms.CharField):
    """A form field for a size in bytes; empty is None (the wider limit applies), 0 means no limit."""

    def __init__(self, **options: object) -> None:
        super().__init__(required=False, max_length=30, **options)  # type: ignore[arg-type]
        self.widget.attrs.setdefault("placeholder", gettext_lazy("e.g. 500 MB"))

    def prepare_value(self, value: object) -> object:
        return format_exact_size(value) if isinstance(value, int) else value

    def clean(self, value: object) -> int | None:
        text = str(value or "").strip()
        if not text:
            return None
        try:
            return parse_size(text)
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
