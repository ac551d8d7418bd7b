"""`parameters`: the manual's page of parameters, written from the registry (`make docs`)."""

import socket
from typing import Any

from django.utils import translation

from mailcore import conf
from mailcore.management.program import Program

_HEAD = """\
# Parameters

Names, values and meanings are Postfix's (and Dovecot's, for mail access). Set one with `youju postconf -e name=value`,
on the settings screen, or as `MAIL_<NAME>` in the environment, which decides over the others. Written by `make docs`
from the registry; change it there.

| parameter | default | kind | what it does |
|---|---|---|---|"""


class Command(Program):
    help = "Print the parameters as a page of the manual, in Markdown."

    def run(self, options: dict[str, Any], given: Any) -> int:
        self.print(_HEAD)
        with translation.override("en"):
            for name, spec in sorted(conf.SPECS.items()):
                default = "the machine's name" if spec.default == socket.getfqdn() else _code(spec.default)
                self.print(f"| `{name}` | {default} | {spec.kind.name} | {str(spec.help).replace('|', '&#124;')} |")
        return 0


def _code(text: str) -> str:
    return f"`{text}`" if text else "(empty)"
