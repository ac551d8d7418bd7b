"""The IMAP server for the views: folders, message summaries, parts, and changes to them.

Here and in `pipeline` user input meets the protocol: control characters are refused, flags and sort keys come from
tables. A `MailSession` is one authenticated connection, used by one page at a time
(`webmail.mailserver.connection_pool` ensures that).
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
MAX_CACHED_SUMMARIES = 600  # summaries cached per connection: a list shown again fetches only flags
_IS_ATOM = re.compile(r"[A-Za-z0-9.@+_=-]+")  # names that LOGIN takes unquoted
_SECTION = re.compile(r"\d+(?:\.\d+)*")


@dataclass(frozen=True, slots=True)
class FetchedMessage:
    """One message without its content."""

    row: MessageSummary
    head: bytes
    structure: imap_responses.Value


@dataclass(frozen=True, slots=True)
class ExportedMessage:
    """One message with its content, for export."""

    uid: int
    flags: frozenset[str]  # lower case
    arrived: datetime | None
    content: bytes


def connect_imap(server: ServerAddress, login: str, secret: str) -> "MailSession":
    """Return an authenticated connection.

    Raise `InvalidCredential` or `ServerUnreachable`.
    """
    with translate_errors():
        context = tls_context() if server.tls else None
        client = IMAPClient(server.host, server.port, ssl=server.tls, ssl_context=context, timeout=TIMEOUT)
        try:
            if not server.tls and not server.is_local:
                client.starttls(tls_context())  # no password is sent unencrypted to a server elsewhere
            # The end of a command is a packet of its own; Nagle's algorithm would delay it by 40 ms.
            client.socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _authenticate(client, reject_controls(login), reject_controls(secret))
            return MailSession(client)
        except BaseException:
            client.shutdown()
            raise


def _authenticate(client: IMAPClient, login: str, secret: str) -> None:
    """Log in by LOGIN, or by AUTHENTICATE PLAIN if imaplib could not write the name or the password.

    imaplib writes both in ASCII and the name unquoted. PLAIN (RFC 4616) takes any UTF-8; it costs one round trip more.
    """
    if _IS_ATOM.fullmatch(login) and secret.isascii():
        client.login(login, secret)
    else:
        client.sasl_login("PLAIN", lambda _challenge: f"\0{login}\0{secret}".encode())


class MailSession(MessageChanges):
    """An authenticated connection with everything the views need."""

    def __init__(self, client: IMAPClient) -> None:
        super().__init__(client)
        # Unchanging data of recent messages, and orders of whole folders, valid until a message comes or goes.
        self._summaries: OrderedDict[tuple[str, int, int], MessageSummary] = OrderedDict()
        self._orders: dict[tuple[object, ...], object] = {}
        self._items = message_summary.ITEMS
        for capability, item in (("PREVIEW", "PREVIEW (LAZY)"), ("OBJECTID", "THREADID")):
            if self.supports(capability):
                self._items += f" {item}"

    def is_alive(self) -> bool:
        """Return True if the server still responds after a pause."""
        try:
            self._client.noop()
        except (OSError, imaplib.IMAP4.error, IMAPClientError, ValueError):
            return False
        self._opened = None
        return True

    # --- Reading ----------------------------------------------------------------------------------

    def open(self, name: str, *, fresh: bool = True) -> OpenedFolder:
        """Select a folder, or update the selected one by NOOP if `fresh`.

        Raise `CommandRefused`.
        """
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
        """Send NOOP and apply its EXISTS and EXPUNGE responses in order; imaplib's table has the earlier EXISTS."""
        if earlier_counts := self._wire.untagged_responses.pop("EXISTS", None):
            exists = int(earlier_counts[-1])
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
        """Return the summaries of sequence numbers `first` to `last`, in the order of arrival."""
        if last < first or last < 1:
            return []
        found = self._fetch_summaries(f"{max(1, first)}:{last}")
        return sorted(found.values(), key=lambda row: row.sequence)

    def summaries_of(self, uids: Sequence[int]) -> list[MessageSummary]:
        """Return the summaries of these messages, in this order, without those that no longer exist."""
        opened = self._opened
        if not uids or opened is None:
            return []
        cached = {uid: row for uid in uids if (row := self._summaries.get((opened.name, opened.validity, uid)))}
        uncached = [uid for uid in uids if uid not in cached]
        commands: list[tuple[str, Pieces]] = []
        for numbers, items in ((cached, "UID FLAGS"), (uncached, self._items)):
            if numbers:
                commands.append(("FETCH", (f"UID FETCH {format_uids(list(numbers))} ({items})".encode("ascii"),)))
        found: dict[int, MessageSummary] = {}
        with translate_errors():
            lines = [line for each in self._pipeline(commands) for line in each]
        for uid, data in imap_responses.parse_fetch(lines).items():
            if uid in cached:
                found[uid] = cached[uid].now(
                    message_summary.to_number(data.get(b"SEQ")), message_summary.fold_flags(data.get(b"FLAGS"))
                )
            elif b"ENVELOPE" in data:
                found[uid] = self._cache_summary(uid, data, opened)
        return [found[uid] for uid in uids if uid in found]

    def summary_of(self, uid: int) -> MessageSummary | None:
        """Return the summary of one message of the open folder, or None if it no longer exists.

        Its flags may be out of date.
        """
        opened = self._opened
        known = self._summaries.get((opened.name, opened.validity, uid)) if opened is not None else None
        if known is not None:
            return known
        found = next(iter(self.summaries_of([uid])), None)
        # a message newer than the last update has no sequence number in this session yet
        if found is None and opened is not None:
            self.open(opened.name)
            found = next(iter(self.summaries_of([uid])), None)
        return found

    def include_priorities(self) -> None:
        """Include priorities in summaries from now on, which makes most servers open each message."""
        if message_summary.PRIORITY not in self._items:
            self._items += f" {message_summary.PRIORITY}"
            self._summaries.clear()

    def _fetch_summaries(self, numbers: str) -> dict[int, MessageSummary]:
        """Fetch the flags of all messages in one round trip, and what is not cached in another."""
        opened = self._opened
        assert opened is not None
        found: dict[int, MessageSummary] = {}
        if self._summaries:
            uncached = []
            for uid, data in self._fetch("FETCH", numbers, "(UID FLAGS)").items():
                known = self._summaries.get((opened.name, opened.validity, uid))
                if known is None:
                    uncached.append(uid)
                else:
                    found[uid] = known.now(
                        message_summary.to_number(data.get(b"SEQ")), message_summary.fold_flags(data.get(b"FLAGS"))
                    )
            return found | {row.uid: row for row in self.summaries_of(uncached)}
        for uid, data in self._fetch("FETCH", numbers, self._items).items():
            found[uid] = self._cache_summary(uid, data, opened)
        return found

    def _cache_summary(self, uid: int, data: dict[bytes, imap_responses.Value], opened: OpenedFolder) -> MessageSummary:
        summary = message_summary.build_summary(uid, data, opened.name, opened.validity)
        self._summaries[opened.name, opened.validity, uid] = summary
        while len(self._summaries) > MAX_CACHED_SUMMARIES:
            self._summaries.popitem(last=False)
        return summary

    def fetch_across(self, wanted: dict[str, Sequence[int]]) -> list[FetchedMessage]:
        """Return messages of several folders with their headers, in one round trip; the selected folder changes."""
        folders_with_uids = {name: uids for name, uids in wanted.items() if uids}
        commands: list[tuple[str, Pieces]] = []
        for name, uids in folders_with_uids.items():
            commands.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            commands.append(
                ("FETCH", (f"UID FETCH {format_uids(uids)} ({self._items} BODY.PEEK[HEADER])".encode("ascii"),))
            )
        found: list[FetchedMessage] = []
        with translate_errors():
            for name, lines in zip(folders_with_uids, self._pipeline(commands)[1::2], strict=True):
                for uid, data in imap_responses.parse_fetch(lines).items():
                    row = self._cache_summary(uid, data, self._selected[name])
                    found.append(
                        FetchedMessage(
                            row, imap_responses.to_bytes(data.get(b"BODY[HEADER]")), data.get(b"BODYSTRUCTURE")
                        )
                    )
        return found

    def summaries_across(self, wanted: dict[str, Sequence[int]]) -> list[MessageSummary]:
        """Return summaries of messages of several folders, in one round trip; the selected folder changes."""
        folders_with_uids = {name: uids for name, uids in wanted.items() if uids}
        commands: list[tuple[str, Pieces]] = []
        for name, uids in folders_with_uids.items():
            commands.append(("SELECT", (b"SELECT ", self._mailbox(name))))
            commands.append(("FETCH", (f"UID FETCH {format_uids(uids)} ({self._items})".encode("ascii"),)))
        found: list[MessageSummary] = []
        with translate_errors():
            for name, lines in zip(folders_with_uids, self._pipeline(commands)[1::2], strict=True):
                found += [
                    self._cache_summary(uid, d, self._selected[name])
                    for uid, d in imap_responses.parse_fetch(lines).items()
                ]
        return found

    def contents_across(
        self, wanted: Sequence[tuple[MessageSummary, Sequence[str]]], *, mark: bool
    ) -> list[dict[str, bytes]]:
        r"""Return parts of messages from one or more folders, in one round trip; `mark` sets \Seen with it."""
        commands: list[tuple[str, Pieces]] = []
        at: list[int | None] = []
        opened = ""
        for row, sections in wanted:
            good = [s for s in sections if _SECTION.fullmatch(s)]
            if row.folder != opened and good:
                commands.append(("SELECT", (b"SELECT ", self._mailbox(row.folder))))
                opened = row.folder
            at.append(len(commands) if good else None)
            if good:
                peek = "BODY" if mark and not row.seen else "BODY.PEEK"
                items = " ".join(f"{peek}[{section}]" for section in good)
                commands.append(("FETCH", (f"UID FETCH {row.uid} (UID {items})".encode("ascii"),)))
        found: list[dict[str, bytes]] = []
        with translate_errors():
            responses = self._pipeline(commands)
            for (row, sections), index in zip(wanted, at, strict=True):
                if mark and index is not None and not row.seen:
                    self._note_read(row.folder)
                data = imap_responses.parse_fetch(responses[index]).get(row.uid, {}) if index is not None else {}
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
        return self._cached_order(
            ("sort", order), lambda: self._numbers("SORT", (f"({order}) UTF-8 ALL".encode("ascii"),))
        )

    def threads(self) -> list[list[int]]:
        """Conversations of the open folder, the one with the newest message first; each as UIDs, oldest first."""
        return self._cached_order(("threads",), self._threads)

    def _threads(self) -> list[list[int]]:
        for algorithm in ("REFS", "REFERENCES"):
            if self.supports(f"THREAD={algorithm}"):
                [lines] = self._pipeline([("THREAD", (f"UID THREAD {algorithm} UTF-8 ALL".encode("ascii"),))])
                return conversation_threads.parse_threads(lines)
        first = max(1, self._exists() - conversation_threads.MAX_MESSAGES + 1)
        return (
            conversation_threads.build_threads(self._fetch("FETCH", f"{first}:*", conversation_threads.ITEMS))
            if self._exists()
            else []
        )

    def _cached_order(self, name: tuple[object, ...], fetch_order: Callable[[], _Order]) -> _Order:
        """Return an order of the open folder, cached until a message comes or goes."""
        assert self._opened is not None
        key = (*name, self._opened)
        if key not in self._orders:
            with translate_errors():
                self._orders = {key: fetch_order()}
        return cast(_Order, self._orders[key])

    def _numbers(self, command: str, given: Pieces) -> list[int]:
        [lines] = self._pipeline([(command, (f"UID {command} ".encode("ascii"), *given))])
        return _parse_numbers(lines)

    def search(self, key: Key) -> list[int]:
        """Return the UIDs of matching messages of the open folder, newest first.

        Raise `ValueError` for control characters.
        """
        with translate_errors():
            return sorted(self._numbers("SEARCH", format_program(key)), reverse=True)

    def search_folders(self, key: Key, wanted: Sequence[str]) -> dict[str, list[int]]:
        """Search several folders; return the matching UIDs by folder, without folders that have none."""
        given = format_program(key)
        found: dict[str, list[int]] = {}
        with translate_errors():
            if not self.supports("MULTISEARCH"):
                return self._search_one_by_one(given, wanted)
            folders_with_uids = tuple(piece for name in wanted for piece in (b" ", self._mailbox(name)))[1:]
            commands = ("ESEARCH", (b"ESEARCH IN (mailboxes (", *folders_with_uids, b")) RETURN (ALL) ", *given))
            # A session knows the open folder only as of its last update; NOOP updates it.
            _news, lines = self._pipeline([("NOOP", (b"NOOP",)), commands])
            for raw, uids in imap_responses.parse_esearch(lines):
                found[folder_tree.decode_folder_name(raw)] = uids
        return found

    def _search_one_by_one(self, given: Pieces, wanted: Sequence[str]) -> dict[str, list[int]]:
        """Search folder by folder, for servers without MULTISEARCH (RFC 7377); the last folder is selected afterwards.

        One round trip suffices, unless the query has literals and the server no LITERAL+.
        """
        found: dict[str, list[int]] = {}
        commands: list[tuple[str, Pieces]] = []
        for name in wanted:
            commands += [("SELECT", (b"SELECT ", self._mailbox(name))), ("SEARCH", (b"UID SEARCH ", *given))]
        if self.supports("LITERAL+") or not any(isinstance(piece, LiteralString) for piece in given):
            responses = self._pipeline(commands, lenient=True)
        else:
            responses = [
                lines for at in range(0, len(commands), 2) for lines in self._run_separately(commands[at : at + 2])
            ]
        for name, lines in zip(wanted, responses[1::2], strict=True):
            if uids := _parse_numbers(lines):
                found[name] = sorted(uids, reverse=True)
        return found

    def _run_separately(self, commands: Sequence[tuple[str, Pieces]]) -> list[imap_responses.Lines]:
        return [self._pipeline([each], lenient=True)[0] for each in commands]

    # --- One message -------------------------------------------------------------------------------

    def find(self, uid: int) -> FetchedMessage | None:
        """Return one message of the open folder without marking it, or None if it no longer exists."""
        found = self._fetch_one(uid, f"({self._items} BODY.PEEK[HEADER])")
        if found is None or self._opened is None:
            return None
        return FetchedMessage(
            self._cache_summary(uid, found, self._opened),
            imap_responses.to_bytes(found.get(b"BODY[HEADER]")),
            found.get(b"BODYSTRUCTURE"),
        )

    def _fetch_one(self, uid: int, items: str) -> dict[bytes, imap_responses.Value] | None:
        """Fetch data of one message, updating the session first if it is newer than the last update."""
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
        r"""Return parts of a message and the UIDs of the messages before and after it (0: none), in one round trip.

        `mark` sets \Seen with it. The neighbours are those in the order of arrival in the open folder.
        """
        wanted = [section for section in sections if _SECTION.fullmatch(section)]
        last = max(row.sequence, min(row.sequence + 1, self._exists()))
        commands: list[tuple[str, Pieces]] = [
            ("FETCH", (f"FETCH {max(1, row.sequence - 1)}:{last} (UID)".encode("ascii"),))
        ]
        if wanted:
            items = " ".join(f"{'BODY' if mark else 'BODY.PEEK'}[{section}]" for section in wanted)
            commands.append(("FETCH", (f"UID FETCH {row.uid} (UID {items})".encode("ascii"),)))
        with translate_errors():
            around, *content = self._pipeline(commands)
        if mark and wanted and not row.seen:
            self._note_read(row.folder)
        at = {data[b"SEQ"]: uid for uid, data in imap_responses.parse_fetch(around).items()}
        data = imap_responses.parse_fetch(content[0]).get(row.uid, {}) if content else {}
        found = {s: imap_responses.to_bytes(data[key]) for s in wanted if (key := f"BODY[{s}]".encode()) in data}
        return found, (at.get(row.sequence - 1, 0), at.get(row.sequence + 1, 0))

    def _exists(self) -> int:
        return self._opened.exists if self._opened else 0

    def contents(self, uid: int, sections: Iterable[str]) -> dict[str, bytes]:
        """Return the raw bytes of parts by section ("1.2"; "" is the whole message)."""
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
        """Return messages with their content, unmarked, without those that no longer exist."""
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
        """Return the header of an enclosed message (message/rfc822 at `section`)."""
        name = f"BODY.PEEK[{section}.HEADER]" if _SECTION.fullmatch(section) else "BODY.PEEK[HEADER]"
        found = self._fetch_one(uid, f"(UID {name})") or {}
        return imap_responses.to_bytes(found.get(name.replace(".PEEK", "").encode()))


def _parse_numbers(lines: imap_responses.Lines) -> list[int]:
    """Return the numbers of a SEARCH or SORT response."""
    return [int(number) for line in lines if isinstance(line, bytes) for number in line.split() if number.isdigit()]
