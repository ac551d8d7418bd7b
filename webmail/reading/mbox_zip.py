"""Import and export of messages as files: mbox, a ZIP archive of .eml files, or a single .eml.

Files are processed message by message, never held in memory as a whole. Names in an archive are never used as paths.
Its entries are counted before it is opened, for `zipfile` keeps half a kilobyte of each; a declared size is an upper
bound, for `zipfile` unpacks no more of an entry.
"""

import itertools
import re
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO

from mailcore import conf
from mailcore.wire.files import mbox
from mailcore.wire.imap import system_flags as wire_flags
from webmail.mailserver import imap_client
from webmail.mailserver.message_changes import FLAGS
from webmail.mailserver.server_names import remove_own_results
from webmail.reading import message_content
from webmail.values import mime_parts
from webmail.values.search_keys import is_keyword

BATCH = 20  # messages fetched at once
MESSAGES_AT_MOST = 20_000  # messages imported from one file
ENTRIES_AT_MOST = 100_000  # of an archive, with those that are no messages
_ENTRY = b"PK\1\2"  # the signature of an entry in the central directory
_CHUNK = 1 << 20
_HEADER = re.compile(rb"[!-9;-~]{1,200}[ \t]*:")  # a message begins with a header field


class ArchiveTooLarge(ValueError):
    """The archive has more entries, or is larger when unpacked, than one import may be."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    imported: int
    refused: int
    refusal_text: str = ""  # the server's text for the last refusal


def export_mbox(mail: imap_client.MailSession, uids: Sequence[int]) -> IO[bytes]:
    """Return messages of the open folder, with their flags, as one mbox file positioned at its start."""
    target = tempfile.TemporaryFile()  # noqa: SIM115 (the response that sends it closes it)
    for whole in _contents(mail, uids):
        bits = sum(bit for name, bit in wire_flags.BITS.items() if name in whole.flags)
        keywords = tuple(sorted(flag for flag in whole.flags if not flag.startswith("\\")))
        arrived = int(whole.arrived.timestamp()) if whole.arrived else None
        target.write(mbox.format_mbox_message(mbox.MboxMessage(whole.content, bits, keywords, arrived)))
    target.seek(0)
    return target


def export_zip(mail: imap_client.MailSession, uids: Sequence[int]) -> IO[bytes]:
    """Return messages of the open folder as .eml files in a ZIP archive."""
    target = tempfile.TemporaryFile()  # noqa: SIM115
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for whole in _contents(mail, uids):
            head = message_content.parse_head(whole.content[:65536].partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            archive.writestr(
                f"{whole.uid:06d} {mime_parts.safe_file_name(head.subject)[:80]}".strip() + ".eml", whole.content
            )
    target.seek(0)
    return target


def _contents(mail: imap_client.MailSession, uids: Sequence[int]) -> Iterator[imap_client.ExportedMessage]:
    for start in range(0, len(uids), BATCH):
        yield from mail.export_messages(uids[start : start + BATCH])


def import_file(mail: imap_client.MailSession, folder: str, file: IO[bytes], name: str, owner: str) -> ImportResult:
    """Append the messages of a file to a folder of `owner`.

    Authentication-Results that claim to be our server's are removed, for anyone may have written the file. Raise
    `zipfile.BadZipFile`, `ArchiveTooLarge`, or `ValueError` if the file has no message.
    """
    imported = refused = 0
    refusal_text = ""
    for message in itertools.islice(_read_messages(file, name), MESSAGES_AT_MOST):
        try:
            mail.append(folder, remove_own_results(message.content, owner), _flags(message), message.received_at)
            imported += 1
        except imap_client.CommandRefused as refusal:
            refused += 1
            refusal_text = str(refusal)
    if not imported and not refused:
        raise ValueError("no message")
    return ImportResult(imported, refused, refusal_text)


def _flags(message: mbox.MboxMessage) -> list[str]:
    """Return flags and keywords in the form `MailSession.append` expects; invalid keywords are dropped."""
    set_here = [name for name, flag in FLAGS.items() if wire_flags.BITS.get(flag.lower(), 0) & message.flags]
    return [*(name for name in set_here if name != "deleted"), *filter(is_keyword, message.keywords)]


def _read_messages(file: IO[bytes], name: str) -> Iterator[mbox.MboxMessage]:
    """Yield the messages of a file; those of .eml files count as read, because their owner saved them."""
    first = file.read(5)
    file.seek(0)
    if first.startswith(b"PK"):
        yield from _read_zip(file)
    elif first == b"From ":
        yield from _within_limits(mbox.read_mbox(file, _size_limit()))
    else:
        content = file.read(_size_limit() + 1)
        if len(content) <= _size_limit() and _HEADER.match(content):
            yield mbox.MboxMessage(mbox.to_crlf(content), wire_flags.SEEN)


def _read_zip(file: IO[bytes]) -> Iterator[mbox.MboxMessage]:
    if _count_entries(file) > ENTRIES_AT_MOST:
        raise ArchiveTooLarge
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()[:MESSAGES_AT_MOST]
        if 0 < conf.current().webmail_import_unpacked_limit < sum(entry.file_size for entry in entries):
            raise ArchiveTooLarge
        for entry in entries:
            name = entry.filename.lower()
            if name.endswith(".mbox"):
                with archive.open(entry) as packed:
                    yield from _within_limits(mbox.read_mbox(packed, _size_limit()))
            elif name.endswith(".eml"):
                with archive.open(entry) as packed:
                    content = packed.read(_size_limit() + 1)
                if len(content) <= _size_limit() and _HEADER.match(content):
                    yield mbox.MboxMessage(mbox.to_crlf(content), wire_flags.SEEN)


def _count_entries(file: IO[bytes]) -> int:
    """Return the number of entries an archive may have, and leave the file at its start."""
    count, held = 0, b""
    while chunk := file.read(_CHUNK):
        held += chunk
        count += held.count(_ENTRY)
        held = held[-len(_ENTRY) + 1 :]
    file.seek(0)
    return count


def _within_limits(found: Iterable[mbox.MboxMessage]) -> Iterator[mbox.MboxMessage]:
    return (message for message in found if message.content and len(message.content) <= _size_limit())


def _size_limit() -> int:
    return conf.current().message_size_limit or 50_000_000
