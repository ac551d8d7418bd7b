"""Messages in mbox files, single files, directories and Maildirs, read by `mailimport` and written by `mailexport`."""

import os
from collections.abc import Iterator
from pathlib import Path

from mailcore.management.program import Fatal
from mailcore.wire.files import dovecot_files, mbox
from mailcore.wire.files.mbox import MboxMessage
from mailcore.wire.imap import mailbox_names
from mailcore.wire.imap import system_flags as wire_flags


def read_messages(path: Path, mailbox: str) -> Iterator[tuple[str, MboxMessage]]:
    """Yield (mailbox, message) for everything below a path; messages outside any folder belong to `mailbox`."""
    if path.is_dir():
        yield from _read_maildir(path, mailbox) if (path / "cur").is_dir() else _read_directory(path, mailbox)
        return
    try:
        with path.open("rb") as file:
            if file.read(5) == b"From ":
                file.seek(0)
                yield from ((mailbox, message) for message in mbox.read_mbox(file))
                return
        yield mailbox, _read_file(path)
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from error


def _read_file(path: Path) -> MboxMessage:
    return MboxMessage(mbox.to_crlf(path.read_bytes()), received_at=int(path.stat().st_mtime))


def _read_directory(path: Path, mailbox: str) -> Iterator[tuple[str, MboxMessage]]:
    """Yield the messages of a directory: files are messages or mbox files, directories are mailboxes below."""
    for each in sorted(path.iterdir()):
        if each.name.startswith("."):
            continue
        below = mailbox_names.SEPARATOR.join(filter(None, (mailbox, each.name))) if each.is_dir() else mailbox
        yield from read_messages(each, below)


def _read_maildir(path: Path, mailbox: str) -> Iterator[tuple[str, MboxMessage]]:
    """Yield the messages of a Maildir with its folders (Maildir++); those at its top belong to `mailbox`."""
    for folder in ["", *sorted(each.name for each in path.iterdir() if each.name.startswith("."))]:
        directory = path / folder if folder else path
        if not (directory / "cur").is_dir():
            continue
        try:
            name = mailbox_names.name_of_folder(folder)
        except ValueError:
            name = folder.removeprefix(".").replace(".", mailbox_names.SEPARATOR)
        letters = dovecot_files.parse_keywords(_read_lines(directory / "dovecot-keywords"))
        for file in _ordered_files(directory):
            yield (mailbox if not folder else name), _read_maildir_message(file, letters)


def _ordered_files(directory: Path) -> list[Path]:
    """Return files in the order of Dovecot's UIDs, else of their names, which is the order of arrival."""
    uids = dovecot_files.parse_uid_list(_read_lines(directory / "dovecot-uidlist")).uids
    files = [file for part in ("new", "cur") for file in (directory / part).iterdir() if not file.name.startswith(".")]
    return sorted(files, key=lambda file: (uids.get(file.name.partition(":2,")[0], 1 << 33), file.name))


def _read_maildir_message(file: Path, letters: dict[str, str]) -> MboxMessage:
    info = file.name.rpartition(":2,")[2] if ":2," in file.name else ""
    keywords = tuple(letters[letter] for letter in info if letter in letters)
    return MboxMessage(
        mbox.to_crlf(file.read_bytes()), wire_flags.from_info(file.name), keywords, int(file.stat().st_mtime)
    )


def _read_lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "surrogateescape").splitlines() if path.is_file() else []


# --- Writing --------------------------------------------------------------------------------------


class MboxWriter:
    """Writer of one mbox file for each mailbox, with levels as directories: INBOX.mbox, Work/2026.mbox."""

    def __init__(self, top: Path, mailbox: str) -> None:
        path = top / f"{mailbox}.mbox"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb")

    def add(self, message: MboxMessage) -> None:
        self._file.write(mbox.format_mbox_message(message))

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class MaildirWriter:
    """Writer of a Maildir++, with keywords in Dovecot's form."""

    def __init__(self, top: Path, mailbox: str) -> None:
        folder = mailbox_names.maildir_folder(mailbox)
        self._directory = top / folder if folder else top
        for part in ("tmp", "new", "cur"):
            (self._directory / part).mkdir(parents=True)
        if folder:
            (self._directory / "maildirfolder").touch()
        self._count = 0
        self._keywords: dict[str, str] = {}  # keyword → letter

    def add(self, message: MboxMessage) -> None:
        self._count += 1
        for word in message.keywords:
            if word not in self._keywords and len(self._keywords) < 26:
                self._keywords[word] = chr(ord("a") + len(self._keywords))
        letters = "".join(sorted(self._keywords[word] for word in message.keywords if word in self._keywords))
        moment = message.received_at or 0
        path = self._directory / "cur" / f"{moment}.N{self._count}.youju{wire_flags.to_info(message.flags)}{letters}"
        path.write_bytes(message.content)
        os.utime(path, (moment, moment))

    def close(self) -> None:
        if self._keywords:
            words = "".join(f"{ord(letter) - ord('a')} {word}\n" for word, letter in self._keywords.items())
            (self._directory / "dovecot-keywords").write_text(words)
