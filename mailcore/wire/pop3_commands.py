"""POP3's grammar and answers (RFC 1939, 2449, 2595, 5034, 6856): bytes in, values out, and back.

Called by servers/pop3.py. A session's commands and its states stand in the table below; what a command
does stands in the server. Texts are those of Dovecot, which clients and scripts know.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailcore.wire.auth import sasl

COMMAND_LIMIT = 255  # bytes of a command line with CRLF (RFC 2449 §4); a SASL line may be longer

# Command → the states in which it may be used (RFC 1939 §3).
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
    """What the client said cannot be done; its text stands after "-ERR "."""


@dataclass(frozen=True, slots=True)
class Pop3Command:
    """A command line: the word in upper case, and what came after it, undecoded."""

    word: str
    argument: bytes


def parse_command(line: bytes, state: str) -> Pop3Command:
    """The command in a line (without its line end). CommandError: there is none such in this state."""
    word, _, argument = line.partition(b" ")
    name = word.upper().decode("ascii", "replace")
    if state not in COMMANDS.get(name, ()):
        raise Pop3CommandError("Unknown command." if state == BEFORE else f"Unknown command: {printable(word)}")
    return Pop3Command(name, argument)


def printable(octets: bytes, limit: int = 64) -> str:
    """What a client sent, fit to stand in an answer to it."""
    text = octets[:limit].decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def parse_message_number(argument: bytes, sizes: Sequence[int], deleted: set[int]) -> int:
    """The index (from 0) of the message whose number `argument` is."""
    return _live(_number(argument, "message number"), sizes, deleted)


def parse_top_arguments(argument: bytes, sizes: Sequence[int], deleted: set[int]) -> tuple[int, int]:
    """(index, lines) of a TOP command."""
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
    """(mechanism, initial response or None) of an AUTH command. CommandError: not base64."""
    name, space, response = argument.partition(b" ")
    return name.upper().decode("ascii", "replace"), decode_base64(response) if space else None


def format_challenge(octets: bytes = b"") -> bytes:
    return b"+ " + base64.b64encode(octets) + b"\r\n"


def decode_base64(line: bytes) -> bytes:
    """A client's response. CommandError: not base64, or the client gave up ("*")."""
    if line == b"*":
        raise Pop3CommandError("[AUTH] Authentication aborted by client.")
    try:
        return sasl.decode_response(line)
    except sasl.SaslError as error:
        raise Pop3CommandError("Invalid base64 data in continued response.") from error


# --- Answers --------------------------------------------------------------------------------------


def ok_response(words: str = "") -> bytes:
    return b"+OK " + words.encode() + b"\r\n" if words else OK


def error_response(words: str) -> bytes:
    return b"-ERR " + words.encode() + b"\r\n"


def multiline_response(first: str, rest: Iterable[str]) -> bytes:
    """A multi-line answer. No line of ours begins with a dot."""
    body = "\r\n".join(rest)
    return ok_response(first) + (body.encode() + b"\r\n" if body else b"") + END


def capability_lines(*, plaintext: bool, mechanisms: Sequence[str], starttls: bool, implementation: str) -> list[str]:
    """What CAPA lists; `plaintext`: passwords may be sent now, `mechanisms`: what AUTH may be used with,
    `starttls`: STLS would work now."""
    tags = ["TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "UTF8 USER", "LANG"]
    if starttls:
        tags.append("STLS")
    if plaintext:
        tags.append("USER")
    if mechanisms:
        tags.append("SASL " + " ".join(mechanisms))
    return [*tags, "EXPIRE NEVER", "LOGIN-DELAY 0", f"IMPLEMENTATION {implementation}"]


def unique_id(uid_validity: int, uid: int) -> str:
    """The unique-id of a message (RFC 1939 §7), in the form Dovecot gives by default, so that clients of
    a mailbox that moved here with its UIDs do not fetch it again."""
    return f"{uid:08x}{uid_validity:08x}"


_BARE_LF = re.compile(rb"(?<!\r)\n")
_DOT_LINE = re.compile(rb"\n\.")  # a search by this finds nothing three times as fast as `in` does


class DotStuffer:
    """A message on its way out: every line ends in CRLF, the last too, and a line that begins with a dot
    gets a second one (RFC 1939 §3). Feed it in pieces of any size; `bytes` counts what was sent without
    the second dots, as "+OK n bytes" does.

    How lines end in a file is decided by its first one: other programs store bare LF throughout. A bare LF
    in a file of CRLF passes; it harms nobody, and looking for it would cost as much as all the rest.
    """

    __slots__ = ("_bare", "_last", "octets")

    def __init__(self) -> None:
        self.octets = 0
        self._bare: bool | None = None  # known when the first line end has been seen
        self._last = b"\n"  # byte

    def feed(self, content: bytes) -> bytes:
        if not content:
            return b""
        if self._bare is None and (first := content.find(b"\n")) >= 0:
            self._bare = (content[first - 1 : first] if first else self._last) != b"\r"
        last, self._last = self._last, content[-1:]
        if self._bare:
            # A line end may have been cut in two.
            done = 1 if last == b"\r" and content.startswith(b"\n") else 0
            content = content[:done] + _BARE_LF.sub(b"\r\n", content[done:])
        self.octets += len(content)
        first_dot = last == b"\n" and content.startswith(b".")
        if _DOT_LINE.search(content):
            content = content.replace(b"\n.", b"\n..")
        return b"." + content if first_dot else content

    def finish(self) -> bytes:
        """What ends the message, the final dot included."""
        if self._last == b"\n":
            return END
        rest = b"\n" if self._last == b"\r" else b"\r\n"
        self.octets += len(rest)
        return rest + END


_EMPTY_LINE = re.compile(rb"(?:\A|\n)\r?\n")


def top_lines(content: bytes, count: int) -> bytes:
    """The header, the empty line and the first `count` lines of the body; all where there is no body."""
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
