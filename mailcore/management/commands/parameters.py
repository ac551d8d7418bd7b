"""`parameters`: print the manual's page of parameters from the registry (`make docs`)."""

import socket
from dataclasses import fields
from typing import Any

from django.utils import translation

from mailcore import conf
from mailcore.conf import parameters
from mailcore.management.program import Program

_HEAD = """\
# Parameters

Names, values and meanings are Postfix's (and Dovecot's, for mail access). Set one with `youju postconf -e name=value`,
on the settings screen, or as `MAIL_<NAME>` in the environment, which decides over the others. Written by `make docs`
from the registry; change it there."""
_TABLE_HEAD = "| parameter | default | kind | what it does |\n|---|---|---|---|"


class Command(Program):
    help = "Print the manual's page of parameters in Markdown, grouped by service."

    def run(self, options: dict[str, Any], given: Any) -> int:
        self.print(_HEAD)
        with translation.override("en"):
            for group in parameters.GROUPS:
                self.print(f"\n## {group.title}\n\n{_TABLE_HEAD}")
                for spec in sorted((conf.SPECS[each.name] for each in fields(group)), key=lambda spec: spec.name):
                    default = "the machine's name" if spec.default == socket.getfqdn() else _code(spec.default)
                    help_text = str(spec.help).replace("|", "&#124;")
                    self.print(f"| `{spec.name}` | {default} | {spec.kind.name} | {help_text} |")
        return 0


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
