"""Letters that lie somewhere else: mbox files, single files, directories, Maildirs. Read for `mailimport`, written
for `mailexport`."""

import os
from collections.abc import Iterator
from pathlib import Path

from mailcore.management.program import Fatal
from mailcore.wire import dovecot, mbox
from mailcore.wire import flags as wire_flags
from mailcore.wire.imap import names
from mailcore.wire.mbox import Stored


def read(path: Path, mailbox: str) -> Iterator[tuple[str, Stored]]:
    """(mailbox, message) of everything below a path; `mailbox` is where what has no folder of its own goes."""
    if path.is_dir():
        yield from _maildir(path, mailbox) if (path / "cur").is_dir() else _directory(path, mailbox)
        return
    try:
        with path.open("rb") as file:
            if file.read(5) == b"From ":
                file.seek(0)
                yield from ((mailbox, message) for message in mbox.read(file))
                return
        yield mailbox, _single(path)
    except OSError as error:
        raise Fatal(f"{path}: {error.strerror}") from error


def _single(path: Path) -> Stored:
    return Stored(mbox.crlf(path.read_bytes()), received_at=int(path.stat().st_mtime))


def _directory(path: Path, mailbox: str) -> Iterator[tuple[str, Stored]]:
    """Files are letters or mbox files; directories are mailboxes below."""
    for each in sorted(path.iterdir()):
        if each.name.startswith("."):
            continue
        below = names.SEPARATOR.join(filter(None, (mailbox, each.name))) if each.is_dir() else mailbox
        yield from read(each, below)


def _maildir(path: Path, mailbox: str) -> Iterator[tuple[str, Stored]]:
    """A Maildir with its folders (Maildir++). The letters of its top go to `mailbox`."""
    for folder in ["", *sorted(each.name for each in path.iterdir() if each.name.startswith("."))]:
        directory = path / folder if folder else path
        if not (directory / "cur").is_dir():
            continue
        try:
            name = names.from_folder(folder)
        except ValueError:
            name = folder.removeprefix(".").replace(".", names.SEPARATOR)
        letters = dovecot.keyword_letters(_lines(directory / "dovecot-keywords"))
        for file in _in_order(directory):
            yield (mailbox if not folder else name), _of_maildir(file, letters)


def _in_order(directory: Path) -> list[Path]:
    """By Dovecot's UIDs where it kept them, else by name, which is the order of arrival."""
    uids = dovecot.uid_list(_lines(directory / "dovecot-uidlist")).uids
    files = [file for part in ("new", "cur") for file in (directory / part).iterdir() if not file.name.startswith(".")]
    return sorted(files, key=lambda file: (uids.get(file.name.partition(":2,")[0], 1 << 33), file.name))


def _of_maildir(file: Path, letters: dict[str, str]) -> Stored:
    info = file.name.rpartition(":2,")[2] if ":2," in file.name else ""
    keywords = tuple(letters[letter] for letter in info if letter in letters)
    return Stored(mbox.crlf(file.read_bytes()), wire_flags.from_info(file.name), keywords, int(file.stat().st_mtime))


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "surrogateescape").splitlines() if path.is_file() else []


# --- Written --------------------------------------------------------------------------------------


class MboxWriter:
    """One file a mailbox, levels as directories: INBOX.mbox, Work/2026.mbox."""

    def __init__(self, top: Path, mailbox: str) -> None:
        path = top / f"{mailbox}.mbox"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb")

    def add(self, message: Stored) -> None:
        self._file.write(mbox.write(message))

    def close(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class MaildirWriter:
    """Maildir++, with keywords as Dovecot keeps them."""

    def __init__(self, top: Path, mailbox: str) -> None:
        folder = names.folder(mailbox)
        self._directory = top / folder if folder else top
        for part in ("tmp", "new", "cur"):
            (self._directory / part).mkdir(parents=True)
        if folder:
            (self._directory / "maildirfolder").touch()
        self._count = 0
        self._keywords: dict[str, str] = {}  # keyword → letter

    def add(self, message: Stored) -> None:
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
