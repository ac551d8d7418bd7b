"""Files that stand uuencoded in the text of a message (POSIX, uuencode), as programs wrote them before MIME."""

import binascii
import re
from typing import NamedTuple

_BEGIN = re.compile(r"^begin [0-7]{3,4} ([^\n]{1,255})\n", re.MULTILINE)
_LINE = re.compile(r"[ -`]{1,90}")
MAX_FILES = 100  # of one text


class UuencodedFile(NamedTuple):
    """A file at `start` to `end` of a text, its "begin" and "end" lines included."""

    name: str
    start: int
    end: int


def find_files(text: str) -> list[UuencodedFile]:
    r"""Return the whole files in a text with \n line ends, in linear time."""
    found: list[UuencodedFile] = []
    at = 0
    while len(found) < MAX_FILES and (match := _BEGIN.search(text, at)):
        end = _end_of_data(text, match.end())
        if end:
            found.append(UuencodedFile(match[1].strip(), match.start(), end))
        at = end or match.end()
    return found


def decode_file(text: str, file: UuencodedFile) -> bytes:
    """Return a file's content; what a line lacks is zeros, a line that cannot be read is left out."""
    lines = text[file.start : file.end].split("\n")[1:]
    return b"".join(map(_decode_line, lines))


def without_files(text: str) -> str:
    """Return the text around the files."""
    pieces, at = [], 0
    for file in find_files(text):
        pieces.append(text[at : file.start])
        at = file.end
    return "".join((*pieces, text[at:]))


def _end_of_data(text: str, at: int) -> int:
    """Return the offset after the "end" line of the data that begins at `at`, 0 if something else comes before."""
    while at < len(text):
        stop = text.find("\n", at)
        line = text[at : stop if stop >= 0 else len(text)]
        after = stop + 1 if stop >= 0 else len(text)
        if line.rstrip() == "end":
            return after
        if line and not _LINE.fullmatch(line):
            return 0
        at = after
    return 0


def _decode_line(line: str) -> bytes:
    if not line or line.rstrip() == "end":
        return b""
    size = 1 + (((ord(line[0]) - 32) & 63) + 2) // 3 * 4  # Some programs add a checksum.
    try:
        return binascii.a2b_uu(line[:size])
    except binascii.Error:
        return b""
