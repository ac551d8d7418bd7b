"""ManageSieve's grammar (RFC 5804), for the server and for a client: lines and literals in, values out, and back.

A command or a response is a sentence of words and strings on one line, which a literal may interrupt: the line ends
in {count} or {count+}, then come the bytes, then the sentence goes on. `Sentence` is fed line by line.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass

LINE_LIMIT = 8192  # bytes of a line without literals
MAX_TOKENS = 16  # words and strings of one command or response; the longest of the standard has four
QUOTED_LIMIT = 1024  # bytes of a quoted string (§4)

# Command → how many strings it takes, and whether one must be signed in. AUTHENTICATE and NOOP may have one less.
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
    """What was sent is not ManageSieve; its text says what of it."""


@dataclass(frozen=True, slots=True)
class StringToken:
    """A string, quoted or literal."""

    octets: bytes

    @property
    def text(self) -> str:
        try:
            return self.octets.decode("utf-8")
        except UnicodeDecodeError as error:
            raise GrammarError("a string is not UTF-8") from error


@dataclass(frozen=True, slots=True)
class ResponseCode:
    """A response code: what stands in ( )."""

    text: str


Token = str | StringToken | ResponseCode


class CommandTokens:
    """Collects one command or response. `literal` says how many bytes must come before the next line."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.literal: int | None = None

    def line(self, octets: bytes) -> bool:
        """Take a line without its line end; True when the sentence is complete. Raises GrammarError."""
        at, end = 0, len(octets.rstrip(b" "))
        while at < end:
            if len(self.tokens) >= MAX_TOKENS:
                raise GrammarError("too many strings")
            match = _TOKEN.match(octets, at)
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

    def octets(self, octets: bytes) -> None:
        """The literal that was announced."""
        self.tokens.append(StringToken(octets))
        self.literal = None


@dataclass(frozen=True, slots=True)
class Command:
    word: str
    strings: tuple[StringToken, ...]
    number: int = 0  # HAVESPACE's


def parse_command(tokens: Sequence[Token], *, signed_in: bool) -> Command:
    """Raises GrammarError."""
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


# --- What is said ---------------------------------------------------------------------------------


def format_string(value: str | bytes) -> bytes:
    """As a quoted string where it can be one, else as a literal of a server (§1.2, §4)."""
    octets = value.encode("utf-8", "replace") if isinstance(value, str) else value
    if len(octets) <= QUOTED_LIMIT and not re.search(rb"[\r\n\0]", octets):
        return b'"' + re.sub(rb'(["\\])', rb"\\\1", octets) + b'"'
    return b"{%d}\r\n" % len(octets) + octets


def format_literal(octets: bytes) -> bytes:
    """A literal of a client: it does not wait to be asked for the bytes."""
    return b"{%d+}\r\n" % len(octets) + octets


def format_response(word: str, text: str = "", code: str = "") -> bytes:
    """OK, NO or BYE."""
    parts = [word.encode()]
    if code:
        parts.append(f"({code})".encode())
    if text:
        parts.append(format_string(text))
    return b" ".join(parts) + b"\r\n"


def format_capabilities(pairs: Sequence[tuple[str, str | None]]) -> bytes:
    lines = [format_string(name) + (b"" if value is None else b" " + format_string(value)) for name, value in pairs]
    return b"".join(line + b"\r\n" for line in lines)


def encode_base64(octets: bytes) -> bytes:
    return base64.b64encode(octets)


def decode_base64(given: StringToken) -> bytes | None:
    """A client's response; None for "*", by which it gives up. Raises GrammarError."""
    if given.octets == b"*":
        return None
    try:
        return base64.b64decode(given.octets, validate=True)
    except binascii.Error as error:
        raise GrammarError("invalid base64") from error
