"""Lines of user files: Dovecot's passwd-file, passwd(5) and shadow(5) (name, hash, then what differs). Pure."""

import re
from dataclasses import dataclass

_NAME_AND_HASH = re.compile(r"([^:]+):((?:\{[^}]*\})?[^:]*)(?::(.*))?")


@dataclass(frozen=True, slots=True)
class PasswdEntry:
    """`hash` as it stands, its scheme in front or not; "" where signing in is barred. `name` is the person's."""

    user: str
    hash: str
    name: str = ""


def parse_line(line: str) -> PasswdEntry | None:
    """None: an empty line or a comment. ValueError: no such line."""
    line = line.strip()
    if not line or line.startswith("#"):
        return None
    shape = _NAME_AND_HASH.fullmatch(line)
    if shape is None:
        raise ValueError("need name:password")
    user, given, rest = shape.groups()
    fields = (rest or "").split(":")
    # user:password:uid:gid:gecos:home:shell:extra; shadow's third field on are days, of which the fifth is one too.
    gecos = fields[2] if len(fields) in (5, 6) or (len(fields) > 6 and not fields[2].isdigit()) else ""
    barred = given in ("", "x") or given.startswith(("!", "*"))
    return PasswdEntry(user, "" if barred else given, gecos.partition(",")[0].strip())
