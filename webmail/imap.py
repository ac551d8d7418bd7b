"""The IMAP server as the pages need it: folders, rows, parts, and what can be done to them.

The only importer of imapclient, and so the only place where words of a visitor meet the protocol:
control characters are refused here, flags and sort keys come from the tables below. One `Mail` is one
signed-in connection, used by one page at a time (`webmail.pool` sees to that). A command the server
says NO to raises Refused, a server that is gone raises Unreachable.
"""

import imaplib
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError, LoginError

from webmail import answers, folders, rows
from webmail.folders import Folder
from webmail.rows import Row
from webmail.servers import Server, tls_context

TIMEOUT = SocketTimeout(connect=10, read=60)
FLAGS = {
    "seen": "\\Seen",
    "flagged": "\\Flagged",
    "answered": "\\Answered",
    "draft": "\\Draft",
    "deleted": "\\Deleted",
    "forwarded": "$Forwarded",
    "junk": "$Junk",
    "notjunk": "$NotJunk",
    "mdnsent": "$MDNSent",
}
SORT_KEYS = {  # RFC 5256 and RFC 5957; the second of a pair is for servers with SORT=DISPLAY
    "from": ("FROM", "DISPLAYFROM"),
    "to": ("TO", "DISPLAYTO"),
    "subject": ("SUBJECT", "SUBJECT"),
    "date": ("DATE", "DATE"),
    "size": ("SIZE", "SIZE"),
}
SEARCH_FIELDS = {"from": "FROM", "to": "TO", "cc": "CC", "subject": "SUBJECT", "body": "BODY", "text": "TEXT"}
_SECTION = re.compile(r"\d+(?:\.\d+)*")
_RESPONSE_TEXT = re.compile(r"^\w+ (?:failed|command error): |^b?['\"]|\[[A-Z][^\]]*\] ?|['\"]$")


class Refused(Exception):
    """The server said NO or BAD; `str()` is its text without codes."""


class Unreachable(Exception):
    """No connection, or it broke; `str()` says what in English, for the log."""


class BadCredential(Exception):
    """The server does not know this name and password (any more)."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A selected folder: how many letters, and the number that makes its UIDs mean something."""

    name: str
    exists: int
    validity: int


@dataclass(frozen=True, slots=True)
class Found:
    """One letter, all but its content."""

    row: Row
    head: bytes
    structure: answers.Value


@dataclass(frozen=True, slots=True)
class Quota:
    used: int  # octets
    limit: int

    @property
    def percent(self) -> int:
        return min(100, self.used * 100 // self.limit) if self.limit else 0


def clean(text: str) -> str:
    """`text` itself. ValueError if it holds a control character: none belongs in a command."""
    if re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", text):
        raise ValueError("a control character in an IMAP argument")
    return text


@contextmanager
def _faults() -> Iterator[None]:
    """imapclient's exceptions as the three of this module."""
    try:
        yield
    except LoginError as error:
        raise BadCredential(str(error)) from error
    except (imaplib.IMAP4.abort, OSError, EOFError, answers.BadAnswer) as error:
        raise Unreachable(str(error) or type(error).__name__) from error
    except (IMAPClientError, imaplib.IMAP4.error) as error:
        raise Refused(_RESPONSE_TEXT.sub("", str(error)).strip()) from error


def connect(server: Server, login: str, secret: str) -> "Mail":
    """A signed-in connection. Raises BadCredential, Unreachable."""
    with _faults():
        context = tls_context() if server.tls else None
        client = IMAPClient(server.host, server.port, ssl=server.tls, ssl_context=context, timeout=TIMEOUT)
        try:
            if not server.tls and not server.near:
                client.starttls(tls_context())  # a server elsewhere that cannot do it is not given a password
            # A command's end goes out as a packet of its own; Nagle would keep it back for 40 ms.
            client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.login(clean(login), clean(secret))
            return Mail(client)
        except BaseException:
            client.shutdown()
            raise


class Mail:
    """One signed-in connection."""

    def __init__(self, client: IMAPClient) -> None:
        self._client = client
        # imapclient sees no more of FETCH than octets here, so its tracing of each line is not needed.
        self._wire: Any = client._imap
        self._wire.debug = 0
        self.capabilities = frozenset(name.decode("ascii").upper() for name in client.capabilities())
        self._opened: Opened | None = None
        self._quota: tuple[float, Quota | None] = (0.0, None)
        self._folders: tuple[float, tuple[Folder, ...]] = (0.0, ())

    def can(self, capability: str) -> bool:
        return capability in self.capabilities

    def socket(self) -> Any:
        """To be looked at, never read."""
        return self._client.socket()

    def close(self) -> None:
        try:
            self._client.logout()
        except (OSError, imaplib.IMAP4.error, IMAPClientError):
            self._client.shutdown()

    def is_alive(self) -> bool:
        """After a pause: does the server still answer?"""
        try:
            self._client.noop()
        except (OSError, imaplib.IMAP4.error, IMAPClientError, ValueError):
            return False
        self._opened = None
        return True

    # --- Folders ----------------------------------------------------------------------------------

    def folders(self, *, younger_than: float = 0.0) -> tuple[Folder, ...]:
        """All folders, arranged, with counts where one command brings them (RFC 5819). A list not older
        than so many seconds will do."""
        if self._folders[1] and time.monotonic() - self._folders[0] < younger_than:
            return self._folders[1]
        with _faults():
            found = self._extended_list() if self.can("LIST-STATUS") else self._plain_list()
        if not any(folder.role == "inbox" for folder in found):
            found.insert(0, Folder("INBOX", role="inbox"))
        self._folders = (time.monotonic(), folders.arranged(found))
        return self._folders[1]

    def _extended_list(self) -> list[Folder]:
        asked = b"(SUBSCRIBED SPECIAL-USE STATUS (MESSAGES UNSEEN))"
        if not self.can("SPECIAL-USE"):
            asked = asked.replace(b"SPECIAL-USE ", b"")
        self._wire.untagged_responses.pop("STATUS", None)
        lines = self._client._raw_command_untagged(b"LIST", [b'""', b'"*"', b"RETURN", asked], uid=False)
        status = self._wire.untagged_responses.pop("STATUS", [])
        return folders.counted(folders.listed(lines), status)

    def _plain_list(self) -> list[Folder]:
        lines = self._client._raw_command_untagged(b"LIST", [b'""', b'"*"'], uid=False)
        subscribed = self._client._raw_command_untagged(b"LSUB", [b'""', b'"*"'], uid=False)
        names = set(folders.listed(subscribed))
        found = {raw: replace(folder, subscribed=raw in names) for raw, folder in folders.listed(lines).items()}
        self._wire.untagged_responses.pop("STATUS", None)
        _kind, status = self._wire.status("INBOX", "(MESSAGES UNSEEN)")
        return folders.counted(found, status)

    def create(self, name: str) -> None:
        with self._change():
            self._client.create_folder(clean(name))
            self._client.subscribe_folder(name)

    def rename(self, old: str, new: str) -> None:
        with self._change():
            subscribed = any(f.name == old and f.subscribed for f in self._folders[1])
            self._client.rename_folder(clean(old), clean(new))
            self._client.unsubscribe_folder(old)
            if subscribed:
                self._client.subscribe_folder(new)

    def remove(self, name: str) -> None:
        with self._change():
            self._client.delete_folder(clean(name))
            self._client.unsubscribe_folder(name)

    def subscribe(self, name: str, *, wanted: bool) -> None:
        with self._change():
            (self._client.subscribe_folder if wanted else self._client.unsubscribe_folder)(clean(name))

    @contextmanager
    def _change(self) -> Iterator[None]:
        """Folders or their counts change: what is remembered of them is forgotten. A selected folder
        that is renamed or removed is left first."""
        self._folders = (0.0, ())
        with _faults():
            if self._opened is not None and self.can("UNSELECT"):
                self._client.unselect_folder()
            self._opened = None
            yield

    def quota(self) -> Quota | None:
        """Storage of INBOX's quota root (RFC 9208), asked at most once a minute; None where there is none."""
        if not self.can("QUOTA"):
            return None
        if not self._quota[0] or time.monotonic() - self._quota[0] > 60:
            with _faults():
                found = [q for q in self._client.get_quota("INBOX") if q.resource.upper() == "STORAGE" and q.limit]
            first = Quota(int(found[0].usage * 1024), int(found[0].limit * 1024)) if found else None
            self._quota = (time.monotonic(), first)
        return self._quota[1]

    # --- Reading ----------------------------------------------------------------------------------

    def open(self, name: str, *, fresh: bool = True) -> Opened:
        """Select a folder; the one selected already is only brought up to date, if `fresh`. Raises Refused."""
        with _faults():
            opened = self._opened
            if opened is not None and opened.name == name and "EXPUNGE" not in self._wire.untagged_responses:
                if fresh:
                    opened = self._opened = replace(opened, exists=self._count_after_noop(opened.exists))
                return opened
            self._opened = None
            self._wire.untagged_responses.clear()
            answer = self._client.select_folder(clean(name))
            self._opened = Opened(name, answer.get(b"EXISTS", 0), answer.get(b"UIDVALIDITY", 0))
            return self._opened

    def opened_name(self) -> str:
        return self._opened.name if self._opened else ""

    def _count_after_noop(self, exists: int) -> int:
        """EXISTS and EXPUNGE in the order they came; earlier EXISTS lines wait in imaplib's table."""
        if early := self._wire.untagged_responses.pop("EXISTS", None):
            exists = int(early[-1])
        for answer in self._client.noop()[1]:
            if len(answer) == 2 and answer[1] == b"EXISTS":
                exists = answer[0]
            elif len(answer) == 2 and answer[1] == b"EXPUNGE":
                exists -= 1
        for kind in ("EXISTS", "EXPUNGE"):
            self._wire.untagged_responses.pop(kind, None)
        return exists

    def rows(self, first: int, last: int) -> list[Row]:
        """Rows by sequence number, `first` to `last`, in the order of arrival."""
        if last < first or last < 1:
            return []
        found = self._fetch("FETCH", f"{max(1, first)}:{last}", rows.ITEMS)
        return sorted((rows.row(uid, data) for uid, data in found.items()), key=lambda r: r.sequence)

    def rows_of(self, uids: Sequence[int], folder: str = "") -> list[Row]:
        """Rows of these letters, in this order; those that are gone are missing."""
        if not uids:
            return []
        found = self._fetch("UID FETCH", _set(uids), rows.ITEMS)
        return [rows.row(uid, found[uid], folder) for uid in uids if uid in found]

    def sorted(self, key: str, *, reverse: bool) -> list[int]:
        """All UIDs of the open folder in the order of a SORT_KEYS key; needs SORT (RFC 5256)."""
        plain, display = SORT_KEYS[key]
        wanted = display if self.can("SORT=DISPLAY") else plain
        with _faults():
            order = ["REVERSE " * reverse + wanted, "REVERSE " * reverse + "ARRIVAL"]
            return [int(uid) for uid in self._client.sort(order)]

    def search(self, field: str, text: str) -> list[int]:
        """UIDs of the open folder whose `field` (of SEARCH_FIELDS) holds `text`, newest first."""
        criteria = [SEARCH_FIELDS[field], clean(text)]
        with _faults():
            found = self._client.search(criteria, None if text.isascii() else "UTF-8")
        return sorted(found, reverse=True)

    def find(self, uid: int) -> Found | None:
        """One letter of the open folder, without marking it; None if it is gone."""
        found = self._letter(uid, f"({rows.ITEMS} BODY.PEEK[HEADER])")
        if found is None:
            return None
        return Found(rows.row(uid, found), answers.octets(found.get(b"BODY[HEADER]")), found.get(b"BODYSTRUCTURE"))

    def _letter(self, uid: int, items: str) -> dict[bytes, answers.Value] | None:
        """FETCH of one letter. What came since the last look this session has to be told of first."""
        if not 0 < uid < 1 << 32:
            return None
        found = self._fetch("UID FETCH", str(uid), items).get(uid)
        if found is None and self._opened is not None:
            self.open(self._opened.name)
            found = self._fetch("UID FETCH", str(uid), items).get(uid)
        return found

    def neighbours(self, sequence: int) -> tuple[int | None, int | None]:
        """UIDs of the letters that arrived just before and after the one at this sequence number."""
        last = max(sequence, min(sequence + 1, self._exists()))
        around = self._fetch("FETCH", f"{max(1, sequence - 1)}:{last}", "(UID)")
        at = {data[b"SEQ"]: uid for uid, data in around.items()}
        return at.get(sequence - 1), at.get(sequence + 1)

    def _exists(self) -> int:
        return self._opened.exists if self._opened else 0

    def contents(self, uid: int, sections: Iterable[str], *, mark: bool = False) -> dict[str, bytes]:
        """The raw octets of parts ("1.2"; "" is the whole letter). `mark` sets \\Seen with it."""
        wanted = [s for s in sections if not s or _SECTION.fullmatch(s)]
        if not wanted:
            return {}
        if mark:
            self._folders = (0.0, ())
        peek = "BODY" if mark else "BODY.PEEK"
        found = self._fetch("UID FETCH", str(uid), "(UID " + " ".join(f"{peek}[{s}]" for s in wanted) + ")").get(
            uid, {}
        )
        return {s: answers.octets(found.get(f"BODY[{s}]".encode())) for s in wanted if f"BODY[{s}]".encode() in found}

    def heads(self, uid: int, section: str) -> bytes:
        """The header of a letter inside a letter (message/rfc822 at `section`)."""
        name = f"BODY.PEEK[{section}.HEADER]" if _SECTION.fullmatch(section) else "BODY.PEEK[HEADER]"
        found = self._letter(uid, f"(UID {name})") or {}
        return answers.octets(found.get(name.replace(".PEEK", "").encode()))

    def _fetch(self, command: str, numbers: str, items: str) -> dict[int, dict[bytes, answers.Value]]:
        items = items if items.startswith("(") or " " not in items else f"({items})"
        with _faults():
            self._wire.untagged_responses.pop("FETCH", None)
            if command == "FETCH":
                kind, lines = self._wire.fetch(numbers, items)
            else:
                kind, lines = self._wire.uid("FETCH", numbers, items)
            if kind != "OK":
                raise Refused(answers.octets(lines[-1]).decode("utf-8", "replace"))
            return answers.fetched(lines)

    # --- Changing ---------------------------------------------------------------------------------

    def mark(self, uids: Sequence[int], flag: str, *, on: bool) -> None:
        """Set or clear a flag of FLAGS on letters of the open folder."""
        if uids:
            self._folders = (0.0, ())
            with _faults():
                (self._client.add_flags if on else self._client.remove_flags)(uids, [FLAGS[flag]], silent=True)

    def move(self, uids: Sequence[int], target: str) -> None:
        """Into another folder; without MOVE (RFC 6851) by copying, marking and expunging."""
        if not uids:
            return
        self._folders = (0.0, ())
        with _faults():
            if self.can("MOVE"):
                self._client.move(uids, clean(target))
            else:
                self._client.copy(uids, clean(target))
                self._expunge(uids)

    def copy(self, uids: Sequence[int], target: str) -> None:
        if uids:
            self._folders = (0.0, ())
            with _faults():
                self._client.copy(uids, clean(target))

    def destroy(self, uids: Sequence[int]) -> None:
        """For good."""
        if uids:
            self._folders, self._quota = (0.0, ()), (0.0, None)
            with _faults():
                self._expunge(uids)

    def _expunge(self, uids: Sequence[int]) -> None:
        """Exactly these where the server has UIDPLUS (RFC 4315); else all that are marked."""
        self._client.add_flags(uids, [FLAGS["deleted"]], silent=True)
        if self.can("UIDPLUS"):
            self._client.uid_expunge(uids)
        else:
            self._client.expunge()

    def all_uids(self) -> list[int]:
        with _faults():
            return sorted(self._client.search(["ALL"]))

    def append(self, name: str, content: bytes, flags: Iterable[str]) -> int | None:
        """Put a letter into a folder; its UID where the server tells (UIDPLUS). Raises Refused."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with _faults():
            answer = self._client.append(clean(name), content, [FLAGS[flag] for flag in flags])
        match = re.search(rb"\[APPENDUID \d+ (\d+)\]", answer or b"")
        return int(match[1]) if match else None


def _set(uids: Sequence[int]) -> str:
    return ",".join(str(int(uid)) for uid in uids)
