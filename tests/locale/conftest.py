"""Readers of all languages before the webmail's own post office and the administrator's screens."""

from tests.webmail.conftest import browser, chromium, office  # noqa: F401  (fixtures)
