"""The POP3 server (RFC 1939, 2449, 2595, 3206, 5034, 6856).

Started by the supervisor, one `Pop3Server` for each listening socket. A session is a coroutine that reads
a command, does it, answers, and reads on; grammar and texts are in wire/pop3, mailboxes in store/pop3drop.
Nothing is deleted before QUIT, and then everything or nothing.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mailcore import conf, rate_counters
from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.transport.connection import ConnectionClosed, IdleTimeout, LineConnection, LineTooLong
from mailcore.servers.transport.listener import LineServer
from mailcore.store.access import pop3_maildrop
from mailcore.store.auth import account_login
from mailcore.values import Owner
from mailcore.wire import pop3_commands as wire
from mailcore.wire.auth.sasl import CLEAR, RESPONSE_LIMIT, SaslError, Unauthorized, decode_name
from mailcore.wire.imap.system_flags import SEEN
from mailcore.wire.pop3_commands import Pop3Command, Pop3CommandError

log = logging.getLogger("mailcore.pop3")

_CONNECTIONS = "pop3"  # what anvil counts
# Above this a message is read and sent in pieces.
_WHOLE = 1 << 20


class Pop3Server(LineServer):
    """Serves POP3 on one socket; `implicit_tls` is port 995's way, else STLS is offered with a context."""

    def __init__(self, executor: Executor, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> None:
        super().__init__(Session, executor, tls_context, implicit_tls)


@dataclass(slots=True)
class _Count:
    """What the line in the log tells at the end."""

    retrieved: set[int] = field(default_factory=set)
    retrieved_octets: int = 0
    top: int = 0


class Session:
    """One connection. Before sign-in there is no drop; after, `_drop` stays until the end."""

    def __init__(self, server: LineServer, connection: LineConnection) -> None:
        self._server = server
        self._executor = server.executor
        self._tls_context = server.tls_context
        self._connection = connection
        self._peer = connection.peer
        self._name = ""  # given with USER
        self.owner: Owner | None = None
        self._counted = ""  # what anvil counts this connection under
        self._drop: pop3_maildrop.Maildrop | None = None
        self._deleted: set[int] = set()
        self._seen: set[int] = set()  # marked at QUIT; their file names follow
        self._count = _Count()
        self._bad = 0
        self._waiting = False
        self._leaving = False
        self.needs_revalidation = False  # something about the account changed: it may not be open any more

    # --- The conversation ---

    async def run(self) -> None:
        """The one place where faults end: whatever happens, the lock is let go and the connection closed."""
        reason = "Connection closed"
        try:
            reason = await self._converse()
        except ConnectionClosed:
            pass
        except asyncio.CancelledError:
            reason = "Server shutting down"
        except Exception:
            log.exception("internal error: client=%s", self._peer)
            self._connection.write(wire.error_response("[SYS/TEMP] Internal error."))
            reason = "Internal error"
        finally:
            self._finish(reason)
        if self._drop is not None and self._seen:
            # The client does not wait for this; who reads meanwhile finds the files by their base names.
            await self._executor.run_in_pool(pop3_maildrop.write_seen_names, self._drop, self._seen)

    def _finish(self, reason: str) -> None:
        if self._drop is not None and self.owner is not None:
            pop3_maildrop.close_maildrop(self._drop)
            log.info(
                "%s: user=<%s>, client=%s, top=%d, retr=%d/%d, del=%d/%d",
                reason,
                self.owner.address,
                self._peer,
                self._count.top,
                len(self._count.retrieved),
                self._count.retrieved_octets,
                len(self._deleted),
                len(self._drop.uids),
            )
        self._uncount_connection()
        self._connection.close()

    async def _converse(self) -> str:
        """Greeting to goodbye; returns why it ended."""
        connection = self._connection
        connection.write(wire.ok_response(f"{conf.current().mail_name} ready."))
        while not self._leaving:
            try:
                line = await self._line(wire.COMMAND_LIMIT)
                if self.needs_revalidation and not await self._is_session_valid():
                    return "Signed out"
                command = wire.parse_command(line, self._state)
                if await _ACTIONS[command.word](self, command):
                    return "Logged out"
                self._bad = 0
            except LineTooLong:
                self._refuse("Input line too long.")
            except Pop3CommandError as error:
                self._refuse(str(error))
            except IdleTimeout:
                connection.write(wire.error_response("Disconnected for inactivity."))
                return "Inactivity"
            if self._bad >= conf.current().mail_max_bad_commands:
                connection.write(wire.error_response("Too many bad commands."))
                return "Too many bad commands"
            await connection.drain(self._patience)
        connection.write(wire.error_response("[SYS/TEMP] Server shutting down."))
        return "Server shutting down"

    async def _line(self, limit: int) -> bytes:
        self._waiting = True
        try:
            return await self._connection.line(limit, self._patience)
        finally:
            self._waiting = False

    async def _is_session_valid(self) -> bool:
        """Asked before the next command after news of the account: was it closed, its password changed?"""
        self.needs_revalidation = False
        if self.owner is None or await self._executor.run_read(account_login.is_session_valid, self.owner):
            return True
        self._connection.write(wire.error_response("[AUTH] You have been signed out."))
        return False

    def _refuse(self, words: str) -> None:
        self._bad += 1
        self._connection.write(wire.error_response(words))

    def turn_away(self, reason: str) -> None:
        self._connection.write(wire.error_response(f"[SYS/TEMP] {reason}"))

    def leave(self) -> None:
        """The server shuts down: end now if nothing is being done, else after the running command."""
        self._leaving = True
        if self._waiting:
            self._connection.write(wire.error_response("[SYS/TEMP] Server shutting down."))
            self._connection.close()

    @property
    def _state(self) -> str:
        return wire.BEFORE if self._drop is None else wire.AFTER

    @property
    def _patience(self) -> float:
        parameters = conf.current()
        return parameters.login_timeout if self._drop is None else parameters.pop3_idle_timeout

    @property
    def _plaintext_allowed(self) -> bool:
        """Passwords in the clear: under TLS, from this machine, or where the administrator does not mind."""
        connection = self._connection
        return (
            not conf.current().disable_plaintext_auth or connection.tls is not None or connection.peer == connection.own
        )

    # --- Before sign-in ---

    async def _capa(self, _: Pop3Command) -> None:
        starttls = self._tls_context is not None and self._connection.tls is None and self._drop is None
        tags = wire.capability_lines(
            plaintext=self._plaintext_allowed,
            mechanisms=self._mechanisms,
            starttls=starttls,
            implementation=conf.current().mail_name,
        )
        self._connection.write(wire.multiline_response("", tags))

    async def _stls(self, _: Pop3Command) -> None:
        if self._connection.tls is not None:
            raise Pop3CommandError("TLS is already active.")
        if self._tls_context is None:
            raise Pop3CommandError("TLS support isn't enabled.")
        self._connection.write(wire.ok_response("Begin TLS negotiation now."))
        self._name = ""
        await self._connection.start_tls(self._tls_context)

    async def _utf8(self, _: Pop3Command) -> None:
        # Nothing changes: mail is sent as it is stored, which this command allows (RFC 6856 §2.1).
        self._connection.write(wire.OK)

    async def _user(self, command: Pop3Command) -> None:
        self._mind_plaintext()
        if not command.argument:
            raise Pop3CommandError("No username given.")
        self._name = decode_name(command.argument)
        self._connection.write(wire.OK)

    async def _pass(self, command: Pop3Command) -> None:
        self._mind_plaintext()
        if not self._name:
            raise Pop3CommandError("No username given.")
        name, self._name = self._name, ""
        try:
            owner = await authentication.authenticate_password(self._door, name, decode_name(command.argument))
        except authentication.TooManyAttempts:
            raise Pop3CommandError(f"[SYS/TEMP] {authentication.BUSY}.") from None
        await self._enter(owner)

    async def _auth(self, command: Pop3Command) -> None:
        if not command.argument:
            self._connection.write(wire.multiline_response("", self._mechanisms))
            return
        mechanism, response = wire.parse_auth(command.argument)
        if mechanism not in self._mechanisms:
            if mechanism in CLEAR:
                self._mind_plaintext()
            raise Pop3CommandError("Unsupported authentication mechanism.")
        try:
            owner = await authentication.authenticate(self._door, mechanism, response, self._challenge)
        except authentication.TooManyAttempts:
            raise Pop3CommandError(f"[SYS/TEMP] {authentication.BUSY}.") from None
        except Unauthorized:
            raise Pop3CommandError("[AUTH] Authentication failed.") from None
        except SaslError:
            raise Pop3CommandError("[AUTH] Invalid argument.") from None
        await self._enter(owner)

    @property
    def _door(self) -> AuthContext:
        return AuthContext(self._executor, "pop3", self._peer)

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return authentication.offered_mechanisms(clear=self._plaintext_allowed)

    async def _challenge(self, question: bytes) -> bytes:
        self._connection.write(wire.format_challenge(question))
        return wire.decode_base64(await self._line(RESPONSE_LIMIT))

    def _mind_plaintext(self) -> None:
        if not self._plaintext_allowed:
            words = "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
            raise Pop3CommandError(f"[AUTH] {words}")

    async def _enter(self, owner: Owner | None) -> None:
        if owner is None:
            raise Pop3CommandError("[AUTH] Authentication failed.")
        self._count_connection(owner)
        try:
            self._drop = await self._executor.run_in_pool(pop3_maildrop.open_maildrop, owner)
        except pop3_maildrop.MaildropLocked:
            raise Pop3CommandError("[IN-USE] Mailbox is locked by another POP3 session.") from None
        finally:
            if self._drop is None:
                self._uncount_connection()
        self.owner = owner
        self._server.signed_in(self._connection)
        self._connection.write(wire.ok_response("Logged in."))

    def _count_connection(self, owner: Owner) -> None:
        """CommandError: the account has too many connections from there, on this machine."""
        key = f"{owner.account_id} {self._peer}"
        if rate_counters.increment_held(_CONNECTIONS, key) > conf.current().mail_max_userip_connections > 0:
            rate_counters.decrement_held(_CONNECTIONS, key)
            raise Pop3CommandError("[IN-USE] Maximum number of connections from this address exceeded.")
        self._counted = key

    def _uncount_connection(self) -> None:
        if self._counted:
            rate_counters.decrement_held(_CONNECTIONS, self._counted)
            self._counted = ""

    # --- After it ---

    @property
    def _mine(self) -> pop3_maildrop.Maildrop:
        assert self._drop is not None
        return self._drop

    async def _stat(self, _: Pop3Command) -> None:
        kept = self._kept()
        self._connection.write(wire.ok_response(f"{len(kept)} {sum(size for _, size in kept)}"))

    def _kept(self) -> list[tuple[int, int]]:
        """(index, size) of the messages not marked as deleted."""
        return [(i, size) for i, size in enumerate(self._mine.sizes) if i not in self._deleted]

    async def _list(self, command: Pop3Command) -> None:
        if command.argument:
            index = self._index(command.argument)
            self._connection.write(wire.ok_response(f"{index + 1} {self._mine.sizes[index]}"))
            return
        kept = self._kept()
        self._connection.write(
            wire.multiline_response(f"{len(kept)} messages:", (f"{i + 1} {size}" for i, size in kept))
        )

    async def _uidl(self, command: Pop3Command) -> None:
        drop = self._mine
        if command.argument:
            index = self._index(command.argument)
            self._connection.write(
                wire.ok_response(f"{index + 1} {wire.unique_id(drop.uid_validity, drop.uids[index])}")
            )
            return
        rows = (f"{i + 1} {wire.unique_id(drop.uid_validity, drop.uids[i])}" for i, _ in self._kept())
        self._connection.write(wire.multiline_response("", rows))

    def _index(self, argument: bytes) -> int:
        return wire.parse_message_number(argument, self._mine.sizes, self._deleted)

    async def _dele(self, command: Pop3Command) -> None:
        self._deleted.add(self._index(command.argument))
        self._connection.write(wire.ok_response("Marked to be deleted."))

    async def _rset(self, _: Pop3Command) -> None:
        self._deleted.clear()
        self._connection.write(wire.OK)

    async def _noop(self, _: Pop3Command) -> None:
        self._connection.write(wire.OK)

    async def _retr(self, command: Pop3Command) -> None:
        index = self._index(command.argument)
        if self._mine.sizes[index] > _WHOLE:
            octets = await self._send_pieces(index)
        else:
            content, outgoing = await self._content(index), wire.DotStuffer()
            body, end = outgoing.feed(content), outgoing.finish()
            octets = outgoing.octets
            self._connection.write(wire.ok_response(f"{octets} octets"), body, end)
        self._count.retrieved.add(index)
        self._count.retrieved_octets += octets
        if self._connection.has_line:
            await asyncio.sleep(0)  # a client that pipelines leaves room for others

    async def _send_pieces(self, index: int) -> int:
        """A large message: read once to count (it is in the page cache then), once to send."""
        outgoing = wire.DotStuffer()
        try:
            octets = await self._executor.run_in_pool(_count_octets, self._mine, index)
        except FileNotFoundError:
            raise self._lost(index) from None
        self._connection.write(wire.ok_response(f"{octets} octets"))
        pieces = pop3_maildrop.read_pieces(self._mine, index)
        with contextlib.closing(pieces):
            while piece := await self._executor.run_in_pool(next, pieces, b""):
                self._connection.write(outgoing.feed(piece))
                await self._connection.drain(self._patience)
        self._connection.write(outgoing.finish())
        return octets

    async def _content(self, index: int) -> bytes:
        read = self._executor.run_read if self._mine.sizes[index] <= _WHOLE else self._executor.run_in_pool
        try:
            return await read(pop3_maildrop.read_message, self._mine, index)
        except FileNotFoundError:
            raise self._lost(index) from None

    def _lost(self, index: int) -> Pop3CommandError:
        log.error("file is gone: mailbox=%d, uid=%d", self._mine.mailbox_id, self._mine.uids[index])
        return Pop3CommandError("[SYS/PERM] This message cannot be read.")

    async def _top(self, command: Pop3Command) -> None:
        index, count = wire.parse_top_arguments(command.argument, self._mine.sizes, self._deleted)
        outgoing = wire.DotStuffer()
        body = outgoing.feed(wire.top_lines(await self._content(index), count))
        self._connection.write(wire.OK, body, outgoing.finish())
        self._count.top += 1

    # --- Both ---

    async def _lang(self, command: Pop3Command) -> None:
        """RFC 6856 §3: the texts are English, so that programs that read them keep working."""
        tag = decode_name(command.argument).lower()
        if not tag:
            self._connection.write(wire.multiline_response("Language listing follows:", ["en English"]))
        elif tag in ("*", "en", "i-default") or tag.startswith("en-"):
            self._connection.write(wire.ok_response("en Language changed."))
        else:
            raise Pop3CommandError("This language is not supported.")

    async def _quit(self, _: Pop3Command) -> bool:
        if self._drop is None:
            self._connection.write(wire.ok_response("Logging out"))
            return True
        seen = {index for index in self._count.retrieved if not self._drop.flags[index] & SEEN}
        if self._deleted or seen:
            await self._executor.run_in_pool(pop3_maildrop.commit_session, self._drop, self._deleted, seen)
            self._seen = seen - self._deleted
        words = "Logging out, messages deleted." if self._deleted else "Logging out."
        self._connection.write(wire.ok_response(words))
        return True


def _count_octets(drop: pop3_maildrop.Maildrop, index: int) -> int:
    outgoing = wire.DotStuffer()
    for piece in pop3_maildrop.read_pieces(drop, index):
        outgoing.feed(piece)
    outgoing.finish()
    return outgoing.octets


_Action = Callable[[Session, Pop3Command], Awaitable[bool | None]]

# What each command of wire.COMMANDS does; true ends the session.
_ACTIONS: dict[str, _Action] = {
    "AUTH": Session._auth,
    "CAPA": Session._capa,
    "DELE": Session._dele,
    "LANG": Session._lang,
    "LIST": Session._list,
    "NOOP": Session._noop,
    "PASS": Session._pass,
    "QUIT": Session._quit,
    "RETR": Session._retr,
    "RSET": Session._rset,
    "STAT": Session._stat,
    "STLS": Session._stls,
    "TOP": Session._top,
    "UIDL": Session._uidl,
    "USER": Session._user,
    "UTF8": Session._utf8,
}
