"""The grammar of POP3 commands and responses (RFC 1939, 2449, 2595, 5034, 6856).

`servers.pop3` executes the commands; the table below says in which states each is allowed. Texts are Dovecot's, which
clients and scripts know.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.auth import sasl

COMMAND_LIMIT = 255  # bytes in a command line with CRLF (RFC 2449 §4); a SASL line may be longer

# Command → the states in which it is allowed (RFC 1939 §3).
BEFORE, AFTER = "authorization", "transaction"
COMMANDS: dict[str, frozenset[str]] = {
    "AUTH": frozenset({BEFORE}),
    "CAPA": frozenset({BEFORE, AFTER}),
    "DELE": frozenset({AFTER}),
    "LANG": frozenset({BEFORE, AFTER}),
    "LIST": frozenset({AFTER}),
    "NOOP": frozenset({AFTER}),
    "PASS": frozenset({BEFORE}),
    "QUIT": frozenset({BEFORE, AFTER}),
    "RETR": frozenset({AFTER}),
    "RSET": frozenset({AFTER}),
    "STAT": frozenset({AFTER}),
    "STLS": frozenset({BEFORE}),
    "TOP": frozenset({AFTER}),
    "UIDL": frozenset({AFTER}),
    "USER": frozenset({BEFORE}),
    "UTF8": frozenset({BEFORE}),
}

OK = b"+OK\r\n"
END = b".\r\n"


class Pop3CommandError(ValueError):
    """The command cannot be executed; the exception's text follows "-ERR "."""


@dataclass(frozen=True, slots=True)
class Pop3Command:
    """A command line: the word in upper case, and its argument undecoded."""

    word: str
    argument: bytes


def parse_command(line: bytes, state: str) -> Pop3Command:
    """Parse a line without its line end. Raise Pop3CommandError if the command is unknown in this state."""
    word, _, argument = line.partition(b" ")
    name = word.upper().decode("ascii", "replace")
    if state not in COMMANDS.get(name, ()):
        raise Pop3CommandError("Unknown command." if state == BEFORE else f"Unknown command: {printable(word)}")
    return Pop3Command(name, argument)


def printable(data: bytes, limit: int = 64) -> str:
    """Return client input in a form that is safe in a response."""
    text = data[:limit].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def parse_message_number(argument: bytes, sizes: Sequence[int], deleted: set[int]) -> int:
    """Return the index (from 0) of the message with this number; raise Pop3CommandError."""
    return _live(_number(argument, "message number"), sizes, deleted)


def parse_top_arguments(argument: bytes, sizes: Sequence[int], deleted: set[int]) -> tuple[int, int]:
    """Return (index, number of lines) of a TOP command; raise Pop3CommandError."""
    first, _, rest = argument.partition(b" ")
    index = _live(_number(first, "message number"), sizes, deleted)
    return index, _number(rest, "line count")


_DIGITS = re.compile(rb"\d{1,10}", re.ASCII)


def _number(argument: bytes, what: str) -> int:
    argument = argument.strip(b" ")
    digits = _DIGITS.match(argument)
    if digits is None:
        raise Pop3CommandError(f"Invalid {what}: {printable(argument)}")
    if digits.end() != len(argument):
        raise Pop3CommandError(f"Noise after {what}: {printable(argument[digits.end() :])}")
    return int(argument)


def _live(number: int, sizes: Sequence[int], deleted: set[int]) -> int:
    if not 1 <= number <= len(sizes):
        raise Pop3CommandError(f"There's no message {number}.")
    if number - 1 in deleted:
        raise Pop3CommandError("Message is deleted.")
    return number - 1


# --- SASL (RFC 5034) ------------------------------------------------------------------------------


def parse_auth(argument: bytes) -> tuple[str, bytes | None]:
    """Return (mechanism, initial response or None) of an AUTH command. Raise Pop3CommandError if it is not base64."""
    name, space, response = argument.partition(b" ")
    return name.upper().decode("ascii", "replace"), decode_base64(response) if space else None


def format_challenge(data: bytes = b"") -> bytes:
    return b"+ " + base64.b64encode(data) + b"\r\n"


def decode_base64(line: bytes) -> bytes:
    """Decode a client's response. Raise Pop3CommandError if it is not base64 or "*", which cancels."""
    if line == b"*":
        raise Pop3CommandError("[AUTH] Authentication aborted by client.")
    try:
        return sasl.decode_response(line)
    except sasl.SaslError as error:
        raise Pop3CommandError("Invalid base64 data in continued response.") from error


# --- Responses ------------------------------------------------------------------------------------


def ok_response(words: str = "") -> bytes:
    return b"+OK " + words.encode() + b"\r\n" if words else OK


def error_response(words: str) -> bytes:
    return b"-ERR " + words.encode() + b"\r\n"


def multiline_response(first: str, rest: Iterable[str]) -> bytes:
    """Return a multi-line response. None of its lines begins with a dot."""
    body = "\r\n".join(rest)
    return ok_response(first) + (body.encode() + b"\r\n" if body else b"") + END


def capability_lines(*, plaintext: bool, mechanisms: Sequence[str], starttls: bool, implementation: str) -> list[str]:
    """Return the lines of CAPA's response.

    `plaintext`: passwords may be sent now; `mechanisms`: what AUTH offers now; `starttls`: STLS works now.
    """
    tags = ["TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8 USER", "LANG"]
    if starttls:
        tags.append("STLS")
    if plaintext:
        tags.append("USER")
    if mechanisms:
        tags.append("SASL " + " ".join(mechanisms))
    return [*tags, "EXPIRE NEVER", "LOGIN-DELAY 0", f"IMPLEMENTATION {implementation}"]


def unique_id(uid_validity: int, uid: int) -> str:
    """Return the unique-id of a message (RFC 1939 §7) in Dovecot's default format.

    Clients of a mailbox that was moved here with its UIDs do not fetch its messages again.
    """
    return f"{uid:08x}{uid_validity:08x}"


_BARE_LF = re.compile(rb"(?<!\r)\n")
_DOT_LINE = re.compile(rb"\n\.")  # a failing search with this takes a third of the time of `in`


class DotStuffer:
    """Encoder of a message for a multi-line response: CRLF line ends, dots doubled (RFC 1939 §3).

    Fed in pieces of any size. `byte_count` counts the bytes sent without the added dots, as LIST and "+OK n octets" do.
    `has_bare_lf` False spares the search for LF without CR, which would double the cost, in a message that has none.
    """

    __slots__ = ("_has_bare_lf", "_last", "byte_count")

    def __init__(self, has_bare_lf: bool = True) -> None:
        self.byte_count = 0
        self._has_bare_lf = has_bare_lf
        self._last = b"\n"  # the last byte fed

    def feed(self, content: bytes) -> bytes:
        if not content:
            return b""
        last, self._last = self._last, content[-1:]
        if self._has_bare_lf:
            # A CRLF may be split between two pieces.
            done = 1 if last == b"\r" and content.startswith(b"\n") else 0
            content = content[:done] + _BARE_LF.sub(b"\r\n", content[done:])
        self.byte_count += len(content)
        first_dot = last == b"\n" and content.startswith(b".")
        if _DOT_LINE.search(content):
            content = content.replace(b"\n.", b"\n..")
        return b"." + content if first_dot else content

    def finish(self) -> bytes:
        """Return the end of the message, with the final dot."""
        if self._last == b"\n":
            return END
        rest = b"\n" if self._last == b"\r" else b"\r\n"
        self.byte_count += len(rest)
        return rest + END


_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")


def top_lines(content: bytes, count: int) -> bytes:
    """Return the header, the empty line and the first `count` lines of the body; everything if there is no body."""
    empty_line = _EMPTY_LINE.search(content)
    if empty_line is None:
        return content
    end = empty_line.end()
    for _ in range(count):
        following = content.find(b"\n", end)
        if following < 0:
            return content
        end = following + 1
    return content[:end]
