"""HTML without the line breaks of its template, so that a test quotes it as people would write it."""

import re


def compact(page: str) -> str:
    """Return the page without the white space of line breaks: none beside a tag, a blank before an indented line."""
    page = re.sub(r"\s*\n\s*(?=[<>])|(?<=>)\s*\n\s*", "", page)
    return re.sub(r"\s*\n {4,}", " ", page).replace(" >", ">")
