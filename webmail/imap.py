"""The IMAP server as the pages need it: folders, rows, parts, and what can be done to them.

With `webmail.journey` below it the only place where words of a visitor meet the protocol: control
characters are refused here, flags and sort keys come from the tables below. One `Mail` is one signed-in
connection, used by one page at a time (`webmail.pool` sees to that).
"""

import imaplib
import re
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar, cast

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from webmail import answers, folders, rows, threads
from webmail.criteria import Key, Pieces, keyword, program
from webmail.criteria import clean as clean
from webmail.folders import Folder
from webmail.journey import BadCredential as BadCredential
from webmail.journey import Connection, faults
from webmail.journey import Full as Full
from webmail.journey import Opened as Opened
from webmail.journey import Refused as Refused
from webmail.journey import Unreachable as Unreachable
from webmail.rows import Row
from webmail.servers import Server, tls_context

_Order = TypeVar("_Order")
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
ROWS_KEPT = 600  # of one connection: a list looked at again asks for flags alone
_SECTION = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class Found:
    """One letter, all but its content."""

    row: Row
    head: bytes
    structure: answers.Value


@dataclass(frozen=True, slots=True)
class Whole:
    """One letter with its content, as it is exported."""

    uid: int
    flags: frozenset[str]  # lower case
    arrived: datetime | None
    content: bytes


@dataclass(frozen=True, slots=True)
class Quota:
    used: int  # octets
    limit: int

    @property
    def percent(self) -> int:
        return min(100, self.used * 100 // self.limit) if self.limit else 0


def connect(server: Server, login: str, secret: str) -> "Mail":
    """A signed-in connection. Raises BadCredential, Unreachable."""
    with faults():
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


class Mail(Connection):
    """One signed-in connection."""

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(client)
        self._quota: tuple[float, Quota | None] = (0.0, None)
        self._folders: tuple[float, tuple[Folder, ...]] = (0.0, ())
        self._homes: tuple[tuple[str, str], ...] = ()
        # What never changes of letters seen lately, and orders of whole folders, good while nothing comes or goes.
        self._rows: OrderedDict[tuple[str, int, int], Row] = OrderedDict()
        self._orders: dict[tuple[object, ...], object] = {}
        self._items = rows.ITEMS
        for capability, item in (("PREVIEW", "PREVIEW (LAZY)"), ("OBJECTID", "THREADID")):
            if self.can(capability):
                self._items += f" {item}"

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
        with faults():
            found = self._extended_list() if self.can("LIST-STATUS") else self._plain_list()
        if not any(folder.role == "inbox" for folder in found):
            found.insert(0, Folder("INBOX", role="inbox"))
        self._folders = (time.monotonic(), folders.arranged(found, dict(self._homes)))
        return self._folders[1]

    def prefer(self, homes: tuple[tuple[str, str], ...]) -> None:
        """(role, name) of folders that stand for a role whatever the server says."""
        if homes != self._homes:
            self._homes, self._folders = homes, (0.0, ())

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
        with faults():
            if self._opened is not None and self.can("UNSELECT"):
                self._client.unselect_folder()
            self._opened = None
            yield

    def quota(self) -> Quota | None:
        """Storage of INBOX's quota root (RFC 9208), asked at most once a minute; None where there is none."""
        if not self.can("QUOTA"):
            return None
        if not self._quota[0] or time.monotonic() - self._quota[0] > 60:
            with faults():
                found = [q for q in self._client.get_quota("INBOX") if q.resource.upper() == "STORAGE" and q.limit]
            first = Quota(int(found[0].usage * 1024), int(found[0].limit * 1024)) if found else None
            self._quota = (time.monotonic(), first)
        return self._quota[1]

    # --- Reading ----------------------------------------------------------------------------------

    def open(self, name: str, *, fresh: bool = True) -> Opened:
        """Select a folder; the one selected already is only brought up to date, if `fresh`. Raises Refused."""
        with faults():
            opened = self._opened
            if opened is not None and opened.name == name and "EXPUNGE" not in self._wire.untagged_responses:
                if fresh:
                    opened = self._opened = replace(opened, exists=self._count_after_noop(opened.exists))
                return opened
            self._opened = None
            self._wire.untagged_responses.clear()
            answer = self._client.select_folder(clean(name))
            self._opened = Opened(
                name, answer.get(b"EXISTS", 0), answer.get(b"UIDVALIDITY", 0), answer.get(b"UIDNEXT", 0)
            )
            return self._opened

    def opened_name(self) -> str:
        return self._opened.name if self._opened else ""

    def _count_after_noop(self, exists: int) -> int:
        """EXISTS and EXPUNGE in the order they came; earlier EXISTS lines wait in imaplib's table."""
        if early := self._wire.untagged_responses.pop("EXISTS", None):
            exists = int(early[-1])
            self._orders.clear()
        for answer in self._client.noop()[1]:
            if len(answer) == 2 and answer[1] == b"EXISTS":
                exists = answer[0]
            elif len(answer) == 2 and answer[1] == b"EXPUNGE":
                exists -= 1
        for kind in ("EXISTS", "EXPUNGE"):
            if self._wire.untagged_responses.pop(kind, None):
                self._orders.clear()
        return exists

    def rows(self, first: int, last: int) -> list[Row]:
        """Rows by sequence number, `first` to `last`, in the order of arrival."""
        if last < first or last < 1:
            return []
        found = self._rows_by("FETCH", f"{max(1, first)}:{last}")
        return sorted(found.values(), key=lambda row: row.sequence)

    def rows_of(self, uids: Sequence[int]) -> list[Row]:
        """Rows of these letters, in this order; those that are gone are missing."""
        if not uids:
            return []
        found = self._rows_by("UID FETCH", _set(uids))
        return [found[uid] for uid in uids if uid in found]

    def row_of(self, uid: int) -> Row | None:
        """The row of one letter of the open folder, its flags perhaps of a while ago; None if it has gone."""
        opened = self._opened
        known = self._rows.get((opened.name, opened.validity, uid)) if opened is not None else None
        if known is not None:
            return known
        found = next(iter(self.rows_of([uid])), None)
        if found is None and opened is not None:  # what came since the last look this session has to be told of
            self.open(opened.name)
            found = next(iter(self.rows_of([uid])), None)
        return found

    def tell_priorities(self) -> None:
        """Rows say from now on how urgent letters are, which costs most servers a look into each letter."""
        if rows.PRIORITY not in self._items:
            self._items += f" {rows.PRIORITY}"
            self._rows.clear()

    def _rows_by(self, command: str, numbers: str) -> dict[int, Row]:
        """Flags of all of them in one journey, the rest of those not seen lately in another."""
        opened = self._opened
        assert opened is not None
        found: dict[int, Row] = {}
        if self._rows:
            strange = []
            for uid, data in self._fetch(command, numbers, "(UID FLAGS)").items():
                known = self._rows.get((opened.name, opened.validity, uid))
                if known is None:
                    strange.append(uid)
                else:
                    found[uid] = known.now(rows.number(data.get(b"SEQ")), rows.flags(data.get(b"FLAGS")))
            if not strange:
                return found
            command, numbers = "UID FETCH", _set(strange)
        for uid, data in self._fetch(command, numbers, self._items).items():
            found[uid] = self._kept(uid, data, opened)
        return found

    def _kept(self, uid: int, data: dict[bytes, answers.Value], opened: Opened) -> Row:
        made = rows.row(uid, data, opened.name, opened.validity)
        self._rows[opened.name, opened.validity, uid] = made
        while len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return made

    def found_across(self, wanted: dict[str, Sequence[int]]) -> list[Found]:
        """Letters of several folders with their headers, in one journey. Another folder is open afterwards."""
        places = {name: uids for name, uids in wanted.items() if uids}
        asked: list[tuple[str, Pieces]] = []
        for name, uids in places.items():
            asked.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            asked.append(("FETCH", (f"UID FETCH {_set(uids)} ({self._items} BODY.PEEK[HEADER])".encode("ascii"),)))
        found: list[Found] = []
        with faults():
            for name, lines in zip(places, self._journey(asked)[1::2], strict=True):
                for uid, data in answers.fetched(lines).items():
                    row = self._kept(uid, data, self._selected[name])
                    found.append(Found(row, answers.octets(data.get(b"BODY[HEADER]")), data.get(b"BODYSTRUCTURE")))
        return found

    def rows_across(self, wanted: dict[str, Sequence[int]]) -> list[Row]:
        """Rows of letters of several folders, in one journey. Another folder is open afterwards."""
        places = {name: uids for name, uids in wanted.items() if uids}
        asked: list[tuple[str, Pieces]] = []
        for name, uids in places.items():
            asked.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            asked.append(("FETCH", (f"UID FETCH {_set(uids)} ({self._items})".encode("ascii"),)))
        found: list[Row] = []
        with faults():
            for name, lines in zip(places, self._journey(asked)[1::2], strict=True):
                found += [self._kept(uid, d, self._selected[name]) for uid, d in answers.fetched(lines).items()]
        return found

    def contents_across(self, wanted: Sequence[tuple[Row, Sequence[str]]], *, mark: bool) -> list[dict[str, bytes]]:
        """Parts of letters that may lie in several folders, in one journey; those not seen are marked so, if
        `mark`."""
        asked: list[tuple[str, Pieces]] = []
        at: list[int | None] = []
        self._folders = (0.0, ()) if mark else self._folders
        opened = ""
        for row, sections in wanted:
            good = [s for s in sections if _SECTION.fullmatch(s)]
            if row.folder != opened and good:
                asked.append(("SELECT", (b"SELECT ", self._mailbox(row.folder))))
                opened = row.folder
            at.append(len(asked) if good else None)
            if good:
                peek = "BODY" if mark and not row.seen else "BODY.PEEK"
                items = " ".join(f"{peek}[{section}]" for section in good)
                asked.append(("FETCH", (f"UID FETCH {row.uid} (UID {items})".encode("ascii"),)))
        found: list[dict[str, bytes]] = []
        with faults():
            answered = self._journey(asked)
            for (row, sections), index in zip(wanted, at, strict=True):
                data = answers.fetched(answered[index]).get(row.uid, {}) if index is not None else {}
                found.append({s: answers.octets(data[key]) for s in sections if (key := f"BODY[{s}]".encode()) in data})
        return found

    # --- Order and search -------------------------------------------------------------------------

    def sorted(self, key: str, *, reverse: bool) -> list[int]:
        """All UIDs of the open folder in the order of a SORT_KEYS key; needs SORT (RFC 5256)."""
        plain, display = SORT_KEYS[key]
        wanted = display if self.can("SORT=DISPLAY") else plain
        order = " ".join(["REVERSE " * reverse + wanted, "REVERSE " * reverse + "ARRIVAL"])
        return self._ordered(("sort", order), lambda: self._numbers("SORT", (f"({order}) UTF-8 ALL".encode("ascii"),)))

    def threads(self) -> list[list[int]]:
        """Conversations of the open folder, the one with the newest letter first; each as UIDs, oldest first."""
        return self._ordered(("threads",), self._threads)

    def _threads(self) -> list[list[int]]:
        for algorithm in ("REFS", "REFERENCES"):
            if self.can(f"THREAD={algorithm}"):
                [lines] = self._journey([("THREAD", (f"UID THREAD {algorithm} UTF-8 ALL".encode("ascii"),))])
                return threads.told(lines)
        first = max(1, self._exists() - threads.AT_MOST + 1)
        return threads.made(self._fetch("FETCH", f"{first}:*", threads.ITEMS)) if self._exists() else []

    def _ordered(self, name: tuple[object, ...], ask: Callable[[], _Order]) -> _Order:
        """An order of the open folder, asked for again once something has come or gone."""
        assert self._opened is not None
        key = (*name, self._opened)
        if key not in self._orders:
            with faults():
                self._orders = {key: ask()}
        return cast(_Order, self._orders[key])

    def search(self, key: Key) -> list[int]:
        """UIDs of the open folder that fit, newest first. Raises ValueError for control characters."""
        with faults():
            return sorted(self._numbers("SEARCH", program(key)), reverse=True)

    def search_folders(self, key: Key, wanted: Sequence[str]) -> dict[str, list[int]]:
        """The same in several folders: UIDs by folder, those with none left out. One journey where the server
        searches several at once (RFC 7377), else one for each folder."""
        given = program(key)
        found: dict[str, list[int]] = {}
        with faults():
            if not self.can("MULTISEARCH"):
                for name in wanted:
                    if self.open(name).exists and (uids := self._numbers("SEARCH", given)):
                        found[name] = sorted(uids, reverse=True)
                return found
            places = tuple(piece for name in wanted for piece in (b" ", self._mailbox(name)))[1:]
            asked = ("ESEARCH", (b"ESEARCH IN (mailboxes (", *places, b")) RETURN (ALL) ", *given))
            # Of the open folder a session knows only what it was told of; NOOP brings it up to date.
            _news, lines = self._journey([("NOOP", (b"NOOP",)), asked])
            for raw, uids in answers.searched(lines):
                found[folders.decoded(raw)] = uids
        return found

    # --- One letter -------------------------------------------------------------------------------

    def find(self, uid: int) -> Found | None:
        """One letter of the open folder, without marking it; None if it is gone."""
        found = self._letter(uid, f"({self._items} BODY.PEEK[HEADER])")
        if found is None or self._opened is None:
            return None
        return Found(
            self._kept(uid, found, self._opened),
            answers.octets(found.get(b"BODY[HEADER]")),
            found.get(b"BODYSTRUCTURE"),
        )

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

    def whole(self, uids: Sequence[int]) -> list["Whole"]:
        """These letters as they are, unmarked; those that are gone are missing."""
        found = self._fetch("UID FETCH", _set(uids), "(UID FLAGS INTERNALDATE BODY.PEEK[])") if uids else {}
        return [
            Whole(
                uid,
                rows.flags(data.get(b"FLAGS")),
                rows.internal_date(data.get(b"INTERNALDATE")),
                answers.octets(data.get(b"BODY[]")),
            )
            for uid, data in sorted(found.items())
        ]

    def heads(self, uid: int, section: str) -> bytes:
        """The header of a letter inside a letter (message/rfc822 at `section`)."""
        name = f"BODY.PEEK[{section}.HEADER]" if _SECTION.fullmatch(section) else "BODY.PEEK[HEADER]"
        found = self._letter(uid, f"(UID {name})") or {}
        return answers.octets(found.get(name.replace(".PEEK", "").encode()))

    # --- Changing ---------------------------------------------------------------------------------

    def mark(self, uids: Sequence[int], flag: str, *, on: bool) -> None:
        """Set or clear a flag of FLAGS, or a keyword, on letters of the open folder. Raises ValueError for what
        is no keyword."""
        if uids:
            self._folders = (0.0, ())
            with faults():
                change = self._client.add_flags if on else self._client.remove_flags
                change(uids, [FLAGS.get(flag) or keyword(flag)], silent=True)

    def move(self, uids: Sequence[int], target: str) -> dict[int, int]:
        """Into another folder; without MOVE (RFC 6851) by copying, marking and expunging. What number each letter
        has there, where the server tells (UIDPLUS)."""
        if not uids:
            return {}
        self._folders = (0.0, ())
        with faults():
            if not self.can("MOVE"):
                self._wire.untagged_responses.pop("COPYUID", None)
                self._client.copy(uids, clean(target))
                there = self._copied()
                self._expunge(uids)
                return there
            self._wire.untagged_responses.pop("COPYUID", None)
            self._client.move(uids, clean(target))
            return self._copied()

    def _copied(self) -> dict[int, int]:
        """COPYUID (RFC 4315 §3): validity of the target, old numbers, new numbers. Of several the last."""
        said = self._wire.untagged_responses.pop("COPYUID", None)
        words = said[-1].split() if said else []
        if len(words) != 3:
            return {}
        return dict(zip(answers.expanded(words[1]), answers.expanded(words[2]), strict=False))

    def copy(self, uids: Sequence[int], target: str) -> None:
        if uids:
            self._folders = (0.0, ())
            with faults():
                self._client.copy(uids, clean(target))

    def destroy(self, uids: Sequence[int]) -> None:
        """For good."""
        if uids:
            self._folders, self._quota = (0.0, ()), (0.0, None)
            with faults():
                self._expunge(uids)

    def _expunge(self, uids: Sequence[int]) -> None:
        """Exactly these. Where the server has no UIDPLUS (RFC 4315) others that are marked lose their mark
        meanwhile."""
        if self.can("UIDPLUS"):
            self._client.add_flags(uids, [FLAGS["deleted"]], silent=True)
            self._client.uid_expunge(uids)
            return
        others = sorted(set(self._client.search(["DELETED"])) - set(uids))
        if others:
            self._client.remove_flags(others, [FLAGS["deleted"]], silent=True)
        self._client.add_flags(uids, [FLAGS["deleted"]], silent=True)
        self._client.expunge()
        if others:
            self._client.add_flags(others, [FLAGS["deleted"]], silent=True)

    def expunge(self) -> None:
        """For good: whatever is marked as deleted in the open folder."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with faults():
            self._client.expunge()

    def all_uids(self) -> list[int]:
        with faults():
            return sorted(self._client.search(["ALL"]))

    def append(self, name: str, content: bytes, flags: Iterable[str], moment: int | None = None) -> int | None:
        """Put a letter into a folder, with flags of FLAGS and keywords, as if it came at that moment (seconds);
        its UID where the server tells (UIDPLUS). Raises Refused, ValueError for what is no keyword."""
        self._folders, self._quota = (0.0, ()), (0.0, None)
        with faults():
            marks = [FLAGS.get(flag) or keyword(flag) for flag in flags]
            arrived = datetime.fromtimestamp(moment, UTC) if moment else None
            answer = self._client.append(clean(name), content, marks, arrived)
        match = re.search(rb"\[APPENDUID \d+ (\d+)\]", answer or b"")
        return int(match[1]) if match else None


def _set(uids: Sequence[int]) -> str:
    return ",".join(str(int(uid)) for uid in uids)
