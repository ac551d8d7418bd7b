"""The commands, tests and tags of Sieve (RFC 5228 and `EXTENSIONS`), and the check of a script against them.

`compile_script` turns the generic tree into `Call`s with sorted arguments (tags by group, values by position), so that
the interpreter need not look again. Faults are reported with their line before a script is stored.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mailcore.wire.sieve import comparison, script_parser
from mailcore.wire.sieve.extensions.header_edits import is_field_name
from mailcore.wire.sieve.notification import method_fault
from mailcore.wire.sieve.regex import DEFAULT_LIMITS, RegexError, RegexLimits, compile_regex
from mailcore.wire.sieve.script_parser import Argument, Node, SieveError
from mailcore.wire.sieve.sieve_message import parse_target
from mailcore.wire.sieve.signatures import ADDRESS_HEADERS, COMMANDS, DATE_PARTS, TESTS, Signature
from mailcore.wire.sieve.variable_names import REFERENCE, name_fault, reference_fault

EXTENSIONS = (
    *("body", "comparator-i;ascii-numeric", "comparator-i;unicode-casemap", "copy", "date", "duplicate"),
    *("editheader", "encoded-character", "enotify", "envelope", "environment", "ereject", "extlists", "extracttext"),
    *("fileinto", "foreverypart", "ihave", "imap4flags", "include", "index", "mailbox", "mime", "regex", "reject"),
    *("relational", "spamtest", "spamtestplus", "special-use", "subaddress", "vacation", "vacation-seconds"),
    *("variables", "virustest"),
)
# Comparators that need no require: the two of RFC 5228 §2.7.3, and the one that Pigeonhole adds.
_ALWAYS = frozenset(("comparator-i;octet", "comparator-i;ascii-casemap", "comparator-i;unicode-casemap"))
# Extensions that change how strings are read, which ihave cannot do for the rest of a script (RFC 5463 §4).
_ONLY_BY_REQUIRE = frozenset(("encoded-character", "variables"))


@dataclass(frozen=True, slots=True)
class Call:
    """A command or test with sorted arguments.

    `tags`: group ("match", "comparator", "address-part") or tag name → its value, True for a tag without one. `values`:
    the others by position; string lists are tuples.
    """

    name: str
    line: int
    tags: Mapping[str, Any]
    values: tuple[Any, ...]
    tests: tuple["Call", ...] = ()
    block: tuple["Call", ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """A script that can be run."""

    calls: tuple[Call, ...]
    extensions: frozenset[str]


_OPTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*=[^\x00-\x1f\x7f]*")
ZONE_TEXT = re.compile(r"[+-]\d{4}")


# --- Checks ---------------------------------------------------------------------------------------


def compile_script(text: str, regex_limits: RegexLimits = DEFAULT_LIMITS) -> Script:
    """Return a script ready to run, cached by its text unless it is large. Raise SieveError."""
    return (_compiled_cache if len(text) <= _CACHE_LIMIT else _compiled)(text, regex_limits)


def _compiled(text: str, regex_limits: RegexLimits) -> Script:
    return _Checker(regex_limits).script(script_parser.parse_script(text))


_CACHE_LIMIT = 32 * 1024  # characters
_compiled_cache = lru_cache(128)(_compiled)


class _CertainError(SieveError):
    """A fault that no missing extension explains: it is not put off until the command is reached."""


class _Checker:
    def __init__(self, regex_limits: RegexLimits) -> None:
        self._regex_limits = regex_limits
        self._required: set[str] = set()
        self._loops: list[str] = []  # The names of the loops around the command, the outermost first.

    def script(self, nodes: tuple[Node, ...]) -> Script:
        at = 0
        while at < len(nodes) and nodes[at].name == "require":
            self._require(nodes[at])
            at += 1
        calls = self._commands(nodes[at:])
        return Script(calls, frozenset(self._required))

    def _require(self, node: Node) -> None:
        call = self._call(node, COMMANDS["require"])
        for name in call.values[0]:
            if name not in EXTENSIONS and name not in _ALWAYS:
                raise SieveError(node.line, f'unsupported extension "{name}"')
            self._required.add(name)

    def _block_of(self, node: Node, tags: Mapping[str, Any]) -> tuple[Call, ...]:
        if node.name != "foreverypart":
            return self._block(node.block or ())
        self._loops.append(tags.get("name", ""))
        try:
            return self._block(node.block or ())
        finally:
            self._loops.pop()

    def _block(self, nodes: Iterable[Node]) -> tuple[Call, ...]:
        """Return the commands of a block.

        With "ihave" a fault in it is one of the message for which the block is executed (RFC 5463 §4): what an
        extension means that is not there cannot be checked.
        """
        if "ihave" not in self._required:
            return self._commands(nodes)
        try:
            return self._commands(nodes)
        except _CertainError:
            raise
        except SieveError as error:
            return (Call("error", error.line, {}, (str(error),)),)

    def _commands(self, nodes: Iterable[Node]) -> tuple[Call, ...]:
        found: list[Call] = []
        for node in nodes:
            shape = COMMANDS.get(node.name)
            if shape is None:
                known = "a test, not a command" if node.name in TESTS else "an unknown command"
                raise SieveError(node.line, f'"{node.name}" is {known}')
            if node.name == "require":
                raise SieveError(node.line, "require must come before all other commands")
            if node.name in ("elsif", "else") and (not found or found[-1].name not in ("if", "elsif")):
                raise SieveError(node.line, f'"{node.name}" without an if before it')
            found.append(self._call(node, shape))
        return tuple(found)

    def _nested_test(self, node: Node) -> Call:
        """Return a test; with "ihave" one that cannot be checked fails when it is evaluated (see `_block`)."""
        if "ihave" not in self._required:
            return self._test(node)
        try:
            return self._test(node)
        except _CertainError:
            raise
        except SieveError as error:
            return Call("error", error.line, {}, (str(error),))

    def _test(self, node: Node) -> Call:
        shape = TESTS.get(node.name)
        if shape is None:
            known = "a command, not a test" if node.name in COMMANDS else "an unknown test"
            raise SieveError(node.line, f'"{node.name}" is {known}')
        return self._call(node, shape)

    def _call(self, node: Node, shape: Signature) -> Call:
        self._require_extension(node.line, node.name, shape.extension)
        if (node.block is not None) != shape.block:
            raise SieveError(node.line, f'"{node.name}" {"needs a" if shape.block else "takes no"} block in {{ }}')
        if bool(node.tests) != bool(shape.tests) or (shape.tests == 1 and len(node.tests) != 1):
            wanted = ("takes no test", "takes one test", "takes a list of tests in ( )")[shape.tests]
            raise SieveError(node.line, f'"{node.name}" {wanted}')
        tags, rest = self._tags(node, shape)
        values = self._values(node, shape, rest)
        call = Call(
            node.name,
            node.line,
            tags,
            values,
            tuple(self._nested_test(each) for each in node.tests),
            self._block_of(node, tags),
        )
        if tags.get("match", ("",))[0] == "regex":
            self._check_patterns(call)
        if (check := _CHECKS.get(node.name)) is not None:
            check(self, call)
        return call

    def _check_patterns(self, call: Call) -> None:
        comparator = call.tags.get("comparator", ("", comparison.DEFAULT))[1]
        for key in call.values[-1] or ():
            if self.is_constant(key):
                try:
                    compile_regex(key, ignore_case=comparator != comparison.OCTET, limits=self._regex_limits)
                except RegexError as error:
                    raise SieveError(call.line, f'"{key[:80]}" is no regular expression: {error}') from error

    def _require_extension(self, line: int, shown: str, extension: str) -> None:
        # vacation-seconds alone is enough (RFC 6131 §2).
        if extension == "vacation" and "vacation-seconds" in self._required:
            return
        if extension == "spamtest" and "spamtestplus" in self._required:  # RFC 5235 §2.3
            return
        if extension and extension not in self._required:
            raise SieveError(line, f'"{shown}" needs require "{extension}"')

    def _tags(self, node: Node, shape: Signature) -> tuple[dict[str, Any], list[Argument]]:
        tags: dict[str, Any] = {}
        rest: list[Argument] = []
        waiting = list(node.arguments)
        while waiting:
            argument = waiting.pop(0)
            if argument.kind != "tag":
                rest.append(argument)
                continue
            name = str(argument.value)
            tag = shape.tags.get(name)
            if tag is None:
                raise SieveError(argument.line, f'"{node.name}" has no tag ":{name}"')
            self._require_extension(argument.line, f":{name}", tag.extension)
            key = tag.group or name
            if key in tags:
                raise SieveError(argument.line, f'":{name}" cannot stand beside what is there already')
            if tag.takes and not waiting:
                raise SieveError(argument.line, f'":{name}" needs a value')
            value = self._value(waiting.pop(0), tag.takes, f":{name}") if tag.takes else True
            tags[key] = (name, value) if tag.group else value
        self._check_tags(node, tags)
        return tags, rest

    def _check_tags(self, node: Node, tags: dict[str, Any]) -> None:
        if "match" in tags and tags["match"][0] in ("count", "value"):
            kind, relation = tags["match"]
            if relation.lower() not in comparison.RELATIONS:
                raise SieveError(node.line, f'":{kind}" takes gt, ge, lt, le, eq or ne, not "{relation}"')
            tags["match"] = (kind, relation.lower())
        if "comparator" in tags:
            name = tags["comparator"][1]
            if name not in comparison.FOLDINGS:
                raise SieveError(node.line, f'unsupported comparator "{name}"')
            if f"comparator-{name}" not in _ALWAYS | self._required:
                raise SieveError(node.line, f'"{name}" needs require "comparator-{name}"')
            if name == comparison.NUMERIC and tags.get("match", ("is",))[0] in ("contains", "matches", "regex"):
                raise SieveError(node.line, f'"{name}" compares with :is, :value and :count only')
        if "last" in tags and "index" not in tags and node.name not in ("duplicate", "addheader"):
            raise SieveError(node.line, '":last" needs ":index"')
        if ("anychild" in tags or "mime-option" in tags) and "mime" not in tags:
            raise SieveError(node.line, 'tags of the mime extension need ":mime"')
        if tags.get("index") == 0:
            raise SieveError(node.line, '":index" counts from 1')
        if (
            tags.get("zone", ("",))[0] == "zone"
            and self.is_constant(tags["zone"][1])
            and not ZONE_TEXT.fullmatch(tags["zone"][1])
        ):
            raise SieveError(node.line, f'"{tags["zone"][1]}" is no time zone such as "+0800"')

    def _values(self, node: Node, shape: Signature, rest: list[Argument]) -> tuple[Any, ...]:
        missing = len(shape.values) - len(rest)
        if not 0 <= missing <= shape.optional + shape.optional_last:
            raise SieveError(node.line, f'"{node.name}" takes {len(shape.values)} arguments, not {len(rest)}')
        if shape.optional_last:
            first = [self._value(a, kind, f'"{node.name}"') for a, kind in zip(rest, shape.values, strict=False)]
            return (*first, *(None for _ in range(missing)))
        kinds = shape.values[missing:]
        found = [self._value(a, kind, f'"{node.name}"') for a, kind in zip(rest, kinds, strict=True)]
        return (*(None for _ in range(missing)), *found)

    def _value(self, argument: Argument, kind: str, shown: str) -> Any:
        if kind == "strings" and argument.kind in ("string", "strings"):
            given = (argument.value,) if argument.kind == "string" else argument.value
            return tuple(self._decoded(str(text), argument.line) for text in given)  # type: ignore[union-attr]
        if argument.kind != kind:
            wanted = {"string": "a string", "strings": "strings", "number": "a number"}[kind]
            raise SieveError(argument.line, f"{shown} takes {wanted} here")
        return self._decoded(str(argument.value), argument.line) if kind == "string" else argument.value

    def _decoded(self, text: str, line: int) -> str:
        """Return a string with CRLF line ends, and with ${hex:…} and ${unicode:…} decoded (RFC 5228 §2.4.2.4)."""
        if "\n" in text:
            text = re.sub(r"\r?\n", "\r\n", text)
        if "encoded-character" in self._required and "${" in text:
            text = _ENCODED.sub(lambda match: _characters(match, line), text)
        if "variables" in self._required and (fault := reference_fault(text, has_include="include" in self._required)):
            raise SieveError(line, fault)
        return text

    def is_constant(self, text: str) -> bool:
        return "variables" not in self._required or REFERENCE.search(text) is None

    def check_loop(self, call: Call, name: str = "") -> None:
        """Raise SieveError unless the command stands in a loop, or in the loop of this name."""
        if not self._loops:
            raise SieveError(call.line, f'"{call.name}" stands outside of foreverypart')
        if name and name not in self._loops:
            raise SieveError(call.line, f'there is no loop "{name[:80]}" around "{call.name}"')

    def check_variable(self, line: int, name: str) -> None:
        if fault := name_fault(name, has_include="include" in self._required):
            raise SieveError(line, fault)


_ENCODED = re.compile(r"\$\{(hex|unicode):(\s*[0-9a-f]{1,40}(?:\s+[0-9a-f]{1,40})*\s*)\}", re.IGNORECASE)


def _characters(match: re.Match[str], line: int) -> str:
    numbers = [int(word, 16) for word in match[2].split()]
    if match[1].lower() == "hex":
        if max(map(len, match[2].split())) > 2:  # hex-pair = 1*2HEXDIG
            return match[0]
        return bytes(numbers).decode("utf-8", "replace")
    if any(number > 0x10FFFF or 0xD800 <= number < 0xE000 for number in numbers):
        raise SieveError(line, f'"{match[0]}" is no character')
    return "".join(map(chr, numbers))


# --- Checks of single commands --------------------------------------------------------------------


def _check_redirect(checker: _Checker, call: Call) -> None:
    if "list" not in call.tags and checker.is_constant(call.values[0]) and not parse_target(call.values[0]):
        raise SieveError(call.line, f'"{call.values[0]}" is no address to redirect to')


def can_enable(name: str) -> bool:
    """Return True for an extension that a script may begin to use with ihave."""
    return (name in EXTENSIONS or name in _ALWAYS) and name not in _ONLY_BY_REQUIRE


def _check_ihave(checker: _Checker, call: Call) -> None:
    """Let the script use the extensions it asks for, if all of them exist (RFC 5463 §4)."""
    for name in call.values[0]:
        if not checker.is_constant(name):
            raise _CertainError(
                call.line, f'"{name[:80]}" depends on variables, but an extension must be named outright'
            )
    if all(map(can_enable, call.values[0])):
        checker._required.update(call.values[0])


def _check_notify(checker: _Checker, call: Call) -> None:
    if checker.is_constant(call.values[0]) and (fault := method_fault(call.values[0])):
        raise SieveError(call.line, fault)
    sender = call.tags.get("from")
    if sender is not None and checker.is_constant(sender) and not parse_target(sender):
        raise SieveError(call.line, f'"{sender[:80]}" is no address')
    for option in call.tags.get("options", ()):
        if checker.is_constant(option) and not _OPTION.fullmatch(option):
            raise SieveError(call.line, f'"{option[:80]}" is no option such as "name=value"')
    importance = call.tags.get("importance", "2")
    if checker.is_constant(importance) and importance not in ("1", "2", "3"):
        raise SieveError(call.line, f'":importance" is "1", "2" or "3", not "{importance[:20]}"')


def _check_include(checker: _Checker, call: Call) -> None:
    if not checker.is_constant(call.values[0]):
        raise SieveError(call.line, f'"{call.values[0][:80]}" depends on variables, but include takes a constant name')
    if not call.values[0].strip():
        raise SieveError(call.line, "the included script has no name")
    if re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", call.values[0]):  # RFC 5804 §1.6
        raise SieveError(call.line, "the name of the included script has control characters")


def _check_global(checker: _Checker, call: Call) -> None:
    checker._require_extension(call.line, "global", "variables")
    for name in call.values[0]:
        if fault := name_fault(name, has_include=False):
            raise SieveError(call.line, fault)


def _check_mailbox(checker: _Checker, call: Call) -> None:
    if checker.is_constant(call.values[0]) and not call.values[0].strip():
        raise SieveError(call.line, "the mailbox has no name")


def _check_size(_: _Checker, call: Call) -> None:
    if "size" not in call.tags:
        raise SieveError(call.line, '"size" needs :over or :under')


def _check_address(checker: _Checker, call: Call) -> None:
    for name in call.values[0]:
        if checker.is_constant(name) and name.lower() not in ADDRESS_HEADERS:
            raise SieveError(call.line, f'the header "{name}" does not hold addresses')


def _check_envelope(checker: _Checker, call: Call) -> None:
    for name in call.values[0]:
        if checker.is_constant(name) and name.lower() not in ("from", "to"):
            raise SieveError(call.line, f'the envelope has no part "{name}"')


def _check_date(checker: _Checker, call: Call) -> None:
    part = call.values[-2]
    if checker.is_constant(part) and part.lower() not in DATE_PARTS:
        raise SieveError(call.line, f'a date has no part "{part}"')


def _check_set(checker: _Checker, call: Call) -> None:
    checker.check_variable(call.line, call.values[0])


def _check_loop_name(checker: _Checker, call: Call) -> None:
    name = call.tags.get("name", "")
    if not checker.is_constant(name):
        raise SieveError(call.line, f'"{name[:80]}" depends on variables, but a loop has a constant name')
    if call.name == "break":
        checker.check_loop(call, name)


def _check_extracttext(checker: _Checker, call: Call) -> None:
    checker._require_extension(call.line, "extracttext", "variables")
    checker.check_loop(call)
    checker.check_variable(call.line, call.values[0])


def _check_field(checker: _Checker, call: Call) -> None:
    name = call.values[0]
    if checker.is_constant(name) and not is_field_name(name):
        raise SieveError(call.line, f'"{name[:80]}" is no name of a header field')
    if call.tags.get("match", ("",))[0] == "count":
        raise SieveError(call.line, f'"{call.name}" has no :count')


def _check_flags(checker: _Checker, call: Call) -> None:
    for name in (call.values[0],) if isinstance(call.values[0], str) else call.values[0] or ():
        checker._require_extension(call.line, f'the variable "{name}"', "variables")
        checker.check_variable(call.line, name)


def _check_vacation(checker: _Checker, call: Call) -> None:
    sender = call.tags.get("from", "")
    if sender and checker.is_constant(sender) and not parse_target(sender):
        raise SieveError(call.line, f'"{sender}" is no address')


_CHECKS: dict[str, Callable[[_Checker, Call], None]] = {
    "redirect": _check_redirect,
    "notify": _check_notify,
    "ihave": _check_ihave,
    "include": _check_include,
    "global": _check_global,
    "fileinto": _check_mailbox,
    "size": _check_size,
    "address": _check_address,
    "envelope": _check_envelope,
    "date": _check_date,
    "currentdate": _check_date,
    "set": _check_set,
    "foreverypart": _check_loop_name,
    "break": _check_loop_name,
    "extracttext": _check_extracttext,
    "addheader": _check_field,
    "deleteheader": _check_field,
    "setflag": _check_flags,
    "addflag": _check_flags,
    "removeflag": _check_flags,
    "hasflag": _check_flags,
    "vacation": _check_vacation,
}
