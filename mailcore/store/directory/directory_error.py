"""The error of changes that cannot be made, with texts for people, and the last step of every change."""

from collections.abc import Mapping

from django.db import transaction

from mailcore.conf import caches
from mailcore.store.notify import notifications


class DirectoryError(Exception):
    """Raised for a change that cannot be made: field name → translated message; "" for the whole.

    Nothing has been written when it is raised.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = dict(fields)


def directory_changed() -> None:
    """Drop the cached directory and notify the other processes on commit.

    The cache is cleared now and after the commit, so that neither this transaction nor what another thread read
    meanwhile leaves an outdated entry.
    """
    caches.clear(caches.Source.DATABASE)
    transaction.on_commit(lambda: caches.clear(caches.Source.DATABASE))
    notifications.publish_settings_changed()
