"""Lines of user files: Dovecot's passwd-file, passwd(5) and shadow(5), which begin with name and hash."""

import re
from dataclasses import dataclass

_NAME_AND_HASH = re.compile(r"([^:]+):((?:\{[^}]*\})?[^:]*)(?::(.*))?")


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    """An account in a user file.

    `hash` is as written, with or without a scheme; "" if log-in is barred. `name` is the person's full name.
    """

    user: str
    hash: str
    name: str = ""


def parse_line(line: str) -> PasswdEntry | None:
    """Parse a line; return None for an empty line or a comment. Raise ValueError if it is malformed."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    shape = _NAME_AND_HASH.fullmatch(line)
    if shape is None:
        raise ValueError("need name:password")
    user, given, rest = shape.groups()
    fields = (rest or "").split(":")
    # passwd: user:password:uid:gid:gecos:home:shell:extra; in shadow, the fields from the third on are numbers of days.
    gecos = fields[2] if len(fields) in (5, 6) or (len(fields) > 6 and not fields[2].isdigit()) else ""
    barred = given in ("", "x") or given.startswith(("!", "*"))
    return PasswdEntry(user, "" if barred else given, gecos.partition(",")[0].strip())
