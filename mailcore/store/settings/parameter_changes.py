"""Changes of parameters: all together or none, each with a row in the audit log, and every process is notified.

Called by the screens, `postconf`, the import of a main.cf and the demo; `conf` validates the values.
"""

from collections.abc import Mapping

from django.db import transaction

from mailcore import conf
from mailcore.store.db import audit
from mailcore.store.notify import notifications


def change_parameters(values: Mapping[str, str | None]) -> None:
    """Set parameters; None restores the default.

    Raise KeyError for an unknown name, and ValueError, beginning with the parameter's name, for an invalid value or one
    that would make the system unusable.
    """
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
        # None means that the default applied or applies.
        audit.record_change("setting.change", name, {"value": before}, {"value": after})
