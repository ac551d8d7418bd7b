"""The IMAP server as the pages need it: folders, rows, parts, and what can be done to them.

With `webmail.mailserver.pipeline` below it the only place where words of a visitor meet the protocol: control
characters are refused here, flags and sort keys come from tables. One `Mail` is one signed-in
connection, used by one page at a time (`webmail.mailserver.connection_pool` sees to that).
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

from webmail.mailserver import conversation_threads
from webmail.mailserver.message_changes import MessageChanges, format_uids
from webmail.mailserver.pipeline import CommandRefused as CommandRefused
from webmail.mailserver.pipeline import InvalidCredential as InvalidCredential
from webmail.mailserver.pipeline import OpenedFolder as OpenedFolder
from webmail.mailserver.pipeline import ServerUnreachable as ServerUnreachable
from webmail.mailserver.pipeline import TooManyConnections as TooManyConnections
from webmail.mailserver.pipeline import translate_errors
from webmail.mailserver.server_addresses import ServerAddress, tls_context
from webmail.values import folder_tree, imap_responses, message_summary
from webmail.values.message_summary import MessageSummary
from webmail.values.search_keys import Key, LiteralString, Pieces, format_program
from webmail.values.search_keys import reject_controls as reject_controls

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
class FetchedMessage:
    """One message, all but its content."""

    row: MessageSummary
    head: bytes
    structure: imap_responses.Value


@dataclass(frozen=True, slots=True)
class ExportedMessage:
    """One message with its content, as it is exported."""

    uid: int
    flags: frozenset[str]  # lower case
    arrived: datetime | None
    content: bytes


def connect_imap(server: ServerAddress, login: str, secret: str) -> "MailSession":
    """A signed-in connection. Raises BadCredential, Unreachable."""
    with translate_errors():
        context = tls_context() if server.tls else None
        client = IMAPClient(server.host, server.port, ssl=server.tls, ssl_context=context, timeout=TIMEOUT)
        try:
            if not server.tls and not server.near:
                client.starttls(tls_context())  # a server elsewhere that cannot do it is not given a password
            # A command's end goes out as a packet of its own; Nagle would keep it back for 40 ms.
            client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.login(reject_controls(login), reject_controls(secret))
            return MailSession(client)
        except BaseException:
            client.shutdown()
            raise


class MailSession(MessageChanges):
    """One signed-in connection."""

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(client)
        # What never changes of messages seen lately, and orders of whole folders, good while nothing comes or goes.
        self._rows: OrderedDict[tuple[str, int, int], MessageSummary] = OrderedDict()
        self._orders: dict[tuple[object, ...], object] = {}
        self._items = message_summary.ITEMS
        for capability, item in (("PREVIEW", "PREVIEW (LAZY)"), ("OBJECTID", "THREADID")):
            if self.supports(capability):
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

    def open(self, name: str, *, fresh: bool = True) -> OpenedFolder:
        """Select a folder; the one selected already is only brought up to date, if `fresh`. Raises Refused."""
        with translate_errors():
            opened = self._opened
            if opened is not None and opened.name == name and "EXPUNGE" not in self._wire.untagged_responses:
                if fresh:
                    opened = self._opened = replace(opened, exists=self._count_after_noop(opened.exists))
                return opened
            self._opened = None
            self._wire.untagged_responses.clear()
            answer = self._client.select_folder(reject_controls(name))
            self._opened = OpenedFolder(
                name, answer.get(b"EXISTS", 0), answer.get(b"UIDVALIDITY", 0), answer.get(b"UIDNEXT", 0)
            )
            return self._opened

    def selected_name(self) -> str:
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

    def rows(self, first: int, last: int) -> list[MessageSummary]:
        """Rows by sequence number, `first` to `last`, in the order of arrival."""
        if last < first or last < 1:
            return []
        found = self._fetch_summaries(f"{max(1, first)}:{last}")
        return sorted(found.values(), key=lambda row: row.sequence)

    def summaries_of(self, uids: Sequence[int]) -> list[MessageSummary]:
        """Rows of these messages, in this order; those that are gone are missing."""
        opened = self._opened
        if not uids or opened is None:
            return []
        before = {uid: row for uid in uids if (row := self._rows.get((opened.name, opened.validity, uid)))}
        strange = [uid for uid in uids if uid not in before]
        asked: list[tuple[str, Pieces]] = []
        for numbers, items in ((before, "UID FLAGS"), (strange, self._items)):
            if numbers:
                asked.append(("FETCH", (f"UID FETCH {format_uids(list(numbers))} ({items})".encode("ascii"),)))
        found: dict[int, MessageSummary] = {}
        with translate_errors():
            lines = [line for each in self._pipeline(asked) for line in each]
        for uid, data in imap_responses.parse_fetch(lines).items():
            if uid in before:
                found[uid] = before[uid].now(
                    message_summary.to_number(data.get(b"SEQ")), message_summary.fold_flags(data.get(b"FLAGS"))
                )
            elif b"ENVELOPE" in data:
                found[uid] = self._kept(uid, data, opened)
        return [found[uid] for uid in uids if uid in found]

    def summary_of(self, uid: int) -> MessageSummary | None:
        """The row of one message of the open folder, its flags perhaps of a while ago; None if it has gone."""
        opened = self._opened
        known = self._rows.get((opened.name, opened.validity, uid)) if opened is not None else None
        if known is not None:
            return known
        found = next(iter(self.summaries_of([uid])), None)
        if found is None and opened is not None:  # what came since the last look this session has to be told of
            self.open(opened.name)
            found = next(iter(self.summaries_of([uid])), None)
        return found

    def include_priorities(self) -> None:
        """Rows say from now on how urgent messages are, which costs most servers a look into each message."""
        if message_summary.PRIORITY not in self._items:
            self._items += f" {message_summary.PRIORITY}"
            self._rows.clear()

    def _fetch_summaries(self, numbers: str) -> dict[int, MessageSummary]:
        """Flags of all of them in one journey, the rest of those not seen lately in another."""
        opened = self._opened
        assert opened is not None
        found: dict[int, MessageSummary] = {}
        if self._rows:
            strange = []
            for uid, data in self._fetch("FETCH", numbers, "(UID FLAGS)").items():
                known = self._rows.get((opened.name, opened.validity, uid))
                if known is None:
                    strange.append(uid)
                else:
                    found[uid] = known.now(
                        message_summary.to_number(data.get(b"SEQ")), message_summary.fold_flags(data.get(b"FLAGS"))
                    )
            return found | {row.uid: row for row in self.summaries_of(strange)}
        for uid, data in self._fetch("FETCH", numbers, self._items).items():
            found[uid] = self._kept(uid, data, opened)
        return found

    def _kept(self, uid: int, data: dict[bytes, imap_responses.Value], opened: OpenedFolder) -> MessageSummary:
        made = message_summary.build_summary(uid, data, opened.name, opened.validity)
        self._rows[opened.name, opened.validity, uid] = made
        while len(self._rows) > ROWS_KEPT:
            self._rows.popitem(last=False)
        return made

    def fetch_across(self, wanted: dict[str, Sequence[int]]) -> list[FetchedMessage]:
        """Messages of several folders with their headers, in one journey. Another folder is open afterwards."""
        places = {name: uids for name, uids in wanted.items() if uids}
        asked: list[tuple[str, Pieces]] = []
        for name, uids in places.items():
            asked.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            asked.append(
                ("FETCH", (f"UID FETCH {format_uids(uids)} ({self._items} BODY.PEEK[HEADER])".encode("ascii"),))
            )
        found: list[FetchedMessage] = []
        with translate_errors():
            for name, lines in zip(places, self._pipeline(asked)[1::2], strict=True):
                for uid, data in imap_responses.parse_fetch(lines).items():
                    row = self._kept(uid, data, self._selected[name])
                    found.append(
                        FetchedMessage(
                            row, imap_responses.to_bytes(data.get(b"BODY[HEADER]")), data.get(b"BODYSTRUCTURE")
                        )
                    )
        return found

    def summaries_across(self, wanted: dict[str, Sequence[int]]) -> list[MessageSummary]:
        """Rows of messages of several folders, in one journey. Another folder is open afterwards."""
        places = {name: uids for name, uids in wanted.items() if uids}
        asked: list[tuple[str, Pieces]] = []
        for name, uids in places.items():
            asked.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            asked.append(("FETCH", (f"UID FETCH {format_uids(uids)} ({self._items})".encode("ascii"),)))
        found: list[MessageSummary] = []
        with translate_errors():
            for name, lines in zip(places, self._pipeline(asked)[1::2], strict=True):
                found += [
                    self._kept(uid, d, self._selected[name]) for uid, d in imap_responses.parse_fetch(lines).items()
                ]
        return found

    def contents_across(
        self, wanted: Sequence[tuple[MessageSummary, Sequence[str]]], *, mark: bool
    ) -> list[dict[str, bytes]]:
        """Parts of messages that may lie in several folders, in one journey; those not seen are marked so, if
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
        with translate_errors():
            answered = self._pipeline(asked)
            for (row, sections), index in zip(wanted, at, strict=True):
                if mark and index is not None and not row.seen:
                    self._note_read(row.folder)
                data = imap_responses.parse_fetch(answered[index]).get(row.uid, {}) if index is not None else {}
                found.append(
                    {s: imap_responses.to_bytes(data[key]) for s in sections if (key := f"BODY[{s}]".encode()) in data}
                )
        return found

    # --- Order and search -------------------------------------------------------------------------

    def sorted(self, key: str, *, reverse: bool) -> list[int]:
        """All UIDs of the open folder in the order of a SORT_KEYS key; needs SORT (RFC 5256)."""
        plain, display = SORT_KEYS[key]
        wanted = display if self.supports("SORT=DISPLAY") else plain
        order = " ".join(["REVERSE " * reverse + wanted, "REVERSE " * reverse + "ARRIVAL"])
        return self._ordered(("sort", order), lambda: self._numbers("SORT", (f"({order}) UTF-8 ALL".encode("ascii"),)))

    def threads(self) -> list[list[int]]:
        """Conversations of the open folder, the one with the newest message first; each as UIDs, oldest first."""
        return self._ordered(("threads",), self._threads)

    def _threads(self) -> list[list[int]]:
        for algorithm in ("REFS", "REFERENCES"):
            if self.supports(f"THREAD={algorithm}"):
                [lines] = self._pipeline([("THREAD", (f"UID THREAD {algorithm} UTF-8 ALL".encode("ascii"),))])
                return conversation_threads.parse_threads(lines)
        first = max(1, self._exists() - conversation_threads.AT_MOST + 1)
        return (
            conversation_threads.build_threads(self._fetch("FETCH", f"{first}:*", conversation_threads.ITEMS))
            if self._exists()
            else []
        )

    def _ordered(self, name: tuple[object, ...], ask: Callable[[], _Order]) -> _Order:
        """An order of the open folder, asked for again once something has come or gone."""
        assert self._opened is not None
        key = (*name, self._opened)
        if key not in self._orders:
            with translate_errors():
                self._orders = {key: ask()}
        return cast(_Order, self._orders[key])

    def _numbers(self, command: str, given: Pieces) -> list[int]:
        [lines] = self._pipeline([(command, (f"UID {command} ".encode("ascii"), *given))])
        return _parse_numbers(lines)

    def search(self, key: Key) -> list[int]:
        """UIDs of the open folder that fit, newest first. Raises ValueError for control characters."""
        with translate_errors():
            return sorted(self._numbers("SEARCH", format_program(key)), reverse=True)

    def search_folders(self, key: Key, wanted: Sequence[str]) -> dict[str, list[int]]:
        """The same in several folders: UIDs by folder, those with none left out."""
        given = format_program(key)
        found: dict[str, list[int]] = {}
        with translate_errors():
            if not self.supports("MULTISEARCH"):
                return self._searched_apart(given, wanted)
            places = tuple(piece for name in wanted for piece in (b" ", self._mailbox(name)))[1:]
            asked = ("ESEARCH", (b"ESEARCH IN (mailboxes (", *places, b")) RETURN (ALL) ", *given))
            # Of the open folder a session knows only what it was told of; NOOP brings it up to date.
            _news, lines = self._pipeline([("NOOP", (b"NOOP",)), asked])
            for raw, uids in imap_responses.parse_esearch(lines):
                found[folder_tree.decode_folder_name(raw)] = uids
        return found

    def _searched_apart(self, given: Pieces, wanted: Sequence[str]) -> dict[str, list[int]]:
        """Folder by folder, for servers that do not search several at once (RFC 7377); in one journey, unless the
        server wants to be asked before each literal. The last folder is open afterwards."""
        found: dict[str, list[int]] = {}
        asked: list[tuple[str, Pieces]] = []
        for name in wanted:
            asked += [("SELECT", (b"SELECT ", self._mailbox(name))), ("SEARCH", (b"UID SEARCH ", *given))]
        if self.supports("LITERAL+") or not any(isinstance(piece, LiteralString) for piece in given):
            answered = self._pipeline(asked, lenient=True)
        else:
            answered = [lines for at in range(0, len(asked), 2) for lines in self._apart(asked[at : at + 2])]
        for name, lines in zip(wanted, answered[1::2], strict=True):
            if uids := _parse_numbers(lines):
                found[name] = sorted(uids, reverse=True)
        return found

    def _apart(self, asked: Sequence[tuple[str, Pieces]]) -> list[imap_responses.Lines]:
        return [self._pipeline([each], lenient=True)[0] for each in asked]

    # --- One message -------------------------------------------------------------------------------

    def find(self, uid: int) -> FetchedMessage | None:
        """One message of the open folder, without marking it; None if it is gone."""
        found = self._fetch_one(uid, f"({self._items} BODY.PEEK[HEADER])")
        if found is None or self._opened is None:
            return None
        return FetchedMessage(
            self._kept(uid, found, self._opened),
            imap_responses.to_bytes(found.get(b"BODY[HEADER]")),
            found.get(b"BODYSTRUCTURE"),
        )

    def _fetch_one(self, uid: int, items: str) -> dict[bytes, imap_responses.Value] | None:
        """FETCH of one message. What came since the last look this session has to be told of first."""
        if not 0 < uid < 1 << 32:
            return None
        found = self._fetch("UID FETCH", str(uid), items).get(uid)
        if found is None and self._opened is not None:
            self.open(self._opened.name)
            found = self._fetch("UID FETCH", str(uid), items).get(uid)
        return found

    def read(
        self, row: MessageSummary, sections: Iterable[str], *, mark: bool
    ) -> tuple[dict[str, bytes], tuple[int, int]]:
        """Parts of a message of the open folder, and the UIDs of those that arrived just before and after it (0: none),
        in one journey. `mark` sets \\Seen with it."""
        wanted = [section for section in sections if _SECTION.fullmatch(section)]
        last = max(row.sequence, min(row.sequence + 1, self._exists()))
        asked: list[tuple[str, Pieces]] = [
            ("FETCH", (f"FETCH {max(1, row.sequence - 1)}:{last} (UID)".encode("ascii"),))
        ]
        if wanted:
            items = " ".join(f"{'BODY' if mark else 'BODY.PEEK'}[{section}]" for section in wanted)
            asked.append(("FETCH", (f"UID FETCH {row.uid} (UID {items})".encode("ascii"),)))
        with translate_errors():
            around, *content = self._pipeline(asked)
        if mark and wanted and not row.seen:
            self._note_read(row.folder)
        at = {data[b"SEQ"]: uid for uid, data in imap_responses.parse_fetch(around).items()}
        data = imap_responses.parse_fetch(content[0]).get(row.uid, {}) if content else {}
        found = {s: imap_responses.to_bytes(data[key]) for s in wanted if (key := f"BODY[{s}]".encode()) in data}
        return found, (at.get(row.sequence - 1, 0), at.get(row.sequence + 1, 0))

    def _exists(self) -> int:
        return self._opened.exists if self._opened else 0

    def contents(self, uid: int, sections: Iterable[str]) -> dict[str, bytes]:
        """The raw bytes of parts ("1.2"; "" is the whole message)."""
        wanted = [s for s in sections if not s or _SECTION.fullmatch(s)]
        if not wanted:
            return {}
        items = " ".join(f"BODY.PEEK[{section}]" for section in wanted)
        found = self._fetch("UID FETCH", str(uid), f"(UID {items})").get(uid, {})
        return {
            s: imap_responses.to_bytes(found.get(f"BODY[{s}]".encode()))
            for s in wanted
            if f"BODY[{s}]".encode() in found
        }

    def export_messages(self, uids: Sequence[int]) -> list["ExportedMessage"]:
        """These messages as they are, unmarked; those that are gone are missing."""
        found = self._fetch("UID FETCH", format_uids(uids), "(UID FLAGS INTERNALDATE BODY.PEEK[])") if uids else {}
        return [
            ExportedMessage(
                uid,
                message_summary.fold_flags(data.get(b"FLAGS")),
                message_summary.parse_internal_date(data.get(b"INTERNALDATE")),
                imap_responses.to_bytes(data.get(b"BODY[]")),
            )
            for uid, data in sorted(found.items())
        ]

    def read_header(self, uid: int, section: str) -> bytes:
        """The header of a message inside a message (message/rfc822 at `section`)."""
        name = f"BODY.PEEK[{section}.HEADER]" if _SECTION.fullmatch(section) else "BODY.PEEK[HEADER]"
        found = self._fetch_one(uid, f"(UID {name})") or {}
        return imap_responses.to_bytes(found.get(name.replace(".PEEK", "").encode()))


def _parse_numbers(lines: imap_responses.Lines) -> list[int]:
    """The numbers of a SEARCH or SORT answer."""
    return [int(number) for line in lines if isinstance(line, bytes) for number in line.split() if number.isdigit()]
