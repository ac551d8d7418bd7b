"""Tags for the head of pages and for links with a query."""

from urllib.parse import quote, urlencode

from django import template
from django.urls import reverse

from mailcore import stylesheet

register = template.Library()
register.simple_tag(stylesheet.url, name="stylesheet")

_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>"
    "<rect width='32' height='32' rx='7' fill='#0b6a4a'/>"
    "<path d='M7 11h18v12H7z M7 11l9 7 9-7' fill='none' stroke='#fff' stroke-width='2.2' stroke-linejoin='round'/>"
    "</svg>"
)
_ICON_URL = "data:image/svg+xml," + quote(_ICON, safe=" '/:=.")


@register.simple_tag
def favicon() -> str:
    """Return the site's icon as a data URL: an icon of its own file would be a fourth request."""
    return _ICON_URL


@register.simple_tag
def link(view: str, *arguments: object, **query: object) -> str:
    """Return a view's URL with a query of the values that are not empty."""
    given = {name: value for name, value in query.items() if value not in ("", None)}
    return reverse(view, args=arguments) + (f"?{urlencode(given)}" if given else "")
