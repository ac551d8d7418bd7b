"""HTML without the line breaks of its template, so that a test quotes it as people would write it."""

import re

_TEXT_FIELD = re.compile(r"(<textarea\b.*?</textarea>)", re.DOTALL)


def compact(page: str) -> str:
    """Return the page without the white space of line breaks: none beside a tag, a blank before an indented line.

    Texts in forms stay as they are.
    """
    parts = _TEXT_FIELD.split(page)
    return "".join(part if at % 2 else _compact(part) for at, part in enumerate(parts))


def _compact(markup: str) -> str:
    markup = re.sub(r"\s*\n\s*(?=[<>])|(?<=>)\s*\n\s*", "", markup)
    return re.sub(r"\s*\n {4,}", " ", markup).replace(" >", ">")
