"""One IMAP client: its state, its commands one after another, and the handling of all errors.

A command is read and executed by its function (see `command_table`); then changes of the selected mailbox are sent,
then the tagged response.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError, OperationalError

from mailcore import conf
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.imap import capability, command_table
from mailcore.servers.imap.commands.message import fetch
from mailcore.servers.imap.imap_connection import ConnectionClosed, ImapConnection
from mailcore.servers.imap.notify_state import NotifyState
from mailcore.servers.imap.sequence_view import MailboxUpdates, SequenceView
from mailcore.servers.imap.tagged_response import UID_REQUIRED, TaggedResponse, bad, no
from mailcore.servers.transport.account_connection import AccountConnection
from mailcore.store.access import external_deliveries
from mailcore.store.auth import account_login
from mailcore.store.mailbox import messages
from mailcore.store.mailbox import open_mailbox as boxes
from mailcore.store.mailbox.open_mailbox import MailboxHandle, claim_recent
from mailcore.values import Owner, Refusal, TemporaryFault
from mailcore.wire.imap import response_format, sequence_set
from mailcore.wire.imap import system_flags as wire_flags
from mailcore.wire.imap.cursor import BadName, BadSyntax, Cursor, TooComplicated
from mailcore.wire.imap.framing import Event, Line, LiteralStart, Passed
from mailcore.wire.imap.syntax.acl_syntax import flags_mask

if TYPE_CHECKING:
    from mailcore.servers.imap.imap_server import ImapServer

log = logging.getLogger("mailcore.imap")

# Commands whose literals are messages: their handlers read them as they arrive.
_STREAMING = (b"APPEND", b"REPLACE")


class Call:
    """One running command. `args` is positioned after the command's name and the space, if there is one."""

    __slots__ = ("args", "by_uid", "name", "session", "tag")

    def __init__(self, session: "Session", tag: bytes, name: str, args: Cursor) -> None:
        self.session = session
        self.tag = tag
        self.name = name
        self.args = args
        self.by_uid = name.startswith("UID ")


class Session:
    __slots__ = (
        "_bad",
        "_has_notifications",
        "_idle_tag",
        "_last_heartbeat",
        "_running",
        "account_connection",
        "announced",
        "connection",
        "enabled",
        "executor",
        "leaving",
        "needs_revalidation",
        "notify",
        "owner",
        "server",
        "view",
    )

    def __init__(self, server: "ImapServer", connection: ImapConnection) -> None:
        self.server = server
        self.executor: Executor = server.executor
        self.connection = connection
        self.owner: Owner | None = None
        self.account_connection = AccountConnection("imap")
        self.needs_revalidation = False  # The account changed: the session may no longer be valid.
        self.view: SequenceView | None = None
        self.enabled: frozenset[str] = frozenset()
        self.leaving = False
        self.notify: NotifyState | None = None
        self._idle_tag = b""
        self._last_heartbeat = 0.0
        self._has_notifications = False  # Notifications have not been processed yet.
        self._bad = 0
        self._running = b""  # The tag of the running command.
        self.announced: LiteralStart | None = None  # A literal that the running command has not read yet.

    # --- Start and end ---

    def begin(self) -> None:
        self.server.add_session(self)
        self.untagged(f"OK [CAPABILITY {capability.capability_words(self)}] {conf.current().mail_name} ready.")
        self.connection.flush_now()

    def end(self) -> None:
        """Clean up after the connection has ended."""
        self._stop_notifying()
        self.clear_selected()
        self.server.remove_session(self)

    def bye(self, text: str) -> None:
        self.untagged(f"BYE {text}")
        self.leaving = True
        self.connection.close()

    def reset_login(self) -> None:
        """Return to the state before authentication."""
        self._stop_notifying()
        self.clear_selected()
        self.server.unregister_login(self)
        self.enabled = frozenset()

    def _stop_notifying(self) -> None:
        if self.notify is not None:
            self.notify.end(self)
            self.notify = None

    # --- State ---

    @property
    def state(self) -> str:
        if self.owner is None:
            return command_table.ANY_STATE
        return command_table.AUTHENTICATED if self.view is None else command_table.SELECTED

    @property
    def utf8(self) -> bool:
        """True if strings may contain UTF-8 (RFC 6855, RFC 9051)."""
        return bool(self.enabled & {"UTF8=ACCEPT", "IMAP4REV2"})

    @property
    def condstore(self) -> bool:
        """True if FETCH responses with flags include MODSEQ (RFC 7162 §3.1)."""
        return bool(self.enabled & {"CONDSTORE", "QRESYNC"})

    @property
    def uid_only(self) -> bool:
        """True if sequence numbers are not used any more (RFC 9586)."""
        return "UIDONLY" in self.enabled

    @property
    def idling(self) -> bool:
        return bool(self._idle_tag)

    def enable(self, *words: str) -> None:
        """Enable extensions; when CONDSTORE becomes one, send the selected mailbox's MODSEQ (RFC 7162 §3.1)."""
        had_condstore = self.condstore
        self.enabled |= set(words)
        if self.condstore and not had_condstore and self.view is not None:
            self.untagged(f"OK [HIGHESTMODSEQ {self.view.modseq}] Highest")

    def set_selected(self, view: SequenceView) -> None:
        self.view = view
        self.server.watch(view.box.id, self)

    def clear_selected(self) -> None:
        if self.view is not None:
            if self.notify is None or not self.notify.is_watching(self.view.box.id):
                self.server.unwatch(self.view.box.id, self)
            self.view = None

    # --- Commands ---

    async def work(self) -> None:
        """Process all available input; return when more is needed."""
        events = 0
        while not self.leaving:
            event = self.connection.next_event()
            if event is None and not self._has_notifications:
                return
            events += 1
            if events > 1:
                # A buffer of 256 KB holds 40,000 events that need no waiting: give other connections their turns.
                await asyncio.sleep(0)
            try:
                await self._check_access()
                await (self._handle(event) if event is not None else self._send_pending_updates())
            except ConnectionClosed:
                raise
            except Exception:
                log.exception("imap: internal error, client=%s", self.connection.peer)
                self.bye("Internal error")
                raise ConnectionClosed from None

    async def _handle(self, event: Event) -> None:
        match event:
            case Line(text):
                if self.idling:
                    await self._end_idle(text)
                else:
                    await self._command(text, None)
            case LiteralStart(head, _, waits):
                if self.idling:
                    await self._end_idle(b"")
                    self.connection.refuse_literal(waits)
                elif self.owner is not None and _streams(event):
                    await self._command(self.connection.command_text(), event)
                elif (refusal := self._refuse_literal(event)) is not None:
                    self.connection.refuse_literal(waits)
                    self.connection.write(refusal.render(_command_tag(head)))
                    self._bad += 1
                    self._end_if_too_bad()
                else:
                    self.connection.keep_literal()
                    if waits:
                        await self.send_continuation("OK")
            case Passed():
                pass
            case _:
                self.bye("Line is too long")
                raise ConnectionClosed

    def _refuse_literal(self, event: LiteralStart) -> TaggedResponse | None:
        """Return the response to a literal that exceeds the limits of a command, None if it is acceptable."""
        parameters = conf.current()
        limit, literals = parameters.imap_max_command_size, parameters.imap_max_literals
        if self.owner is None:
            limit, literals = parameters.imap_login_max_command_size, parameters.imap_login_max_literals
        if event.length + event.size > limit:
            return no("Literal is too long", "TOOBIG")
        return no("Too many literals", "LIMIT") if event.number > literals else None

    async def _check_access(self) -> None:
        """End the session if its account was closed, its app password revoked, or the selected mailbox taken back.

        Called before every command, and before every update that nobody asked for (IDLE, NOTIFY): it may be mail.
        """
        if self.needs_revalidation:
            self.needs_revalidation = False
            if self.owner is not None and not await self.executor.run_read(account_login.is_session_valid, self.owner):
                self.bye("[UNAVAILABLE] You have been signed out.")
                raise ConnectionClosed
        view = self.view
        if view is not None and view.box.prefix:
            found = await self.executor.run_read(boxes.find_mailbox, self.owner, view.box.display_name)
            if isinstance(found, Refusal) or found.id != view.box.id:
                self.bye("The mailbox is not shared with you any more.")
                raise ConnectionClosed
            view.box = found

    async def send_continuation(self, text: str) -> None:
        """Send a continuation request without delay."""
        self.connection.write(f"+ {text}\r\n".encode())
        await self.connection.flush()
        self.connection.acknowledge_at_once()

    async def _command(self, text: bytes, announced: LiteralStart | None) -> None:
        cursor = Cursor(text, utf8=self.utf8)
        tag, name = b"*", ""
        response: TaggedResponse | None
        self.announced = announced
        try:
            tag = cursor.tag()
            cursor.space()
            command, name = command_table.lookup_command(cursor, self.state)
            if name in command_table.SEQUENCE_NUMBER_COMMANDS and self.uid_only:
                response = UID_REQUIRED
            else:
                self._running = tag
                response = await command.run(Call(self, tag, name, cursor))
            self._bad = 0
            if response is None:
                return
        except TooComplicated as error:
            response = no(str(error), "LIMIT")
            command = command_table.NOTHING
        except BadSyntax as error:
            response = bad(str(error))
            self._bad += 1
            command = command_table.NOTHING
        except BadName:
            response = no("Mailbox name is not valid", "CANNOT")
            command = command_table.NOTHING
        except (TemporaryFault, OperationalError, InterfaceError) as fault:
            if not isinstance(fault, TemporaryFault):  # The database is down, or was for a moment.
                log.warning("imap: %s, client=%s", " ".join(str(fault).split()), self.connection.peer)
            response = no("Temporary failure, try again later", "UNAVAILABLE")
            command = command_table.NOTHING
        except ConnectionClosed:
            raise
        except Exception as fault:
            response = self._error_response(fault, name)
            command = command_table.NOTHING
        finally:
            self._running = b""
        self.connection.abandon_literal()
        if self.announced is not None:  # Refused before it was read.
            self.connection.refuse_literal(self.announced.waits)
            self.announced = None
        if self.view is not None and command.updates:
            await self.send_updates(with_expunges=command.updates == "all" or self.uid_only)
        self.connection.write(response.render(tag))
        if response.then is not None:
            await self.connection.flush()
            await response.then()
        self._end_if_too_bad()

    def _error_response(self, fault: Exception, name: str) -> TaggedResponse:
        """Return the response to a command that failed with an internal error; its transaction is rolled back."""
        if isinstance(fault, OSError):  # A full disk, or an unreadable file.
            log.error("imap: %s failed: %s, client=%s", name, fault, self.connection.peer)
            return no("Temporary failure, try again later", "UNAVAILABLE")
        if isinstance(fault, DatabaseError):  # Only the first line: others may show the row, which is mail.
            where = "".join(traceback.format_tb(fault.__traceback__))
            reason = str(fault).partition("\n")[0][:200]
            log.error("imap: %s failed in the database: %s, client=%s\n%s", name, reason, self.connection.peer, where)
        else:
            log.error("imap: internal error in %s, client=%s", name, self.connection.peer, exc_info=fault)
        return no("Internal error", "SERVERBUG")

    def _end_if_too_bad(self) -> None:
        if self._bad >= conf.current().mail_max_bad_commands:
            self.bye("Too many invalid commands")

    def in_background(self, function: Callable[..., object], *values: object) -> None:
        """Run a function in a thread without waiting for it; exceptions are logged."""

        async def work() -> None:
            try:
                await self.executor.run_in_pool(function, *values)
            except Exception:
                log.exception("imap: background work failed")

        self.server.in_background(work())

    # --- Responses ---

    def untagged(self, text: str) -> None:
        self.connection.write(f"* {text}\r\n".encode())

    def write(self, data: bytes) -> None:
        self.connection.write(data)

    async def send_updates(self, with_expunges: bool, claims_recent: bool = True) -> None:
        """Send the changes of the selected mailbox since the last update."""
        view = self.view
        assert view is not None
        changes = await self.executor.run_read(messages.changes_since, view.box.id, view.box.uid_validity, view.modseq)
        results = await self._refresh_live_searches(view) if view.live_searches and changes is not None else {}
        self._send_removed(view, results)
        updates = view.update(changes, with_expunges)
        if (
            claims_recent
            and view.recent_until < view.uid_next
            and self.shows_recent
            and not view.read_only
            and not view.box.prefix
        ):
            after = view.uid_next
            view.add_recent(await self.executor.run_write(claim_recent, view.box.id, after), after)
        if updates:
            self._write_updates(view, updates)
        self._send_added(view, results)
        if updates.fresh and self.notify is not None and self.notify.selected is not None:
            await fetch.send_new_messages(self, view, updates.fresh, self.notify.selected.attributes)

    async def _refresh_live_searches(self, view: SequenceView) -> dict[bytes, list[int]]:
        """Return the current results of the live searches, by tag."""
        return {
            tag: await self.executor.run_in_pool(live_search.find, view.box)
            for tag, live_search in view.live_searches.items()
        }

    def _send_removed(self, view: SequenceView, results: dict[bytes, list[int]]) -> None:
        for tag, now in results.items():
            self.connection.write(b"".join(view.live_searches[tag].format_removed(view, now)))

    def _send_added(self, view: SequenceView, results: dict[bytes, list[int]]) -> None:
        for tag, now in results.items():
            self.connection.write(b"".join(view.live_searches[tag].format_added(view, now)))

    def _write_updates(self, view: SequenceView, updates: MailboxUpdates) -> None:
        if updates.vanished_uids and self.enabled & {"QRESYNC", "UIDONLY"}:
            self.connection.write(b"* VANISHED %b\r\n" % sequence_set.format_numbers(updates.vanished_uids))
        else:
            self.connection.write(b"".join([b"* %d EXPUNGE\r\n" % number for number in updates.vanished]))
        if updates.exists is not None:
            self.connection.write(b"* %d EXISTS\r\n" % updates.exists)
            if "IMAP4REV2" not in self.enabled:
                self.connection.write(b"* %d RECENT\r\n" % view.recent_count)
        if updates.keywords:
            self.send_flag_updates(view)
        for number, uid, flags, keywords, modseq in updates.flags:
            self.connection.write(self.flags_response(view, number, uid, flags, keywords, modseq))

    def announce_keywords(self, view: SequenceView, columns: Iterable[str]) -> None:
        """Send FLAGS if one of these columns has a keyword that the client does not know, before it is used."""
        if view.add_keywords(columns):
            self.send_flag_updates(view)

    def send_flag_updates(self, view: SequenceView) -> None:
        names = " ".join([*wire_flags.NAMES.values(), *view.keywords.split()])
        mask = 0 if view.read_only else flags_mask(view.box.rights)
        permitted = [name for bit, name in wire_flags.NAMES.items() if bit & mask]
        if mask and view.box.has_rights("w"):
            permitted += [*view.keywords.split(), "\\*"]
        permanent = " ".join(permitted)
        self.untagged(f"FLAGS ({names})")
        self.untagged(f"OK [PERMANENTFLAGS ({permanent})] Flags permitted.")

    def flags_response(
        self, view: SequenceView, number: int, uid: int, flags: int, keywords: str, modseq: int, with_uid: bool = False
    ) -> bytes:
        listed = response_format.format_flags(flags, keywords, self.shows_recent and view.is_recent(uid))
        extra = b" MODSEQ (%d)" % modseq if self.condstore else b""
        if self.uid_only:
            return b"* %d UIDFETCH (FLAGS %b%b)\r\n" % (uid, listed, extra)
        if with_uid or self.condstore or "IMAP4REV2" in self.enabled:
            return b"* %d FETCH (UID %d FLAGS %b%b)\r\n" % (number, uid, listed, extra)
        return b"* %d FETCH (FLAGS %b%b)\r\n" % (number, listed, extra)

    @property
    def shows_recent(self) -> bool:
        return "IMAP4REV2" not in self.enabled

    async def index_external_files(self, name: str = "") -> None:
        """Index files that other programs delivered to this mailbox, or to the selected one."""
        box = await self.executor.run_read(boxes.find_mailbox, self.owner, name) if name else None
        if not name and self.view is not None:
            box = self.view.box
        if isinstance(box, MailboxHandle) and external_deliveries.has_new_files(box):
            await self.executor.run_in_pool(external_deliveries.index_new_files, box)

    # --- IDLE (RFC 2177) ---

    def begin_idle(self, tag: bytes) -> None:
        self._idle_tag = tag
        self._last_heartbeat = self.connection.last_heard

    async def _end_idle(self, text: bytes) -> None:
        tag, self._idle_tag = self._idle_tag, b""
        if self.view is not None:
            await self.send_updates(with_expunges=True)
        done = text.strip().upper() == b"DONE"
        self.connection.write((TaggedResponse("OK", "Idle completed.") if done else bad("DONE expected")).render(tag))

    def on_notification(self, mailbox_id: int) -> None:
        """A watched mailbox changed: send updates at once if the client idles or uses NOTIFY."""
        if self.notify is not None:
            self.notify.on_notification(mailbox_id)
        if self.notify is not None or self.idling:
            self._has_notifications = True
            self.connection.start()

    async def _send_pending_updates(self) -> None:
        self._has_notifications = False
        if self.notify is not None:
            await self.notify.send_updates(self)
        selected = self.notify.selected if self.notify is not None else None
        if self.view is not None and (self.idling or selected is not None):
            delayed = selected is not None and selected.scope.kind == "SELECTED-DELAYED"
            await self.send_updates(with_expunges=not delayed, claims_recent=False)

    def send_progress(self, now: float, interval: float) -> None:
        """Send INPROGRESS (RFC 9585) for a long command, unless it is reading from the client."""
        if self._running and interval and not self.connection.reading and now - self._last_heartbeat >= interval:
            self._last_heartbeat = now
            self.untagged(f'OK [INPROGRESS ("{self._running.decode()}" NIL NIL)] Still working')
            self.connection.flush_now()

    def check_external_files(self) -> None:
        """Index other programs' deliveries to the selected mailbox during IDLE; no notification announces them."""
        if self.idling and self.view is not None and external_deliveries.has_new_files(self.view.box):
            self.in_background(external_deliveries.index_new_files, self.view.box)

    def send_heartbeat(self, now: float, interval: float) -> None:
        """Send a heartbeat to idling clients, so that NAT devices on the path do not drop the connection."""
        if self.idling and interval and now - self._last_heartbeat >= interval:
            self._last_heartbeat = now
            self.untagged("OK Still here")
            self.connection.flush_now()


def _streams(event: LiteralStart) -> bool:
    """Return True if the literal is a message; a mailbox name may come as a literal before it."""
    words = event.head.split(None, 5)
    if len(words) > 2 and words[1].upper() == b"UID":
        del words[1]
    name = words[1].upper() if len(words) > 1 else b""
    if name not in _STREAMING:
        return False
    before = 2 if name == b"APPEND" else 3  # Words before the mailbox name.
    return event.number > 1 or len(words) != before + 1


def _command_tag(text: bytes) -> bytes:
    try:
        return Cursor(text).tag()
    except BadSyntax:
        return b"*"
