"""The text of lookup tables: sources of postmap(1) and aliases(5), parsed line by line.

A malformed line yields a `LineError` with Postfix's text, and parsing goes on.
"""

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from mailcore.wire.message.envelope_address import AddressError, is_bare, parse_address, split_address

_KEY = re.compile(r'\s*+("(?:[^"\\]|\\.)*+"|\S++)(?:\s++(.*+))?', re.DOTALL)
_NAME = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^":]*+)):(.*+)', re.DOTALL)
_ANGLE = re.compile(r'[^<>]*+<\s*+("(?:[^"\\]|\\.)*+"[^<>]*+|[^<>"]*+)>')
# one target: quoted strings, comments and everything else up to a comma
_TARGET = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)|[^",(]|["(])+')
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|\((?:[^()\\]|\\.)*\)')
_SPECIAL = {"|": "command", "/": "file", ":include:": "include"}
_LONGEST = 300
_PLAIN_NAME = re.compile(r"[^\s#:@\",()<>\\]+")


@dataclass(frozen=True, slots=True)
class LineError:
    line: int  # number of the first physical line
    text: str


@dataclass(frozen=True, slots=True)
class TableLine:
    """One line of a lookup table, its key folded to lower case."""

    line: int
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Target:
    """One value of an alias: its text, and beside it the kind that the grammar found.

    `kind` is "" for an address, else "command", "file" (or a directory) or "include". The text never tells
    the kind: an address may be spelled with any quotes.
    """

    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class AliasLine:
    """One alias: `name` without quotes and folded to lower case, targets as `parse_target` returns them."""

    line: int
    name: str
    targets: tuple[Target, ...]


def logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield numbered logical lines: a line that begins with white space continues the one before.

    Empty lines and comment lines are skipped, also between a line and its continuation.
    """
    start, gathered = 0, ""
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\r\n")
        text = line.lstrip()
        if not text or text.startswith("#"):
            continue
        if line[0].isspace() and gathered:
            gathered += line
            continue
        if gathered:
            yield start, gathered
        start, gathered = number, line
    if gathered:
        yield start, gathered


def parse_pairs(lines: Iterable[str], *, fold: bool = True) -> Iterator[TableLine | LineError]:
    """Parse lines of the form `key white-space value` (postmap(1))."""
    for number, line in logical_lines(lines):
        match = _KEY.fullmatch(line.rstrip())
        if match is None or match[2] is None or line[0].isspace():
            yield LineError(number, "expected format: key whitespace value")
        else:
            yield TableLine(number, match[1].lower() if fold else match[1], match[2])


def parse_aliases(lines: Iterable[str]) -> Iterator[AliasLine | LineError]:
    """Parse lines of the form `name: value1, value2` (aliases(5))."""
    for number, line in logical_lines(lines):
        match = _NAME.fullmatch(line)
        name = ""
        if match is not None:
            name = match[2].rstrip() if match[1] is None else re.sub(r"\\(.)", r"\1", match[1])
        targets: tuple[Target, ...] = ()
        try:
            targets = _split_targets(match[3]) if match else ()
        except AddressError:
            yield LineError(number, "bad address in value")
            continue
        if not name or not targets:
            yield LineError(number, "need name:value pair")
        elif "@" in name:
            yield LineError(number, "name must be local")
        else:
            yield AliasLine(number, name.lower(), targets)


def parse_include(lines: Iterable[str]) -> list[Target]:
    """Return the targets in an include file (aliases(5)), ignoring what cannot be parsed."""
    found: dict[Target, None] = {}
    for _, line in logical_lines(lines):
        with contextlib.suppress(AddressError):
            found.update(dict.fromkeys(_split_targets(line)))
    return list(found)


def _split_targets(text: str) -> tuple[Target, ...]:
    found = (parse_target(each) for each in _TARGET.findall(text))
    return tuple(dict.fromkeys(each for each in found if each.text))


def parse_target(text: str) -> Target:
    """Parse one value of an alias: an address, a bare name, `|command`, `/file`, `/directory/` or `:include:/file`.

    The text of special targets is kept in double quotes; a value that is only a comment gives "". Raise AddressError if
    it is none of these.
    """
    text = _COMMENT.sub(lambda match: match[1] or "", text).strip()
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text)
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if plain.startswith(tuple(_SPECIAL)):
        if len(plain) > _LONGEST:
            raise AddressError("longer than 300 characters")
        return Target(f'"{plain}"', _SPECIAL[next(start for start in _SPECIAL if plain.startswith(start))])
    if angle := _ANGLE.fullmatch(text):
        text = angle[1].strip()
    address = parse_address(text) if text else ""
    if "@" in address and is_bare(text):
        raise AddressError("a name without a domain has no @")
    return Target(address)


def unquoted(text: str) -> str:
    """Return the command (with its |), path or include of a special target, without its quotes."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def format_name(name: str) -> str:
    """Return a name as it is written in an aliases file, quoted where necessary."""
    return name if _PLAIN_NAME.fullmatch(name) else _quoted(name)


def format_targets(targets: Iterable[str], home: str, special: Collection[str] = ()) -> str:
    """Return targets as they are written in an aliases file.

    Addresses in the domain `home` are written by their local parts alone; `special` holds the texts of special targets.
    """
    return ", ".join(_format_target(each, home, each in special) for each in targets)


def _format_target(text: str, home: str, is_special: bool) -> str:
    if is_special:
        inner = unquoted(text)
        return inner if re.fullmatch(r"[^|\s,\"()#<>\\]+", inner) else _quoted(inner)
    local, domain = split_address(text)
    local = local if _PLAIN_NAME.fullmatch(local) and not local.startswith(tuple(_SPECIAL)) else _quoted(local)
    return local if domain in ("", home) else f"{local}@{domain}"


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
