"""The grammar of ManageSieve (RFC 5804), for server and client.

A command or response is a series of words and strings on one line. A literal interrupts it: the line ends in {count} or
{count+}, the bytes follow, then the line goes on. `CommandTokens` is fed line by line.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

LINE_LIMIT = 8192  # bytes in a line without literals
MAX_TOKENS = 16  # words and strings in one command or response; the longest in the RFC has four
QUOTED_LIMIT = 1024  # bytes in a quoted string (§4)

# Command → (number of strings, needs a logged-in client). AUTHENTICATE and NOOP may have one string less.
COMMANDS: dict[str, tuple[int, bool]] = {
    "AUTHENTICATE": (2, False),
    "STARTTLS": (0, False),
    "LOGOUT": (0, False),
    "CAPABILITY": (0, False),
    "NOOP": (1, False),
    "HAVESPACE": (2, True),
    "PUTSCRIPT": (2, True),
    "LISTSCRIPTS": (0, True),
    "SETACTIVE": (1, True),
    "GETSCRIPT": (1, True),
    "DELETESCRIPT": (1, True),
    "RENAMESCRIPT": (2, True),
    "CHECKSCRIPT": (1, True),
    "UNAUTHENTICATE": (0, True),
}
_ONE_LESS = frozenset(("AUTHENTICATE", "NOOP"))
_TOKEN = re.compile(
    rb' *(?:"((?:[^"\\\r\n\0]|\\["\\])*)"|\{([0-9]{1,10})\+?\}$|\(((?:[^()"]|"(?:[^"\\]|\\.)*")*)\)|([^\s"(){}]+))'
)


class GrammarError(ValueError):
    """The input is not ManageSieve; the exception's text says why."""


@dataclass(frozen=True, slots=True)
class StringToken:
    """A string, quoted or literal."""

    value: bytes

    @property
    def text(self) -> str:
        try:
            return self.value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GrammarError("a string is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """A response code, the text in parentheses."""

    text: str


Token = str | StringToken | ResponseCode


class CommandTokens:
    """Collector of one command or response; `literal` is the number of bytes expected before the next line."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.literal: int | None = None

    def line(self, data: bytes) -> bool:
        """Add a line without its line end; return True if the command is complete. Raise GrammarError."""
        at, end = 0, len(data.rstrip(b" "))
        while at < end:
            if len(self.tokens) >= MAX_TOKENS:
                raise GrammarError("too many strings")
            match = _TOKEN.match(data, at)
            if match is None:
                raise GrammarError("that cannot be read")
            quoted, literal, code, word = match.groups()
            at = match.end()
            if quoted is not None:
                self.tokens.append(StringToken(re.sub(rb"\\(.)", rb"\1", quoted)))
            elif literal is not None:
                self.literal = int(literal)
                return False
            elif code is not None:
                self.tokens.append(ResponseCode(code.decode("utf-8", "replace")))
            else:
                self.tokens.append(word.decode("utf-8", "replace"))
        return True

    def add_literal(self, value: bytes) -> None:
        """Add the bytes of the announced literal."""
        self.tokens.append(StringToken(value))
        self.literal = None


@dataclass(frozen=True, slots=True)
class Command:
    word: str
    strings: tuple[StringToken, ...]
    number: int = 0  # the size in HAVESPACE


def parse_command(tokens: Sequence[Token], *, signed_in: bool) -> Command:
    """Parse the tokens of a command; raise GrammarError."""
    if not tokens or not isinstance(tokens[0], str):
        raise GrammarError("a command expected")
    word = tokens[0].upper()
    if word not in COMMANDS:
        raise GrammarError("unknown command")
    count, needs_owner = COMMANDS[word]
    if needs_owner and not signed_in:
        raise GrammarError("sign in first")
    rest, number = list(tokens[1:]), 0
    if word == "HAVESPACE":
        if len(rest) != 2 or not isinstance(rest[1], str) or not re.fullmatch(r"[0-9]{1,10}", rest[1]):
            raise GrammarError("wrong arguments for HAVESPACE")
        number, rest, count = int(rest[1]), rest[:1], 1
    strings = tuple(each for each in rest if isinstance(each, StringToken))
    if len(strings) != len(rest) or not count - (word in _ONE_LESS) <= len(strings) <= count:
        raise GrammarError(f"wrong arguments for {word}")
    return Command(word, strings, number)


# --- Output ---------------------------------------------------------------------------------------


def format_string(value: str | bytes) -> bytes:
    """Return a quoted string if possible, else a literal as a server writes it (§1.2, §4)."""
    data = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(data) <= QUOTED_LIMIT and not re.search(rb"[\r\n\0]", data):
        return b'"' + re.sub(rb'(["\\])', rb"\\\1", data) + b'"'
    return b"{%d}\r\n" % len(data) + data


def format_literal(data: bytes) -> bytes:
    """Return a non-synchronizing literal, as a client writes it."""
    return b"{%d+}\r\n" % len(data) + data


def format_response(word: str, text: str = "", code: str = "") -> bytes:
    """Return an OK, NO or BYE response."""
    parts = [word.encode()]
    if code:
        parts.append(f"({code})".encode())
    if text:
        parts.append(format_string(text))
    return b" ".join(parts) + b"\r\n"


def format_capabilities(pairs: Sequence[tuple[str, str | None]]) -> bytes:
    lines = [format_string(name) + (b"" if value is None else b" " + format_string(value)) for name, value in pairs]
    return b"".join(line + b"\r\n" for line in lines)


def encode_base64(data: bytes) -> bytes:
    return base64.b64encode(data)


def decode_base64(given: StringToken) -> bytes | None:
    """Decode a client's SASL response; return None for "*", which cancels. Raise GrammarError."""
    if given.value == b"*":
        return None
    try:
        return base64.b64decode(given.value, validate=True)
    except binascii.Error as error:
        raise GrammarError("invalid base64") from error
