"""Writing parameters: all together or none, with a row in the audit for each, and every process hears of it.

Called by the screens, `postconf`, the import of a main.cf and the demo; `conf` says what a value may be.
"""

from collections.abc import Mapping

from django.db import transaction

from mailcore import conf
from mailcore.store import audit, news


def change(values: Mapping[str, str | None]) -> None:
    """Set parameters; None: back to the default. KeyError: unknown name; ValueError: a value is not of its kind, or
    could not be lived with (the parameter's name stands in front)."""
    with transaction.atomic():
        before = conf.given()
        conf.change(values, by=audit.author().name)
        after = conf.given()
        for name in values:
            _note(name, before.get(name), after.get(name))
        news.settings_changed()


def _note(name: str, before: str | None, after: str | None) -> None:
    if before == after:
        return
    spec = conf.specs().get(name)
    if spec is not None and spec.secret:
        audit.note("setting.change", name)
    else:
        # None: the default was, or is, in force.
        audit.note("setting.change", name, {"value": before}, {"value": after})
