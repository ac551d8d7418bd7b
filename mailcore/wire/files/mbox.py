"""mbox files in the mboxrd variant (RFC 4155): "From " at the start of a line gets one more ">".

Flags are stored in Status, X-Status and X-Keywords, as Unix mail programs do.
"""

import calendar
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from mailcore.wire.imap import system_flags as wire_flags

_CHUNK = 1 << 20
_BETWEEN = re.compile(rb"\n\r?\n(?=From )")  # the end of a message: an empty line, before a "From " line
_OVERLAP = len(b"\n\r\nFrom")  # bytes of such an end that the bytes read so far may have without matching
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)
_TO_QUOTE = re.compile(rb"^(>*From )", re.MULTILINE)
_OURS = re.compile(rb"^(Status|X-Status|X-Keywords|X-UID):[ \t]*+(.*+(?:\n[ \t].*+)*+)\n", re.MULTILINE | re.IGNORECASE)
_LETTERS = ((b"R", wire_flags.SEEN), (b"A", wire_flags.ANSWERED), (b"F", wire_flags.FLAGGED),
            (b"D", wire_flags.DELETED), (b"T", wire_flags.DRAFT))  # fmt: skip
_IN_STATUS = b"RO"  # letters of Status; the others belong to X-Status


@dataclass(frozen=True, slots=True)
class MboxMessage:
    """A message of an mbox file: `content` with CRLF; `received_at` in seconds, or None if the file has no date."""

    content: bytes
    flags: int = 0
    keywords: tuple[str, ...] = ()
    received_at: int | None = None


def read_mbox(file: IO[bytes], limit: int = 0) -> Iterator[MboxMessage]:
    """Yield the messages of an mbox file.

    Messages of more than `limit` bytes are skipped (0: none is). Memory is bounded by that, and time is linear in the
    bytes, not the lines: a ZIP archive of 1 MB holds a billion empty ones. Raise ValueError if the file does not begin
    with "From ".
    """
    held = bytearray(file.read(_CHUNK))
    if held and not held.startswith(b"From "):
        raise ValueError('no mbox file: it does not begin with "From "')
    searched, is_too_long = 0, False
    while True:
        if found := _BETWEEN.search(held, searched):
            if not is_too_long and not 0 < limit < found.end():
                yield _parse_message(bytes(held[: found.end()]))
            del held[: found.end()]
            searched, is_too_long = 0, False
            continue
        searched = max(len(held) - _OVERLAP, 0)
        if 0 < limit < searched:
            del held[:searched]
            searched, is_too_long = 0, True
        chunk = file.read(_CHUNK)
        if not chunk:
            break
        held += chunk
    if held and not is_too_long and not 0 < limit < len(held):
        yield _parse_message(bytes(held))


def _parse_message(message: bytes) -> MboxMessage:
    from_line, _, content = message.partition(b"\n")
    content = content.replace(b"\r\n", b"\n")
    content = content.removesuffix(b"\n") if content.endswith(b"\n\n") else content
    head, empty_line, body = content.partition(b"\n\n")
    fields = {name.lower(): value for name, value in _OURS.findall(head + b"\n")}
    letters = fields.get(b"status", b"") + fields.get(b"x-status", b"")
    head = _OURS.sub(b"", head + b"\n").removesuffix(b"\n")
    return MboxMessage(
        to_crlf(head + empty_line + _QUOTED.sub(rb"\1", body)),
        sum(bit for letter, bit in _LETTERS if letter in letters),
        tuple(word.decode("ascii", "ignore") for word in fields.get(b"x-keywords", b"").split() if word.isascii()),
        _parse_from_line(from_line),
    )


def _parse_from_line(line: bytes) -> int | None:
    """Return the time in "From user Sat Jan  3 01:05:34 1996", which is UTC, or None."""
    words = line.decode("ascii", "replace").split()
    try:
        return calendar.timegm(time.strptime(" ".join(words[2:7]), "%a %b %d %H:%M:%S %Y"))
    except ValueError:
        return None


def to_crlf(content: bytes) -> bytes:
    """Return `content` with CRLF line ends."""
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def format_mbox_message(message: MboxMessage, sender: str = "MAILER-DAEMON") -> bytes:
    """Return the message in mbox format."""
    head, empty_line, body = message.content.replace(b"\r\n", b"\n").partition(b"\n\n")
    letters = b"".join(letter for letter, bit in _LETTERS if message.flags & bit)
    fields = b"Status: " + bytes(letter for letter in letters if letter in _IN_STATUS) + b"O\n"
    if others := bytes(letter for letter in letters if letter not in _IN_STATUS):
        fields += b"X-Status: " + others + b"\n"
    if message.keywords:
        fields += b"X-Keywords: " + " ".join(message.keywords).encode() + b"\n"
    moment = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(message.received_at or 0))
    content = head.rstrip(b"\n") + b"\n" + fields + (b"\n" + _TO_QUOTE.sub(rb">\1", body) if empty_line else b"")
    ending = b"\n" if content.endswith(b"\n") else b"\n\n"
    return f"From {sender.replace(' ', '_') or 'MAILER-DAEMON'} {moment}\n".encode() + content + ending
