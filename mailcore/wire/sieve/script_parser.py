"""Parser of scripts into the generic tree of RFC 5228 §8.2: commands with arguments, tests and blocks.

`compiler` gives the names their meaning. A command keeps the comment before it, for programs that write scripts.
SieveError names the fault and its line.
"""

import re
from dataclasses import dataclass
from typing import Literal

MAX_DEPTH = 32  # nested blocks and tests; RFC 5228 §2.10.5 requires 15

_TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
      | (?P<newline>\r?\n)
      | (?P<comment>\#[^\r\n]*)
      | (?P<bracketed>/\*.*?\*/)
      | (?P<multiline>text:[ \t]*(?:\#[^\r\n]*)?\r?\n)
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<number>[0-9]+[KMGkmg]?(?![A-Za-z0-9_]))
      | (?P<tag>:[A-Za-z_][A-Za-z0-9_]*)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>[][(){},;])""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_END_OF_TEXT = re.compile(r"^\.\r?$", re.MULTILINE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


class SieveError(ValueError):
    """A fault in a script; `line` counts from 1."""

    def __init__(self, line: int, words: str) -> None:
        super().__init__(f"line {line}: {words}")
        self.line = line
        self.words = words


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument; `value` is a tag's name without colon, a number, a string, or the strings of a list."""

    kind: Literal["tag", "number", "string", "strings"]
    value: str | int | tuple[str, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Node:
    """A command or test as written.

    `block` is None if there is none; `comment` holds the # lines before a command, without the signs.
    """

    name: str  # lower case
    line: int
    arguments: tuple[Argument, ...]
    tests: tuple["Node", ...]
    block: tuple["Node", ...] | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    line: int
    comment: str = ""


def parse_script(text: str) -> tuple[Node, ...]:
    """Parse a script into its commands; raise SieveError."""
    reader = _Reader(_tokens(text))
    commands = reader.commands(0)
    reader.expect("end")
    return commands


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    comments: list[str] = []
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SieveError(line, f"unexpected {text[at : at + 20].split(chr(10))[0]!r}")
        kind, word = str(match.lastgroup), match[0]
        at = match.end()
        if kind == "comment":
            comments.append(word[1:].strip())
        elif kind == "multiline":
            end = _END_OF_TEXT.search(text, at)
            if end is None:
                raise SieveError(line, "the text: has no end (a line with a single dot)")
            word = text[at : end.start()]
            found.append(_Token("string", _unstuffed(word), line))
            at = end.end()
            word = match[0] + text[match.end() : at]
        elif kind not in ("space", "newline", "bracketed"):
            if kind == "quoted":
                found.append(_Token("string", re.sub(r"\\(.)", r"\1", word[1:-1], flags=re.DOTALL), line))
            else:
                found.append(_Token(kind, word, line, "\n".join(comments)))
            comments = []
        line += word.count("\n")
    found.append(_Token("end", "the end", line))
    return found


def _unstuffed(text: str) -> str:
    return re.sub(r"(?m)^\.\.", ".", text)


class _Reader:
    """Recursive descent parser with one token of look-ahead."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _is(self, sign: str) -> bool:
        return self._next.kind == "sign" and self._next.text == sign

    def expect(self, wanted: str) -> _Token:
        token = self._next
        if token.kind != wanted and not (token.kind == "sign" and token.text == wanted):
            shown = "the end of the script" if wanted == "end" else f'"{wanted}"'
            raise SieveError(token.line, f'{shown} expected before "{token.text[:40]}"')
        return self._take()

    def commands(self, depth: int) -> tuple[Node, ...]:
        found = []
        while self._next.kind == "name":
            found.append(self._command(depth))
        return tuple(found)

    def _command(self, depth: int) -> Node:
        name = self._named(depth)
        arguments, tests = self._arguments(depth)
        block = None
        if self._is("{"):
            self._take()
            block = self.commands(depth + 1)
            self.expect("}")
        else:
            self.expect(";")
        return Node(name.text.lower(), name.line, arguments, tests, block, name.comment)

    def _test(self, depth: int) -> Node:
        name = self._named(depth)
        arguments, tests = self._arguments(depth)
        return Node(name.text.lower(), name.line, arguments, tests)

    def _named(self, depth: int) -> _Token:
        if self._next.kind != "name":
            raise SieveError(self._next.line, f'a name expected, not "{self._next.text[:40]}"')
        if depth > MAX_DEPTH:
            raise SieveError(self._next.line, "too deeply nested")
        return self._take()

    def _arguments(self, depth: int) -> tuple[tuple[Argument, ...], tuple[Node, ...]]:
        found: list[Argument] = []
        while (argument := self._argument()) is not None:
            found.append(argument)
        if self._next.kind == "name":
            return tuple(found), (self._test(depth + 1),)
        if not self._is("("):
            return tuple(found), ()
        self._take()
        tests = [self._test(depth + 1)]
        while self._is(","):
            self._take()
            tests.append(self._test(depth + 1))
        self.expect(")")
        return tuple(found), tuple(tests)

    def _argument(self) -> Argument | None:
        token = self._next
        if token.kind == "tag":
            self._take()
            return Argument("tag", token.text[1:].lower(), token.line)
        if token.kind == "number":
            self._take()
            unit = token.text[-1].lower() if token.text[-1].isalpha() else ""
            number = int(token.text.rstrip("KMGkmg")[:20]) * _UNITS[unit]
            if number >= 1 << 63:
                raise SieveError(token.line, "the number is too large")
            return Argument("number", number, token.line)
        if token.kind == "string":
            self._take()
            return Argument("string", token.text, token.line)
        if self._is("["):
            return self._list()
        return None

    def _list(self) -> Argument:
        line = self._take().line
        found = [self.expect("string").text]
        while not self._is("]"):
            self.expect(",")
            found.append(self.expect("string").text)
        self._take()
        return Argument("strings", tuple(found), line)


def quote_string(text: str) -> str:
    """Return a string as written in a script."""
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def format_string_list(texts: tuple[str, ...] | list[str]) -> str:
    """Return a string list as written in a script; a single string stands alone."""
    return quote_string(texts[0]) if len(texts) == 1 else "[" + ", ".join(map(quote_string, texts)) + "]"


def format_multiline(text: str) -> str:
    """Return a text of several lines as written in a script."""
    body = re.sub(r"(?m)^\.", "..", text.replace("\r\n", "\n").rstrip("\n"))
    return "text:\n" + body + "\n.\n"
