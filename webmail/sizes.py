"""Sizes as people read them."""

from collections.abc import Callable

from django.utils import formats
from django.utils.translation import gettext as _


def octets(size: int) -> str:
    """1 KB, 2.4 MB."""
    return written()(size)


def written() -> Callable[[int], str]:
    """`octets` for many sizes: the language's words and signs are looked up once."""
    small, point = _("%d B"), formats.number_format(0.5, 1)[1]

    def one(size: int) -> str:
        if size < 1024:
            return small % size
        for unit, limit in (("KB", 1024**2), ("MB", 1024**3), ("GB", 1024**4)):
            if size < limit or unit == "GB":
                value = size * 1024 / limit
                return f"{value:.1f} {unit}".replace(".", point) if value < 9.95 else f"{value:.0f} {unit}"
        return ""

    return one
