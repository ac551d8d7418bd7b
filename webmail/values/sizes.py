"""Sizes and counts as people read them, in the active language."""

from collections.abc import Callable

from django.utils import formats
from django.utils.translation import gettext as _


class Count(int):
    """A number of things that writes itself with the language's signs, 1,234 or 1 234, and still chooses a
    plural form."""

    def __str__(self) -> str:
        return formats.number_format(int(self), 0, force_grouping=True)


def format_size(size: int) -> str:
    """1 KB, 2.4 MB; 1 Ko, 2,4 Mo."""
    return size_formatter()(size)


def size_formatter() -> Callable[[int], str]:
    """`bytes` for many sizes: the language's words and signs are looked up once."""
    small, point = _("%d B"), formats.number_format(0.5, 1)[1]
    units = ((_("%s KB"), 1024**2), (_("%s MB"), 1024**3), (_("%s GB"), 1024**4))

    def one(size: int) -> str:
        if size < 1024:
            return small % size
        unit, limit = next((each for each in units if size < each[1]), units[-1])
        value = size * 1024 / limit
        return unit % (f"{value:.1f}".replace(".", point) if value < 9.95 else f"{value:.0f}")

    return one
