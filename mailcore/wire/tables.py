"""The text of lookup tables: postmap's sources and aliases(5), read line by line.

Pure grammar for the programs `postmap` and `postalias`. A wrong line is a `Complaint`, in Postfix's
words, and the rest is read on.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailcore.wire.address import AddressError, parse, split

_KEY = re.compile(r'\s*+("(?:[^"\\]|\\.)*+"|\S++)(?:\s++(.*+))?', re.DOTALL)
_NAME = re.compile(r'\s*+(?:"((?:[^"\\]|\\.)*+)"\s*+|([^":]*+)):(.*+)', re.DOTALL)
_ANGLE = re.compile(r'[^<>]*+<\s*+("(?:[^"\\]|\\.)*+"[^<>]*+|[^<>"]*+)>')
# One target: quoted strings, comments and everything else up to a comma.
_TARGET = re.compile(r'(?:"(?:[^"\\]|\\.)*"|\((?:[^()\\]|\\.)*\)|[^",(]|["(])+')
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|\((?:[^()\\]|\\.)*\)')
_SPECIAL = ("|", "/", ":include:")
_LONGEST = 300
_PLAIN_NAME = re.compile(r"[^\s#:@\",()<>\\]+")


@dataclass(frozen=True, slots=True)
class Complaint:
    line: int  # number of the first physical line
    text: str


@dataclass(frozen=True, slots=True)
class Pair:
    """One line of a table: the key folded to lower case."""

    line: int
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class AliasLine:
    """`name` without quotes, folded to lower case; targets as `target` returns them."""

    line: int
    name: str
    targets: tuple[str, ...]


def logical_lines(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Numbered lines: what begins with white space continues the line before; empty lines and those whose
    first character is # are passed over, even between a line and its continuation."""
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


def pairs(lines: Iterable[str], *, fold: bool = True) -> Iterator[Pair | Complaint]:
    """`key white-space value` (postmap(1))."""
    for number, line in logical_lines(lines):
        match = _KEY.fullmatch(line.rstrip())
        if match is None or match[2] is None or line[0].isspace():
            yield Complaint(number, "expected format: key whitespace value")
        else:
            yield Pair(number, match[1].lower() if fold else match[1], match[2])


def aliases(lines: Iterable[str]) -> Iterator[AliasLine | Complaint]:
    """`name: value1, value2` (aliases(5))."""
    for number, line in logical_lines(lines):
        match = _NAME.fullmatch(line)
        name = ""
        if match is not None:
            name = match[2].rstrip() if match[1] is None else re.sub(r"\\(.)", r"\1", match[1])
        targets: tuple[str, ...] = ()
        try:
            targets = _targets(match[3]) if match else ()
        except AddressError:
            yield Complaint(number, "bad address in value")
            continue
        if not name or not targets:
            yield Complaint(number, "need name:value pair")
        elif "@" in name:
            yield Complaint(number, "name must be local")
        else:
            yield AliasLine(number, name.lower(), targets)


def included(lines: Iterable[str]) -> list[str]:
    """The targets in an include file (aliases(5)); what is no address is passed over."""
    found: dict[str, None] = {}
    for _, line in logical_lines(lines):
        with contextlib.suppress(AddressError):
            found.update(dict.fromkeys(_targets(line)))
    return list(found)


def _targets(text: str) -> tuple[str, ...]:
    found = (target(each) for each in _TARGET.findall(text))
    return tuple(dict.fromkeys(each for each in found if each))


def target(text: str) -> str:
    """A value of an alias as it is stored: an address (a bare name stays one), or in double quotes `|command`,
    `/file`, `/directory/`, `:include:/file`; "" where there is nothing but a comment. AddressError: none of these.

    The quotes are what keeps the two apart: an address may begin with a slash, but never ends with a quote.
    """
    text = _COMMENT.sub(lambda match: match[1] or "", text).strip()
    quoted = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', text)
    plain = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if plain.startswith(_SPECIAL):
        if len(plain) > _LONGEST:
            raise AddressError("longer than 300 characters")
        return f'"{plain}"'
    if angle := _ANGLE.fullmatch(text):
        text = angle[1].strip()
    return parse(text) if text else ""


def special(target_text: str) -> str:
    """The command (with its |), file or include a target stands for; "" where it is an address."""
    inner = target_text[1:-1]
    return inner if target_text[:1] == target_text[-1:] == '"' and inner.startswith(_SPECIAL) else ""


def render_name(name: str) -> str:
    """A name as it stands in an alias file: quoted where it must be."""
    return name if _PLAIN_NAME.fullmatch(name) else _quoted(name)


def render_targets(targets: Iterable[str], home: str) -> str:
    """Targets as an alias file has them; addresses in the domain `home` by their names alone."""
    return ", ".join(_render_target(each, home) for each in targets)


def _render_target(text: str, home: str) -> str:
    if inner := special(text):
        return inner if re.fullmatch(r"[^|\s,\"()#<>\\]+", inner) else _quoted(inner)
    local, domain = split(text)
    local = local if _PLAIN_NAME.fullmatch(local) and not local.startswith(_SPECIAL) else _quoted(local)
    return local if domain in ("", home) else f"{local}@{domain}"


def _quoted(text: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'
