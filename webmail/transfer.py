"""Letters as files: an mbox or a ZIP of .eml files out, the same (or a single .eml) in.

Files are worked through letter by letter; nothing is held whole in memory, and what an archive claims to
be is not believed: sizes are counted while it is unpacked, and names in it are never used as paths.
"""

import itertools
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from mailcore import conf
from mailcore.wire import flags as wire_flags
from mailcore.wire import mbox
from webmail import imap, letters, parts
from webmail.changing import FLAGS
from webmail.criteria import is_keyword
from webmail.security import without_claims

BATCH = 20  # letters fetched at once
LETTERS_AT_MOST = 20_000  # of one file taken in
_HEADER = re.compile(rb"[!-9;-~]{1,200}[ \t]*:")  # a letter begins with a field


@dataclass(frozen=True, slots=True)
class TakenIn:
    taken: int
    refused: int
    said: str = ""  # the server's words for the last refusal


def as_mbox(mail: imap.Mail, uids: Sequence[int]) -> IO[bytes]:
    """Letters of the open folder in one mbox file, with their flags, ready to be read."""
    target = tempfile.TemporaryFile()  # noqa: SIM115 (who sends it closes it)
    for whole in _contents(mail, uids):
        bits = sum(bit for name, bit in wire_flags.BITS.items() if name in whole.flags)
        keywords = tuple(sorted(flag for flag in whole.flags if not flag.startswith("\\")))
        arrived = int(whole.arrived.timestamp()) if whole.arrived else None
        target.write(mbox.write(mbox.Stored(whole.content, bits, keywords, arrived)))
    target.seek(0)
    return target


def as_zip(mail: imap.Mail, uids: Sequence[int]) -> IO[bytes]:
    """Letters of the open folder as .eml files in a ZIP archive."""
    target = tempfile.TemporaryFile()  # noqa: SIM115
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for whole in _contents(mail, uids):
            head = letters.head_of(whole.content[:65536].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            archive.writestr(f"{whole.uid:06d} {parts.file_name(head.subject)[:80]}".strip() + ".eml", whole.content)
    target.seek(0)
    return target


def _contents(mail: imap.Mail, uids: Sequence[int]) -> Iterator[imap.Whole]:
    for start in range(0, len(uids), BATCH):
        yield from mail.whole(uids[start : start + BATCH])


def take_in(mail: imap.Mail, folder: str, file: IO[bytes], name: str, owner: str) -> TakenIn:
    """Put the messages of a file into a folder of `owner`, without results of checks that claim to be our server's:
    anybody may have written the file. Raises zipfile.BadZipFile, and ValueError for a file that holds
    no letter."""
    taken = refused = 0
    said = ""
    for letter in itertools.islice(_letters(file, name), LETTERS_AT_MOST):
        try:
            mail.append(folder, without_claims(letter.content, owner), _flags(letter), letter.received_at)
            taken += 1
        except imap.Refused as refusal:
            refused += 1
            said = str(refusal)
    if not taken and not refused:
        raise ValueError("no letter")
    return TakenIn(taken, refused, said)


def _flags(letter: mbox.Stored) -> list[str]:
    """Flags and keywords as `imap.Mail.append` takes them; what is no keyword is left out."""
    set_here = [name for name, flag in FLAGS.items() if wire_flags.BITS.get(flag.lower(), 0) & letter.flags]
    return [*(name for name in set_here if name != "deleted"), *filter(is_keyword, letter.keywords)]


def _letters(file: IO[bytes], name: str) -> Iterator[mbox.Stored]:
    """A single letter counts as read, for somebody kept it."""
    first = file.read(5)
    file.seek(0)
    if first.startswith(b"PK"):
        yield from _packed(file)
    elif first == b"From ":
        yield from _fitting(mbox.read(file))
    else:
        content = file.read(_largest() + 1)
        if len(content) <= _largest() and _HEADER.match(content):
            yield mbox.Stored(mbox.crlf(content), wire_flags.SEEN)


def _packed(file: IO[bytes]) -> Iterator[mbox.Stored]:
    with zipfile.ZipFile(file) as archive:
        for entry in archive.infolist()[:LETTERS_AT_MOST]:
            name = entry.filename.lower()
            if name.endswith(".mbox"):
                with archive.open(entry) as packed:
                    yield from _fitting(mbox.read(packed))
            elif name.endswith(".eml"):
                with archive.open(entry) as packed:
                    content = packed.read(_largest() + 1)
                if len(content) <= _largest() and _HEADER.match(content):
                    yield mbox.Stored(mbox.crlf(content), wire_flags.SEEN)


def _fitting(found: Iterable[mbox.Stored]) -> Iterator[mbox.Stored]:
    return (letter for letter in found if letter.content and len(letter.content) <= _largest())


def _largest() -> int:
    return conf.current().message_size_limit or 50_000_000
