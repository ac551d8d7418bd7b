"""What is wrong with a wish of the administrator, in words for a person, and the end of every write."""

from collections.abc import Mapping

from django.db import transaction

from mailcore.store.directory import lookup
from mailcore.store.notify import notifications


class DirectoryError(Exception):
    """A wish that cannot be granted: field name → translated message; "" for the whole.

    Nothing has been written when it is raised.
    """

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(fields.values()))
        self.fields = dict(fields)


def directory_changed() -> None:
    """The directory changed: forget what is remembered here and tell the other processes, on commit.

    Forgotten twice, now and after the commit, so that neither this transaction nor what another thread
    read meanwhile leaves an old answer.
    """
    lookup.clear_cache()
    transaction.on_commit(lookup.clear_cache)
    notifications.publish_settings_changed()
