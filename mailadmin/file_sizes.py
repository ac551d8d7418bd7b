"""Sizes as people type and read them: "500 MB", "1,5 Go"; a kilobyte is 1024 bytes, as everywhere in mail. And
counts as they read them."""

import re
import unicodedata

from django import forms
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_UNITS = ("B", "KB", "MB", "GB", "TB")
_TYPED = re.compile(r"(\d{1,15}(?:[.,]\d{1,3})?)\s*(?:([kmgt]?)(?:i?b|字节)?)?", re.IGNORECASE)


class Count(int):
    """A number of things that writes itself with the language's signs, 1,234 or 1 234, and still chooses a
    plural form."""

    def __str__(self) -> str:
        return formats.number_format(int(self), 0, force_grouping=True)


def _units() -> list[str]:
    """The active language's words for _UNITS."""
    return [_("%d B"), _("%s KB"), _("%s MB"), _("%s GB"), _("%s TB")]


def format_size(octets: int) -> str:
    """ "48.8 MB": short, for reading."""
    value, unit = float(octets), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return _units()[unit] % (formats.number_format(value, 1 if value < 100 else 0) if unit else octets)


def format_exact_size(octets: int) -> str:
    """ "512 MB", or "51200000 B" where no larger unit says it exactly: for a field to be edited."""
    unit = 0
    while octets and octets % 1024 == 0 and unit < len(_UNITS) - 1:
        octets, unit = octets // 1024, unit + 1
    return f"{octets} {_UNITS[unit]}" if octets else "0"


def parse_size(text: str) -> int:
    """Bytes of what was typed, in the active language's units or in "MB". ValueError with words for a person."""
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
    """Units as _UNITS has them, digits as ASCII has them."""
    text = text.strip("\N{LEFT-TO-RIGHT MARK}")
    words = {
        re.sub("%[sd]|\N{LEFT-TO-RIGHT MARK}", "", own).strip(): u for own, u in zip(_units(), _UNITS, strict=True)
    }
    for word in sorted(words, key=len, reverse=True):
        if text.casefold().endswith(word.casefold()):
            text = text[: -len(word)] + words[word]
            break
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in text)


class SizeField(forms.CharField):
    """A size; empty means "as the wider limit says" and is None, 0 means no limit."""

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
