"""Sizes and counts as people read them, in the active language; shared by the webmail and the administration.

A kilobyte is 1024 bytes, as everywhere in mail. Of Django only the translations and number formats are used.
"""

from collections.abc import Callable

from django.utils import formats
from django.utils.translation import gettext as _

UNITS = ("B", "KB", "MB", "GB", "TB")


class Count(int):
    """A number of things, formatted with the language's digit grouping (1,234 or 1 234), that still selects plurals."""

    def __str__(self) -> str:
        return formats.number_format(int(self), 0, force_grouping=True)


def unit_patterns() -> tuple[str, ...]:
    """Return the active language's patterns for a number of each of `UNITS`."""
    return (_("%d B"), _("%s KB"), _("%s MB"), _("%s GB"), _("%s TB"))


def format_size(size: int) -> str:
    """Format a size in bytes: 451 B, 2.4 MB, 49 MB; 1 Ko and 2,4 Mo in French."""
    return size_formatter()(size)


def size_formatter() -> Callable[[int], str]:
    """Return `format_size` for many sizes: the language's patterns are looked up once."""
    patterns, decimal_point = unit_patterns(), formats.number_format(0.5, 1)[1]

    def format_one(size: int) -> str:
        if size < 1024:
            return patterns[0] % size
        value, unit = size / 1024, 1
        # 1023.5 would be rounded to 1024 of the unit.
        while value >= 1023.5 and unit < len(patterns) - 1:
            value, unit = value / 1024, unit + 1
        # Rounded here: Django's number_format cuts off further decimals instead.
        number = f"{value:.1f}".replace(".", decimal_point) if value < 9.95 else f"{value:.0f}"
        return patterns[unit] % number

    return format_one
