"""Sizes as people read them."""

from django.utils import formats
from django.utils.translation import gettext as _


def octets(size: int) -> str:
    """1 KB, 2.4 MB."""
    if size < 1024:
        return _("%d B") % size
    for unit, limit in (("KB", 1024**2), ("MB", 1024**3), ("GB", 1024**4)):
        if size < limit or unit == "GB":
            value = size * 1024 / limit
            return f"{formats.number_format(value, 1)} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return ""
