"""Every parameter: the environment (`MAIL_<NAME>`) overrides the settings table, which overrides the default.

May import `mailcore.models`, `mailcore.wire` and `mailcore.values`. `current()` is what all other packages call: a
frozen snapshot that costs no query. A long-lived process calls `refresh()` when it is notified that settings changed;
`change` validates before it writes.
"""

from collections.abc import Mapping
from typing import Any, Literal

from django.conf import settings
from django.db import connection, transaction

from mailcore.conf.parameters import SPECS, Parameters, Spec
from mailcore.conf.parameters.restrictions import Restrictions
from mailcore.conf.value_types import LIST, RESTRICTIONS, TEMPLATE, expand
from mailcore.wire.files import restriction_syntax

__all__ = [
    "OPEN_RELAY",
    "SPECS",
    "Parameters",
    "Spec",
    "change",
    "current",
    "effective",
    "expand_value",
    "explicit_values",
    "origin",
    "origins",
    "problems",
    "raw_value",
    "refresh",
    "rejects_open_relay",
    "set_value",
    "specs",
    "unset",
]

_current: Parameters | None = None


def current() -> Parameters:
    """Return the current values, cached until `refresh()`."""
    return _current or refresh()


def refresh() -> Parameters:
    """Read the settings table again and return the values.

    An invalid value in it falls back to its default: a running server does not stop because of a typing error, and
    `manage.py check` reports it.
    """
    global _current
    _current = _build_parameters(_stored_values())
    return _current


def _stored_values() -> dict[str, str]:
    from mailcore.models import Setting

    if Setting._meta.db_table not in connection.introspection.table_names():
        return {}
    return dict(Setting.objects.values_list("name", "value"))


def _environment(name: str) -> str | None:
    from mailcore.settings import env

    key = f"MAIL_{name.upper()}"
    # Unchanged: "$mydomain" is main.cf's reference to another parameter, not django-environ's.
    return env.ENVIRON.get(key)


def specs(table: Mapping[str, str] | None = None) -> Mapping[str, Spec]:
    """Return every parameter, including the lists that smtpd_restriction_classes names."""
    table = _stored_values() if table is None else table
    classes = LIST.parse(raw_value("smtpd_restriction_classes", table))
    assert isinstance(classes, tuple)
    return {
        **SPECS,
        **{name: Spec(name, RESTRICTIONS, "", "", Restrictions.title) for name in classes if name not in SPECS},
    }


def _spec(name: str, table: Mapping[str, str]) -> Spec:
    return SPECS.get(name) or specs(table)[name]


def raw_value(name: str, table: Mapping[str, str]) -> str:
    """Return the current text of one parameter, $name not expanded; raise KeyError for an unknown name."""
    spec = _spec(name, table)
    from_environment = _environment(name)
    if from_environment is not None:
        return from_environment
    value = table.get(name, spec.default)
    if name == "mydomain" and not value:
        host = raw_value("myhostname", table)
        return host.partition(".")[2] or "localdomain"
    if name == "inet_interfaces" and not value:
        return str(settings.HOST)
    return value


def _parse(name: str, table: Mapping[str, str]) -> object:
    return _parse_text(name, raw_value(name, table), table)


def _parse_text(name: str, text: str, table: Mapping[str, str]) -> object:
    def value_of(other: str) -> str:
        return raw_value(other, table) if other in SPECS else ""

    kind = _spec(name, table).kind
    return kind.parse(text if kind is TEMPLATE else expand(text, value_of))


def _build_parameters(table: Mapping[str, str]) -> Parameters:
    values: dict[str, object] = {}
    for name, spec in SPECS.items():
        try:
            values[name] = _parse(name, table)
        except ValueError:
            values[name] = _parse_text(name, spec.default, table)
    classes = {name: _parse(name, table) for name in specs(table) if name not in SPECS}
    return Parameters(**values, restriction_classes=classes)  # type: ignore[arg-type]


def problems() -> dict[str, str]:
    """Return the parameters with invalid text, and the reason for each."""
    table, reasons = _stored_values(), {}
    specs_by_name = specs(table)
    for name, spec in specs_by_name.items():
        try:
            value = _parse(name, table)
            if spec.kind is RESTRICTIONS:
                _parse_restriction_list(name, value, specs_by_name)
        except ValueError as error:
            reasons[name] = str(error)
    return reasons


Origin = Literal["environment", "set", "default"]


def origin(name: str) -> Origin:
    """Return the source of one parameter's text."""
    return _origin(name, _stored_values())


def origins() -> dict[str, Origin]:
    """Return the source of each parameter's text."""
    table = _stored_values()
    return {name: _origin(name, table) for name in specs(table)}


def _origin(name: str, table: Mapping[str, str]) -> Origin:
    if _environment(name) is not None:
        return "environment"
    return "set" if name in table else "default"


def effective() -> dict[str, str]:
    """Return the current text of every parameter, as `postconf` shows it ($name not expanded)."""
    table = _stored_values()
    return {name: raw_value(name, table) for name in sorted(specs(table))}


def explicit_values() -> dict[str, str]:
    """Return the texts of parameters set in the table or in the environment."""
    table = _stored_values()
    return {
        name: raw_value(name, table) for name in sorted(specs(table)) if name in table or _environment(name) is not None
    }


def expand_value(name: str, text: str) -> str:
    """Return a parameter's text with $name replaced, or the text itself if the references form a loop."""
    table = _stored_values()
    try:
        return expand(text, lambda other: raw_value(other, table) if other in SPECS else "")
    except ValueError:
        return text


def change(values: Mapping[str, str | None], by: str = "") -> None:
    """Set parameters (None restores the default), all together or, if one is invalid, none.

    Raise KeyError for an unknown name, ValueError, beginning with the parameter's name, for an invalid value.
    """
    from mailcore.models import Setting

    new_values = {name: value for name, value in values.items() if value is not None}
    table = {name: value for name, value in {**_stored_values(), **values}.items() if value is not None}
    for name in new_values:
        try:
            _parse_text(name, new_values[name], table)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    _check_restrictions(values, table)
    with transaction.atomic():
        Setting.objects.filter(name__in=[name for name, value in values.items() if value is None]).delete()
        for name, value in new_values.items():
            Setting.objects.update_or_create(name=name, defaults={"value": value, "changed_by": by})
    refresh()


def _check_restrictions(values: Mapping[str, object], table: Mapping[str, str]) -> None:
    """Raise ValueError if a restriction list is invalid, or the lists would make an open relay."""
    specs_by_name = specs(table)
    changed = [name for name in values if name in specs_by_name and specs_by_name[name].kind is RESTRICTIONS]
    for name in changed:
        try:
            _parse_restriction_list(
                name, _parse_text(name, table.get(name, specs_by_name[name].default), table), specs_by_name
            )
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if set(changed) & set(restriction_syntax.RELAY_LISTS) and not rejects_open_relay(table):
        raise ValueError(f"{changed[0]}: open relay: {OPEN_RELAY}")


def _parse_restriction_list(
    name: str, words: Any, specs_by_name: Mapping[str, Spec]
) -> tuple[restriction_syntax.Restriction, ...]:
    classes = [each for each in specs_by_name if each not in SPECS]
    return restriction_syntax.parse_restrictions(words, classes, restriction_syntax.LISTS.get(name, ""))


OPEN_RELAY = (
    "neither smtpd_relay_restrictions nor smtpd_recipient_restrictions rejects relaying by unknown clients: one needs "
    + ", ".join(sorted(restriction_syntax.GUARDS))
)


def rejects_open_relay(table: Mapping[str, str] | None = None) -> bool:
    """Return True if the relay and recipient restrictions reject mail from unknown clients to remote recipients."""
    table = _stored_values() if table is None else table
    specs_by_name = specs(table)
    try:
        return any(
            restriction_syntax.stops_open_relay(_parse_restriction_list(name, _parse(name, table), specs_by_name))
            for name in restriction_syntax.RELAY_LISTS
        )
    except ValueError:
        return True  # a list with an error rejects every client: 451 4.3.5


def set_value(name: str, value: str, by: str = "") -> None:
    """Set one parameter; raise KeyError for an unknown name, ValueError for an invalid value."""
    change({name: value}, by)


def unset(name: str) -> None:
    """Restore a parameter's default."""
    from mailcore.models import Setting

    Setting.objects.filter(name=name).delete()
    refresh()
