"""The IMAP server as the pages need it: folders, rows, parts, and what can be done to them.

With `webmail.journey` below it the only place where words of a visitor meet the protocol: control
characters are refused here, flags and sort keys come from tables. One `Mail` is one signed-in
connection, used by one page at a time (`webmail.pool` sees to that).
"""

import imaplib
import re
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar, cast

from imapclient import IMAPClient, SocketTimeout
from imapclient.exceptions import IMAPClientError

from webmail import answers, folders, rows, threads
from webmail.changing import Changing, listed
from webmail.criteria import Key, Literal, Pieces, program
from webmail.criteria import clean as clean
from webmail.journey import BadCredential as BadCredential
from webmail.journey import Full as Full
from webmail.journey import Opened as Opened
from webmail.journey import Refused as Refused
from webmail.journey import Unreachable as Unreachable
from webmail.journey import faults
from webmail.rows import Row
from webmail.servers import Server, tls_context

_Order = TypeVar("_Order")
TIMEOUT = SocketTimeout(connect=10, read=60)
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


class Mail(Changing):
    """One signed-in connection."""

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(client)
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
        found = self._rows_by(f"{max(1, first)}:{last}")
        return sorted(found.values(), key=lambda row: row.sequence)

    def rows_of(self, uids: Sequence[int]) -> list[Row]:
        """Rows of these letters, in this order; those that are gone are missing."""
        opened = self._opened
        if not uids or opened is None:
            return []
        before = {uid: row for uid in uids if (row := self._rows.get((opened.name, opened.validity, uid)))}
        strange = [uid for uid in uids if uid not in before]
        asked: list[tuple[str, Pieces]] = []
        for numbers, items in ((before, "UID FLAGS"), (strange, self._items)):
            if numbers:
                asked.append(("FETCH", (f"UID FETCH {listed(list(numbers))} ({items})".encode("ascii"),)))
        found: dict[int, Row] = {}
        with faults():
            lines = [line for each in self._journey(asked) for line in each]
        for uid, data in answers.fetched(lines).items():
            if uid in before:
                found[uid] = before[uid].now(rows.number(data.get(b"SEQ")), rows.flags(data.get(b"FLAGS")))
            elif b"ENVELOPE" in data:
                found[uid] = self._kept(uid, data, opened)
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

    def _rows_by(self, numbers: str) -> dict[int, Row]:
        """Flags of all of them in one journey, the rest of those not seen lately in another."""
        opened = self._opened
        assert opened is not None
        found: dict[int, Row] = {}
        if self._rows:
            strange = []
            for uid, data in self._fetch("FETCH", numbers, "(UID FLAGS)").items():
                known = self._rows.get((opened.name, opened.validity, uid))
                if known is None:
                    strange.append(uid)
                else:
                    found[uid] = known.now(rows.number(data.get(b"SEQ")), rows.flags(data.get(b"FLAGS")))
            return found | {row.uid: row for row in self.rows_of(strange)}
        for uid, data in self._fetch("FETCH", numbers, self._items).items():
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
            asked.append(("FETCH", (f"UID FETCH {listed(uids)} ({self._items} BODY.PEEK[HEADER])".encode("ascii"),)))
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
            asked.append(("FETCH", (f"UID FETCH {listed(uids)} ({self._items})".encode("ascii"),)))
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
                if mark and index is not None and not row.seen:
                    self._note_read(row.folder)
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

    def _numbers(self, command: str, given: Pieces) -> list[int]:
        [lines] = self._journey([(command, (f"UID {command} ".encode("ascii"), *given))])
        return _told(lines)

    def search(self, key: Key) -> list[int]:
        """UIDs of the open folder that fit, newest first. Raises ValueError for control characters."""
        with faults():
            return sorted(self._numbers("SEARCH", program(key)), reverse=True)

    def search_folders(self, key: Key, wanted: Sequence[str]) -> dict[str, list[int]]:
        """The same in several folders: UIDs by folder, those with none left out."""
        given = program(key)
        found: dict[str, list[int]] = {}
        with faults():
            if not self.can("MULTISEARCH"):
                return self._searched_apart(given, wanted)
            places = tuple(piece for name in wanted for piece in (b" ", self._mailbox(name)))[1:]
            asked = ("ESEARCH", (b"ESEARCH IN (mailboxes (", *places, b")) RETURN (ALL) ", *given))
            # Of the open folder a session knows only what it was told of; NOOP brings it up to date.
            _news, lines = self._journey([("NOOP", (b"NOOP",)), asked])
            for raw, uids in answers.searched(lines):
                found[folders.decoded(raw)] = uids
        return found

    def _searched_apart(self, given: Pieces, wanted: Sequence[str]) -> dict[str, list[int]]:
        """Folder by folder, for servers that do not search several at once (RFC 7377); in one journey, unless the
        server wants to be asked before each literal. The last folder is open afterwards."""
        found: dict[str, list[int]] = {}
        asked: list[tuple[str, Pieces]] = []
        for name in wanted:
            asked += [("SELECT", (b"SELECT ", self._mailbox(name))), ("SEARCH", (b"UID SEARCH ", *given))]
        if self.can("LITERAL+") or not any(isinstance(piece, Literal) for piece in given):
            answered = self._journey(asked, lenient=True)
        else:
            answered = [lines for at in range(0, len(asked), 2) for lines in self._apart(asked[at : at + 2])]
        for name, lines in zip(wanted, answered[1::2], strict=True):
            if uids := _told(lines):
                found[name] = sorted(uids, reverse=True)
        return found

    def _apart(self, asked: Sequence[tuple[str, Pieces]]) -> list[answers.Lines]:
        return [self._journey([each], lenient=True)[0] for each in asked]

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

    def read(self, row: Row, sections: Iterable[str], *, mark: bool) -> tuple[dict[str, bytes], tuple[int, int]]:
        """Parts of a letter of the open folder, and the UIDs of those that arrived just before and after it (0: none),
        in one journey. `mark` sets \\Seen with it."""
        wanted = [section for section in sections if _SECTION.fullmatch(section)]
        last = max(row.sequence, min(row.sequence + 1, self._exists()))
        asked: list[tuple[str, Pieces]] = [
            ("FETCH", (f"FETCH {max(1, row.sequence - 1)}:{last} (UID)".encode("ascii"),))
        ]
        if wanted:
            items = " ".join(f"{'BODY' if mark else 'BODY.PEEK'}[{section}]" for section in wanted)
            asked.append(("FETCH", (f"UID FETCH {row.uid} (UID {items})".encode("ascii"),)))
        with faults():
            around, *content = self._journey(asked)
        if mark and wanted and not row.seen:
            self._note_read(row.folder)
        at = {data[b"SEQ"]: uid for uid, data in answers.fetched(around).items()}
        data = answers.fetched(content[0]).get(row.uid, {}) if content else {}
        found = {s: answers.octets(data[key]) for s in wanted if (key := f"BODY[{s}]".encode()) in data}
        return found, (at.get(row.sequence - 1, 0), at.get(row.sequence + 1, 0))

    def _exists(self) -> int:
        return self._opened.exists if self._opened else 0

    def contents(self, uid: int, sections: Iterable[str]) -> dict[str, bytes]:
        """The raw octets of parts ("1.2"; "" is the whole letter)."""
        wanted = [s for s in sections if not s or _SECTION.fullmatch(s)]
        if not wanted:
            return {}
        items = " ".join(f"BODY.PEEK[{section}]" for section in wanted)
        found = self._fetch("UID FETCH", str(uid), f"(UID {items})").get(uid, {})
        return {s: answers.octets(found.get(f"BODY[{s}]".encode())) for s in wanted if f"BODY[{s}]".encode() in found}

    def whole(self, uids: Sequence[int]) -> list["Whole"]:
        """These letters as they are, unmarked; those that are gone are missing."""
        found = self._fetch("UID FETCH", listed(uids), "(UID FLAGS INTERNALDATE BODY.PEEK[])") if uids else {}
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


def _told(lines: answers.Lines) -> list[int]:
    """The numbers of a SEARCH or SORT answer."""
    return [int(number) for line in lines if isinstance(line, bytes) for number in line.split() if number.isdigit()]
