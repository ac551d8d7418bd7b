"""One client: its state, its commands one after another, and the one place where faults end.

A command is read, done by its function (see `table`), then what changed in the selected mailbox is told, then
the tagged answer goes out.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable
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

# Commands whose literals are messages: they are handed over as they arrive.
_STREAMING = (b"APPEND", b"REPLACE")


class Call:
    """One command being done. `args` stands after the command's name (and the space, if there is one)."""

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
        "_idle_tag",
        "_news",
        "_running",
        "_told_idle",
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
        self.needs_revalidation = False  # something about the account changed: it may not be open any more
        self.view: SequenceView | None = None
        self.enabled: frozenset[str] = frozenset()
        self.leaving = False
        self.notify: NotifyState | None = None
        self._idle_tag = b""
        self._told_idle = 0.0
        self._news = False  # heard of, not looked at yet
        self._bad = 0
        self._running = b""  # tag of the command under way
        self.announced: LiteralStart | None = None  # a literal the running command has not taken yet

    # --- Beginning and end ---

    def begin(self) -> None:
        self.server.add_session(self)
        self.untagged(f"OK [CAPABILITY {capability.capability_words(self)}] {conf.current().mail_name} ready.")
        self.connection.flush_now()

    def end(self) -> None:
        """The connection is gone."""
        self._stop_notifying()
        self.clear_selected()
        self.server.remove_session(self)

    def bye(self, text: str) -> None:
        self.untagged(f"BYE {text}")
        self.leaving = True
        self.connection.close()

    def sign_out(self) -> None:
        """As it was before anybody signed in."""
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
        """Strings may hold UTF-8 (RFC 6855, RFC 9051)."""
        return bool(self.enabled & {"UTF8=ACCEPT", "IMAP4REV2"})

    @property
    def condstore(self) -> bool:
        """FETCH responses about flags carry MODSEQ (RFC 7162 §3.1)."""
        return bool(self.enabled & {"CONDSTORE", "QRESYNC"})

    @property
    def uid_only(self) -> bool:
        """Nothing speaks of sequence numbers any more (RFC 9586)."""
        return "UIDONLY" in self.enabled

    @property
    def idling(self) -> bool:
        return bool(self._idle_tag)

    def enable(self, *words: str) -> None:
        self.enabled |= set(words)

    def set_selected(self, view: SequenceView) -> None:
        self.view = view
        self.server.watch(view.box.id, self)

    def clear_selected(self) -> None:
        if self.view is not None:
            if self.notify is None or not self.notify.is_watching(self.view.box.id):
                self.server.unwatch(self.view.box.id, self)
            self.view = None

    # --- Working ---

    async def work(self) -> None:
        """Everything that is waiting to be done; ends when more has to come first."""
        events = 0
        while not self.leaving:
            event = self.connection.next_event()
            if event is None and not self._news:
                return
            events += 1
            if events > 1:
                # A buffer of 256 KB holds 40,000 events that wait for nothing: other connections get their turns.
                await asyncio.sleep(0)
            try:
                await (self._handle(event) if event is not None else self._send_pending_updates())
            except ConnectionClosed:
                raise
            except Exception:
                log.exception("imap: internal error, client=%s", self.connection.peer)
                self.bye("Internal error")
                raise ConnectionClosed from None

    async def _handle(self, event: Event) -> None:
        match event:
            case _ if self.needs_revalidation and not await self._is_session_valid():
                raise ConnectionClosed
            case _ if self.view is not None and self.view.box.prefix and not await self._is_still_readable(self.view):
                raise ConnectionClosed
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
        """The answer to a literal that the running command has no room for."""
        parameters = conf.current()
        room, literals = parameters.imap_max_command_size, parameters.imap_max_literals
        if self.owner is None:
            room, literals = parameters.imap_login_max_command_size, parameters.imap_login_max_literals
        if event.length + event.size > room:
            return no("Literal is too long", "TOOBIG")
        return no("Too many literals", "LIMIT") if event.number > literals else None

    async def _is_session_valid(self) -> bool:
        """Asked before the next command after news of the account: was it closed, its app password revoked?"""
        self.needs_revalidation = False
        if self.owner is None or await self.executor.run_read(account_login.is_session_valid, self.owner):
            return True
        self.bye("[UNAVAILABLE] You have been signed out.")
        return False

    async def _is_still_readable(self, view: SequenceView) -> bool:
        """Somebody else's mailbox: asked before every command, for its owner may change what we may do."""
        found = await self.executor.run_read(boxes.find_mailbox, self.owner, view.box.display_name)
        if isinstance(found, Refusal) or found.id != view.box.id:
            self.bye("The mailbox is not shared with you any more.")
            return False
        view.box = found
        return True

    async def send_continuation(self, text: str) -> None:
        """A continuation request, on its way at once."""
        self.connection.write(f"+ {text}\r\n".encode())
        await self.connection.flush()
        self.connection.acknowledge_at_once()

    async def _command(self, text: bytes, announced: LiteralStart | None) -> None:
        cursor = Cursor(text, utf8=self.utf8)
        tag, name = b"*", ""
        answer: TaggedResponse | None
        self.announced = announced
        try:
            tag = cursor.tag()
            cursor.space()
            command, name = command_table.lookup_command(cursor, self.state)
            if name in command_table.SEQUENCE_NUMBER_COMMANDS and self.uid_only:
                answer = UID_REQUIRED
            else:
                self._running = tag
                answer = await command.run(Call(self, tag, name, cursor))
            self._bad = 0
            if answer is None:
                return
        except TooComplicated as error:
            answer = no(str(error), "LIMIT")
            command = command_table.NOTHING
        except BadSyntax as error:
            answer = bad(str(error))
            self._bad += 1
            command = command_table.NOTHING
        except BadName:
            answer = no("Mailbox name is not valid", "CANNOT")
            command = command_table.NOTHING
        except (TemporaryFault, OperationalError, InterfaceError) as fault:
            if not isinstance(fault, TemporaryFault):  # the database is away, or was for a moment
                log.warning("imap: %s, client=%s", " ".join(str(fault).split()), self.connection.peer)
            answer = no("Temporary failure, try again later", "UNAVAILABLE")
            command = command_table.NOTHING
        except ConnectionClosed:
            raise
        except Exception as fault:
            answer = self._failed(fault, name)
            command = command_table.NOTHING
        finally:
            self._running = b""
        self.connection.abandon_literal()
        if self.announced is not None:  # refused before it was taken
            self.connection.refuse_literal(self.announced.waits)
            self.announced = None
        if self.view is not None and command.tells:
            await self.tell(with_expunges=command.tells == "all" or self.uid_only)
        self.connection.write(answer.render(tag))
        if answer.then is not None:
            await self.connection.flush()
            await answer.then()
        self._end_if_too_bad()

    def _failed(self, fault: Exception, name: str) -> TaggedResponse:
        """The answer to a command that ended in an error of ours: its transaction is undone, the client may go on."""
        if isinstance(fault, OSError):  # a full disk, a file that cannot be read
            log.error("imap: %s failed: %s, client=%s", name, fault, self.connection.peer)
            return no("Temporary failure, try again later", "UNAVAILABLE")
        if isinstance(fault, DatabaseError):  # its first line alone: the others may show the row, which is mail
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
        """Something nobody waits for; a fault in it is logged."""

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

    async def tell(self, with_expunges: bool, claims_recent: bool = True) -> None:
        """Tell what changed in the selected mailbox since the client was last told."""
        view = self.view
        assert view is not None
        changes = await self.executor.run_read(messages.changes_since, view.box.id, view.box.uid_validity, view.modseq)
        results = await self._refresh_live_searches(view) if view.contexts and changes is not None else {}
        self._send_removed(view, results)
        telling = view.tell(changes, with_expunges)
        if (
            claims_recent
            and view.looked_until < view.uid_next
            and self.shows_recent
            and not view.read_only
            and not view.box.prefix
        ):
            after = view.uid_next
            view.add_recent(await self.executor.run_write(claim_recent, view.box.id, after), after)
        if telling:
            self._tell(view, telling)
        self._send_added(view, results)
        if telling.fresh and self.notify is not None and self.notify.selected is not None:
            await fetch.send_new_messages(self, view, telling.fresh, self.notify.selected.attributes)

    async def _refresh_live_searches(self, view: SequenceView) -> dict[bytes, list[int]]:
        """What the contexts hold now, by tag."""
        return {tag: await self.executor.run_in_pool(context.find, view.box) for tag, context in view.contexts.items()}

    def _send_removed(self, view: SequenceView, results: dict[bytes, list[int]]) -> None:
        for tag, now in results.items():
            self.connection.write(b"".join(view.contexts[tag].leave(view, now)))

    def _send_added(self, view: SequenceView, results: dict[bytes, list[int]]) -> None:
        for tag, now in results.items():
            self.connection.write(b"".join(view.contexts[tag].join(view, now)))

    def _tell(self, view: SequenceView, telling: MailboxUpdates) -> None:
        if telling.vanished_uids and self.enabled & {"QRESYNC", "UIDONLY"}:
            self.connection.write(b"* VANISHED %b\r\n" % sequence_set.format_numbers(telling.vanished_uids))
        else:
            self.connection.write(b"".join([b"* %d EXPUNGE\r\n" % number for number in telling.vanished]))
        if telling.exists is not None:
            self.connection.write(b"* %d EXISTS\r\n" % telling.exists)
            if "IMAP4REV2" not in self.enabled:
                self.connection.write(b"* %d RECENT\r\n" % view.recent_count)
        if telling.keywords:
            self.send_flag_updates(view)
        for number, uid, flags, keywords, modseq in telling.flags:
            self.connection.write(self.flags_response(view, number, uid, flags, keywords, modseq))

    def send_flag_updates(self, view: SequenceView) -> None:
        names = " ".join([*wire_flags.NAMES.values(), *view.keywords.split()])
        mask = 0 if view.read_only else flags_mask(view.box.rights)
        kept = [name for bit, name in wire_flags.NAMES.items() if bit & mask]
        if mask and view.box.has_rights("w"):
            kept += [*view.keywords.split(), "\\*"]
        permanent = " ".join(kept)
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
        """Enter what another program put into the Maildir: of this mailbox, or of the selected one."""
        box = await self.executor.run_read(boxes.find_mailbox, self.owner, name) if name else None
        if not name and self.view is not None:
            box = self.view.box
        if isinstance(box, MailboxHandle) and external_deliveries.has_new_files(box):
            await self.executor.run_in_pool(external_deliveries.index_new_files, box)

    # --- IDLE (RFC 2177) ---

    def begin_idle(self, tag: bytes) -> None:
        self._idle_tag = tag
        self._told_idle = self.connection.last_heard

    async def _end_idle(self, text: bytes) -> None:
        tag, self._idle_tag = self._idle_tag, b""
        if self.view is not None:
            await self.tell(with_expunges=True)
        done = text.strip().upper() == b"DONE"
        self.connection.write((TaggedResponse("OK", "Idle completed.") if done else bad("DONE expected")).render(tag))

    def hear(self, mailbox_id: int) -> None:
        """A mailbox that is watched changed: told at once to who idles or asked for it, after the running command."""
        if self.notify is not None:
            self.notify.heard(mailbox_id)
        if self.notify is not None or self.idling:
            self._news = True
            self.connection.start()

    async def _send_pending_updates(self) -> None:
        self._news = False
        if self.notify is not None:
            await self.notify.tell(self)
        selected = self.notify.selected if self.notify is not None else None
        if self.view is not None and (self.idling or selected is not None):
            delayed = selected is not None and selected.scope.kind == "SELECTED-DELAYED"
            await self.tell(with_expunges=not delayed, claims_recent=False)

    def send_progress(self, now: float, interval: float) -> None:
        """Says so of a command that takes long (RFC 9585). Not while it reads what the client sends."""
        if self._running and interval and not self.connection.reading and now - self._told_idle >= interval:
            self._told_idle = now
            self.untagged(f'OK [INPROGRESS ("{self._running.decode()}" NIL NIL)] Still working')
            self.connection.flush_now()

    def check_external_files(self) -> None:
        """Nobody tells us of other programs' files: what comes of it is news like any other."""
        if self.idling and self.view is not None and external_deliveries.has_new_files(self.view.box):
            self.in_background(external_deliveries.index_new_files, self.view.box)

    def send_heartbeat(self, now: float, interval: float) -> None:
        """A sign of life for clients that idle, so that no router on the way forgets them."""
        if self.idling and interval and now - self._told_idle >= interval:
            self._told_idle = now
            self.untagged("OK Still here")
            self.connection.flush_now()


def _streams(event: LiteralStart) -> bool:
    """Is the literal a message? A mailbox name may come as a literal before it."""
    words = event.head.split(None, 5)
    if len(words) > 2 and words[1].upper() == b"UID":
        del words[1]
    name = words[1].upper() if len(words) > 1 else b""
    if name not in _STREAMING:
        return False
    before = 2 if name == b"APPEND" else 3  # words before the mailbox name
    return event.number > 1 or len(words) != before + 1


def _command_tag(text: bytes) -> bytes:
    try:
        return Cursor(text).tag()
    except BadSyntax:
        return b"*"
