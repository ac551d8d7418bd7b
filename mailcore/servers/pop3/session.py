"""The POP3 server (RFC 1939, 2449, 2595, 3206, 5034, 6856).

Started by the supervisor, one `Pop3Server` per listening socket. A session is a coroutine that reads a command,
executes it, replies, and reads on; grammar and texts are in `wire.pop3_commands`, mailboxes in
`store.access.pop3_maildrop`. No message is deleted before QUIT, and then all marked ones or none.
"""

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from mailcore import conf
from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.transport.account_connection import AccountConnection
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

# A larger message is read and sent in chunks.
_WHOLE_LIMIT = 1 << 20


class Pop3Server(LineServer):
    """A POP3 server on one socket; with `implicit_tls` (port 995) TLS begins at once, else STLS is offered."""

    def __init__(self, executor: Executor, tls_context: ssl.SSLContext | None, implicit_tls: bool) -> None:
        super().__init__(Session, executor, tls_context, implicit_tls)


@dataclass(slots=True)
class _Statistics:
    """The counts that are logged at the end."""

    retrieved: set[int] = field(default_factory=set)
    retrieved_bytes: int = 0
    top: int = 0


class Session:
    """One connection. `_maildrop` is set by authentication and stays until the end."""

    def __init__(self, server: LineServer, connection: LineConnection) -> None:
        self._server = server
        self._executor = server.executor
        self._tls_context = server.tls_context
        self._connection = connection
        self._peer = connection.peer
        self._name = ""  # Given with USER.
        self.owner: Owner | None = None
        self._account_connection = AccountConnection("pop3")
        self._maildrop: pop3_maildrop.Maildrop | None = None
        self._deleted: set[int] = set()
        self._seen: set[int] = set()  # Marked as seen at QUIT; their file names are changed afterwards.
        self._statistics = _Statistics()
        self._bad = 0
        self._waiting = False
        self._leaving = False
        self.needs_revalidation = False  # The account changed: the session may no longer be valid.

    # --- Connection ---

    async def run(self) -> None:
        """Run the session; all errors are handled here, the lock is released and the connection closed in any case."""
        reason = "Connection closed"
        try:
            reason = await self._serve()
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
        if self._maildrop is not None and self._seen:
            # The client does not wait for this; readers find the files by their base names meanwhile.
            await self._executor.run_in_pool(pop3_maildrop.write_seen_names, self._maildrop, self._seen)

    def _finish(self, reason: str) -> None:
        if self._maildrop is not None and self.owner is not None:
            pop3_maildrop.close_maildrop(self._maildrop)
            log.info(
                "%s: user=<%s>, client=%s, top=%d, retr=%d/%d, del=%d/%d",
                reason,
                self.owner.address,
                self._peer,
                self._statistics.top,
                len(self._statistics.retrieved),
                self._statistics.retrieved_bytes,
                len(self._deleted),
                len(self._maildrop.uids),
            )
        self._account_connection.release()
        self._connection.close()

    async def _serve(self) -> str:
        """Serve from the greeting to the end; return the reason of the end."""
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
            await connection.drain(self._timeout)
        connection.write(wire.error_response("[SYS/TEMP] Server shutting down."))
        return "Server shutting down"

    async def _line(self, limit: int) -> bytes:
        self._waiting = True
        try:
            return await self._connection.read_line(limit, self._timeout)
        finally:
            self._waiting = False

    async def _is_session_valid(self) -> bool:
        """Check the account after a notification about it: is it closed, or its password changed?"""
        self.needs_revalidation = False
        if self.owner is None or await self._executor.run_read(account_login.is_session_valid, self.owner):
            return True
        self._connection.write(wire.error_response("[AUTH] You have been signed out."))
        return False

    def _refuse(self, text: str) -> None:
        self._bad += 1
        self._connection.write(wire.error_response(text))

    def announce_close(self, reason: str) -> None:
        self._connection.write(wire.error_response(f"[SYS/TEMP] {reason}"))

    def leave(self) -> None:
        """Shut down: close now if waiting for a command, else after the running one."""
        self._leaving = True
        if self._waiting:
            self._connection.write(wire.error_response("[SYS/TEMP] Server shutting down."))
            self._connection.close()

    @property
    def _state(self) -> str:
        return wire.BEFORE if self._maildrop is None else wire.AFTER

    @property
    def _timeout(self) -> float:
        parameters = conf.current()
        return parameters.login_timeout if self._maildrop is None else parameters.pop3_idle_timeout

    @property
    def _plaintext_allowed(self) -> bool:
        """True if passwords may be sent: under TLS, from this machine, or without disable_plaintext_auth."""
        connection = self._connection
        return (
            not conf.current().disable_plaintext_auth
            or connection.tls is not None
            or connection.peer == connection.local_address
        )

    # --- Before authentication ---

    async def _capa(self, _: Pop3Command) -> None:
        starttls = self._tls_context is not None and self._connection.tls is None and self._maildrop is None
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
        # No effect: mail is sent as stored, which this command allows (RFC 6856 §2.1).
        self._connection.write(wire.OK)

    async def _user(self, command: Pop3Command) -> None:
        self._check_plaintext()
        if not command.argument:
            raise Pop3CommandError("No username given.")
        self._name = decode_name(command.argument)
        self._connection.write(wire.OK)

    async def _pass(self, command: Pop3Command) -> None:
        self._check_plaintext()
        if not self._name:
            raise Pop3CommandError("No username given.")
        name, self._name = self._name, ""
        try:
            owner = await authentication.authenticate_password(self._auth_context, name, decode_name(command.argument))
        except authentication.TooManyAttempts:
            raise Pop3CommandError(f"[SYS/TEMP] {authentication.BUSY}.") from None
        await self._open_session(owner)

    async def _auth(self, command: Pop3Command) -> None:
        if not command.argument:
            self._connection.write(wire.multiline_response("", self._mechanisms))
            return
        mechanism, response = wire.parse_auth(command.argument)
        if mechanism not in self._mechanisms:
            if mechanism in CLEAR:
                self._check_plaintext()
            raise Pop3CommandError("Unsupported authentication mechanism.")
        try:
            owner = await authentication.authenticate(self._auth_context, mechanism, response, self._challenge)
        except authentication.TooManyAttempts:
            raise Pop3CommandError(f"[SYS/TEMP] {authentication.BUSY}.") from None
        except Unauthorized:
            raise Pop3CommandError("[AUTH] Authentication failed.") from None
        except SaslError:
            raise Pop3CommandError("[AUTH] Invalid argument.") from None
        await self._open_session(owner)

    @property
    def _auth_context(self) -> AuthContext:
        return AuthContext(self._executor, "pop3", self._peer)

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return authentication.offered_mechanisms(clear=self._plaintext_allowed)

    async def _challenge(self, challenge: bytes) -> bytes:
        self._connection.write(wire.format_challenge(challenge))
        return wire.decode_base64(await self._line(RESPONSE_LIMIT))

    def _check_plaintext(self) -> None:
        if not self._plaintext_allowed:
            text = "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
            raise Pop3CommandError(f"[AUTH] {text}")

    async def _open_session(self, owner: Owner | None) -> None:
        if owner is None:
            raise Pop3CommandError("[AUTH] Authentication failed.")
        if not self._account_connection.acquire(owner, self._peer):
            raise Pop3CommandError("[IN-USE] Maximum number of connections from this address exceeded.")
        try:
            self._maildrop = await self._executor.run_in_pool(pop3_maildrop.open_maildrop, owner)
        except pop3_maildrop.MaildropLocked:
            raise Pop3CommandError("[IN-USE] Mailbox is locked by another POP3 session.") from None
        finally:
            if self._maildrop is None:
                self._account_connection.release()
        self.owner = owner
        self._server.mark_authenticated(self._connection)
        self._connection.write(wire.ok_response("Logged in."))

    # --- After authentication ---

    @property
    def _open_maildrop(self) -> pop3_maildrop.Maildrop:
        assert self._maildrop is not None
        return self._maildrop

    async def _stat(self, _: Pop3Command) -> None:
        remaining = self._remaining()
        self._connection.write(wire.ok_response(f"{len(remaining)} {sum(size for _, size in remaining)}"))

    def _remaining(self) -> list[tuple[int, int]]:
        """Return (index, size) of the messages not marked as deleted."""
        return [(i, size) for i, size in enumerate(self._open_maildrop.sizes) if i not in self._deleted]

    async def _list(self, command: Pop3Command) -> None:
        if command.argument:
            index = self._index(command.argument)
            self._connection.write(wire.ok_response(f"{index + 1} {self._open_maildrop.sizes[index]}"))
            return
        remaining = self._remaining()
        self._connection.write(
            wire.multiline_response(f"{len(remaining)} messages:", (f"{i + 1} {size}" for i, size in remaining))
        )

    async def _uidl(self, command: Pop3Command) -> None:
        maildrop = self._open_maildrop
        if command.argument:
            index = self._index(command.argument)
            self._connection.write(
                wire.ok_response(f"{index + 1} {wire.unique_id(maildrop.uid_validity, maildrop.uids[index])}")
            )
            return
        rows = (f"{i + 1} {wire.unique_id(maildrop.uid_validity, maildrop.uids[i])}" for i, _ in self._remaining())
        self._connection.write(wire.multiline_response("", rows))

    def _index(self, argument: bytes) -> int:
        return wire.parse_message_number(argument, self._open_maildrop.sizes, self._deleted)

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
        byte_count = self._open_maildrop.sizes[index]
        if byte_count > _WHOLE_LIMIT:
            await self._send_in_chunks(index)
        else:
            content, outgoing = await self._content(index), self._dot_stuffer(index)
            body, end = outgoing.feed(content), outgoing.finish()
            byte_count = outgoing.byte_count
            self._connection.write(wire.ok_response(f"{byte_count} octets"), body, end)
        self._statistics.retrieved.add(index)
        self._statistics.retrieved_bytes += byte_count
        if self._connection.has_line:
            await asyncio.sleep(0)  # Let other connections run between pipelined commands.

    def _dot_stuffer(self, index: int) -> wire.DotStuffer:
        return wire.DotStuffer(self._open_maildrop.growths[index] > 0)

    async def _send_in_chunks(self, index: int) -> None:
        """Send a large message; its size is known from the index."""
        outgoing = self._dot_stuffer(index)
        chunks = pop3_maildrop.read_pieces(self._open_maildrop, index)
        with contextlib.closing(chunks):
            try:
                chunk = await self._executor.run_in_pool(next, chunks, b"")
            except FileNotFoundError:
                raise self._report_lost(index) from None
            self._connection.write(wire.ok_response(f"{self._open_maildrop.sizes[index]} octets"))
            while chunk:
                self._connection.write(outgoing.feed(chunk))
                await self._connection.drain(self._timeout)
                chunk = await self._executor.run_in_pool(next, chunks, b"")
        self._connection.write(outgoing.finish())

    async def _content(self, index: int) -> bytes:
        read = (
            self._executor.run_read if self._open_maildrop.sizes[index] <= _WHOLE_LIMIT else self._executor.run_in_pool
        )
        try:
            return await read(pop3_maildrop.read_message, self._open_maildrop, index)
        except FileNotFoundError:
            raise self._report_lost(index) from None

    def _report_lost(self, index: int) -> Pop3CommandError:
        log.error(
            "file is missing: mailbox=%d, uid=%d", self._open_maildrop.mailbox_id, self._open_maildrop.uids[index]
        )
        return Pop3CommandError("[SYS/PERM] This message cannot be read.")

    async def _top(self, command: Pop3Command) -> None:
        index, count = wire.parse_top_arguments(command.argument, self._open_maildrop.sizes, self._deleted)
        outgoing = self._dot_stuffer(index)
        body = outgoing.feed(wire.top_lines(await self._content(index), count))
        self._connection.write(wire.OK, body, outgoing.finish())
        self._statistics.top += 1

    # --- In both states ---

    async def _lang(self, command: Pop3Command) -> None:
        """Execute LANG (RFC 6856 §3): texts are English, so that programs that parse them keep working."""
        tag = decode_name(command.argument).lower()
        if not tag:
            self._connection.write(wire.multiline_response("Language listing follows:", ["en English"]))
        elif tag in ("*", "en", "i-default") or tag.startswith("en-"):
            self._connection.write(wire.ok_response("en Language changed."))
        else:
            raise Pop3CommandError("This language is not supported.")

    async def _quit(self, _: Pop3Command) -> bool:
        if self._maildrop is None:
            self._connection.write(wire.ok_response("Logging out"))
            return True
        seen = {index for index in self._statistics.retrieved if not self._maildrop.flags[index] & SEEN}
        if self._deleted or seen:
            await self._executor.run_in_pool(pop3_maildrop.commit_session, self._maildrop, self._deleted, seen)
            self._seen = seen - self._deleted
        text = "Logging out, messages deleted." if self._deleted else "Logging out."
        self._connection.write(wire.ok_response(text))
        return True


_Action = Callable[[Session, Pop3Command], Awaitable[bool | None]]

# The method of each command in wire.COMMANDS; a true result ends the session.
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
