"""Readers of all languages before the webmail's own post office and the administrator's screens."""

from collections.abc import Iterator

import pytest
from django.utils import translation

from tests.webmail.conftest import browser, chromium, office  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def own_language() -> Iterator[None]:
    """Pages asked for by Django's client leave their language behind; here it ends with the test."""
    with translation.override(translation.get_language()):
        yield
