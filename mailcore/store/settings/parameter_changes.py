"""Writing parameters: all together or none, with a row in the audit for each, and every process hears of it.

Called by the screens, `postconf`, the import of a main.cf and the demo; `conf` says what a value may be.
"""

from collections.abc import Mapping

from django.db import transaction

from mailcore import conf
from mailcore.store.db import audit
from mailcore.store.notify import notifications


def change_parameters(values: Mapping[str, str | None]) -> None:
    """Set parameters; None: back to the default. KeyError: unknown name; ValueError: a value is not of its kind, or
    could not be lived with (the parameter's name stands in front)."""
    with transaction.atomic():
        before = conf.explicit_values()
        conf.change(values, by=audit.current_author().name)
        after = conf.explicit_values()
        for name in values:
            _record_change(name, before.get(name), after.get(name))
        notifications.publish_settings_changed()


def _record_change(name: str, before: str | None, after: str | None) -> None:
    if before == after:
        return
    spec = conf.specs().get(name)
    if spec is not None and spec.secret:
        audit.record_change("setting.change", name)
    else:
        # None: the default was, or is, in force.
        audit.record_change("setting.change", name, {"value": before}, {"value": after})
