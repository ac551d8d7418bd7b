"""`postconf`: show and change parameters (postconf(1))."""

import json
from argparse import ArgumentParser
from typing import Any

from mailcore import conf
from mailcore.management.program import Fatal, Program
from mailcore.store.settings import parameter_changes


class Command(Program):
    help = "Show or change the parameters of the mail system. Without options: every current value."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "-n", dest="set_only", action="store_true", help="only parameters that are set (or in MAIL_<NAME>)"
        )
        parser.add_argument("-d", dest="defaults", action="store_true", help="defaults instead of current values")
        parser.add_argument("-h", dest="no_names", action="store_true", help="values without names")
        parser.add_argument("-H", dest="no_values", action="store_true", help="names without values")
        parser.add_argument("-x", dest="expand", action="store_true", help="with $name replaced by its value")
        parser.add_argument("-e", dest="edit", action="store_true", help="set name=value; -e may be omitted")
        parser.add_argument("-X", "-#", dest="unset", action="store_true", help="restore the default")
        parser.add_argument("--json", action="store_true", help="one JSON object: name → value")
        parser.add_argument("names", nargs="*", metavar="name[=value]")

    def run(self, options: dict[str, Any], given: Any) -> int:
        names = options["names"]
        if options["unset"]:
            return self._change([(name, None) for name in names])
        if options["edit"] or any("=" in name for name in names):
            return self._change([_assignment(text) for text in names])
        values = _values(options)
        selected = sorted(values)
        if names:
            for name in names:
                if name not in conf.specs():
                    self.warn(f"{name}: unknown parameter")
            selected = [name for name in names if name in values]
        if options["json"]:
            self.print(json.dumps({name: values[name] for name in selected}, ensure_ascii=False, indent=2))
            return 0
        for name in selected:
            self.print(_line(name, values[name], options))
        return 0

    def _change(self, changes: list[tuple[str, str | None]]) -> int:
        """Change all parameters, or none if one is invalid."""
        all_specs = conf.specs(
            {**conf.explicit_values(), **{name: value for name, value in changes if value is not None}}
        )
        unknown = [name for name, _ in changes if name not in all_specs]
        for name in unknown:
            self.warn(f"{name}: unknown parameter")
        if unknown:
            return 1
        try:
            parameter_changes.change_parameters(dict(changes))
        except ValueError as error:
            raise Fatal(str(error)) from error
        for name, _ in changes:
            if conf.origin(name) == "environment":
                self.warn(f"{name}: MAIL_{name.upper()} in the environment takes precedence")
        return 0


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not equals:
        raise Fatal(f"missing '=' after attribute name: \"{text}\"")
    if not name:
        raise Fatal(f'missing attribute name: "{text}"')
    return name, " ".join(value.split())


def _values(options: dict[str, Any]) -> dict[str, str]:
    if options["defaults"]:
        values = {name: spec.default for name, spec in conf.SPECS.items()}
    else:
        values = conf.explicit_values() if options["set_only"] else conf.effective()
    if options["expand"]:
        values = {name: conf.expand_value(name, value) for name, value in values.items()}
    all_specs = conf.specs()
    return {name: "(secret)" if value and all_specs[name].secret else value for name, value in values.items()}


def _line(name: str, value: str, options: dict[str, Any]) -> str:
    if options["no_names"]:
        return value
    return name if options["no_values"] else f"{name} = {value}".rstrip()
