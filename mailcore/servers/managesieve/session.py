"""The ManageSieve server (RFC 5804), by which users and their programs manage Sieve scripts.

Started by the supervisor, one `SieveServer` per listening socket. The grammar is `wire.managesieve_syntax`, scripts are
in `store.access.sieve_scripts`; a command is one call through the executor.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

from mailcore import conf
from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.transport.account_connection import AccountConnection
from mailcore.servers.transport.connection import ConnectionClosed, IdleTimeout, LineConnection, LineTooLong
from mailcore.servers.transport.listener import LineServer
from mailcore.store.access import sieve_scripts
from mailcore.store.auth import account_login
from mailcore.values import Owner, Refusal
from mailcore.wire import managesieve_syntax as wire
from mailcore.wire.auth.sasl import CLEAR, SaslError, Unauthorized
from mailcore.wire.managesieve_syntax import Command, CommandTokens, GrammarError, StringToken
from mailcore.wire.sieve.compiler import EXTENSIONS
from mailcore.wire.sieve.extensions import external_lists

log = logging.getLogger("mailcore.managesieve")

_NAME_LIMIT = 4096  # Bytes of a literal that is not a script.


class SieveServer(LineServer):
    """A ManageSieve server on one socket; STARTTLS is offered if there is a context."""

    def __init__(self, executor: Executor, tls_context: ssl.SSLContext | None) -> None:
        super().__init__(Session, executor, tls_context)


class Session:
    """One connection; `owner` is set by authentication."""

    def __init__(self, server: LineServer, connection: LineConnection) -> None:
        self._server = server
        self._executor = server.executor
        self._tls_context = server.tls_context
        self._connection = connection
        self._peer = connection.peer
        self.owner: Owner | None = None
        self._account_connection = AccountConnection("sieve")
        self._bad = 0
        self._waiting = False
        self._leaving = False
        self.needs_revalidation = False  # The account changed: the session may no longer be valid.

    # --- Connection ---

    async def run(self) -> None:
        """Run the session; all errors are handled here."""
        try:
            await self._serve()
        except (ConnectionClosed, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("internal error: client=%s", self._peer)
            self._respond("BYE", "Internal error.")
        finally:
            self._account_connection.release()
            self._connection.close()

    async def _serve(self) -> None:
        self._connection.write(self._capabilities(), wire.format_response("OK", f"{conf.current().mail_name} ready."))
        while not self._leaving:
            try:
                command = wire.parse_command(await self._read_command(), signed_in=self.owner is not None)
                if self.needs_revalidation and not await self._is_session_valid():
                    return
                if await _ACTIONS[command.word](self, command):
                    return
                self._bad = 0
            except LineTooLong:
                self._refuse("Line too long.")
            except GrammarError as error:
                self._refuse(f"{str(error)[:1].upper()}{str(error)[1:]}.")
            except IdleTimeout:
                self._respond("BYE", "Disconnected for inactivity.")
                return
            if self._bad >= conf.current().mail_max_bad_commands:
                self._respond("BYE", "Too many bad commands.")
                return
            await self._connection.drain(self._timeout)
        self._respond("BYE", "Server shutting down.")

    async def _read_command(self) -> list[wire.Token]:
        """Read a whole command. A literal larger than any script may be is skipped."""
        sentence = CommandTokens()
        self._waiting = True
        try:
            while not sentence.line(await self._connection.read_line(wire.LINE_LIMIT, self._timeout)):
                self._waiting = False
                count = sentence.literal or 0
                if count > self._literal_limit:
                    await self._skip_literal(count)
                    raise GrammarError("literal too large")
                sentence.add_literal(await self._connection.read_bytes(count, self._timeout))
        finally:
            self._waiting = False
        return sentence.tokens

    async def _skip_literal(self, count: int) -> None:
        """Skip a literal and the rest of its line. Raise ConnectionClosed if it is too large even for that."""
        if self.owner is None or count > 16 * max(self._literal_limit, 1 << 20):
            self._respond("BYE", "Literal too large.")
            raise ConnectionClosed
        while count:
            chunk = min(count, 1 << 16)
            await self._connection.read_bytes(chunk, self._timeout)
            count -= chunk
        await self._connection.read_line(wire.LINE_LIMIT, self._timeout)

    @property
    def _literal_limit(self) -> int:
        if self.owner is None:
            return _NAME_LIMIT
        return max(conf.current().sieve_max_script_size or 1 << 24, _NAME_LIMIT)

    @property
    def _timeout(self) -> float:
        parameters = conf.current()
        return parameters.login_timeout if self.owner is None else parameters.managesieve_idle_timeout

    def announce_close(self, reason: str) -> None:
        self._respond("BYE", reason, "TRYLATER")

    def _respond(self, word: str, text: str = "", code: str = "") -> None:
        self._connection.write(wire.format_response(word, text, code))

    def _refuse(self, text: str) -> None:
        self._bad += 1
        self._respond("NO", text)

    def _end(self, refusal: Refusal | None, text: str) -> None:
        """Send a command's final response."""
        if refusal is None:
            self._respond("OK", text)
        else:
            self._respond("NO", refusal.text, refusal.code)

    async def _is_session_valid(self) -> bool:
        """Check the account after a notification about it: is it closed, or its password changed?"""
        self.needs_revalidation = False
        if self.owner is None or await self._executor.run_read(account_login.is_session_valid, self.owner):
            return True
        self._respond("BYE", "You have been signed out.")
        return False

    def leave(self) -> None:
        """Shut down: close now if waiting for a command, else after the running one."""
        self._leaving = True
        if self._waiting:
            self._respond("BYE", "Server shutting down.")
            self._connection.close()

    # --- Before authentication ---

    def _capabilities(self) -> bytes:
        parameters = conf.current()
        pairs: list[tuple[str, str | None]] = [
            ("IMPLEMENTATION", parameters.mail_name),
            ("SIEVE", " ".join(EXTENSIONS)),
            ("SASL", " ".join(self._mechanisms) if self.owner is None else ""),
            ("MAXREDIRECTS", str(parameters.sieve_max_redirects)),
            ("NOTIFY", "mailto"),
            ("EXTLISTS", external_lists.DEFAULT),
            ("UNAUTHENTICATE", None),
            ("VERSION", "1.0"),
        ]
        if self._tls_context is not None and self._connection.tls is None and self.owner is None:
            pairs.append(("STARTTLS", None))
        if self.owner is not None:
            pairs.append(("OWNER", self.owner.address))
        return wire.format_capabilities(pairs)

    @property
    def _mechanisms(self) -> tuple[str, ...]:
        return authentication.offered_mechanisms(clear=self._plaintext_allowed)

    @property
    def _plaintext_allowed(self) -> bool:
        """True if passwords may be sent: under TLS, from this machine, or without disable_plaintext_auth."""
        connection = self._connection
        return (
            not conf.current().disable_plaintext_auth
            or connection.tls is not None
            or connection.peer == connection.local_address
        )

    async def _capability(self, _: Command) -> None:
        self._connection.write(self._capabilities(), wire.format_response("OK"))

    async def _starttls(self, _: Command) -> None:
        if self._connection.tls is not None or self.owner is not None:
            raise GrammarError("TLS cannot begin now")
        if self._tls_context is None:
            raise GrammarError("TLS is not offered")
        self._respond("OK", "Begin TLS negotiation now.")
        await self._connection.start_tls(self._tls_context)
        self._connection.write(self._capabilities(), wire.format_response("OK", "TLS negotiation successful."))

    async def _authenticate(self, command: Command) -> None:
        if self.owner is not None:
            raise GrammarError("you are signed in already")
        mechanism = command.strings[0].text.upper()
        if mechanism not in self._mechanisms:
            if mechanism in CLEAR and not self._plaintext_allowed:
                self._respond("NO", "Plaintext authentication needs TLS.", "ENCRYPT-NEEDED")
                return
            raise GrammarError("unsupported mechanism")
        initial = wire.decode_base64(command.strings[1]) if len(command.strings) > 1 else None
        context = AuthContext(self._executor, "sieve", self._peer)
        try:
            owner = await authentication.authenticate(context, mechanism, initial, self._challenge)
        except authentication.TooManyAttempts:
            self._bad += 1
            self._respond("NO", f"{authentication.BUSY}.", "TRYLATER")
            return
        except (Unauthorized, SaslError):
            owner = None
        if owner is None:
            self._refuse("Authentication failed.")
            return
        if not self._account_connection.acquire(owner, self._peer):
            raise GrammarError("too many connections from this address")
        self.owner = owner
        self._server.mark_authenticated(self._connection)
        self._respond("OK", "Logged in.")

    async def _challenge(self, challenge: bytes) -> bytes:
        self._connection.write(wire.format_string(wire.encode_base64(challenge)), b"\r\n")
        tokens = await self._read_command()
        if len(tokens) != 1 or not isinstance(tokens[0], StringToken):
            raise SaslError("a string expected")
        response = wire.decode_base64(tokens[0])
        if response is None:
            raise SaslError("given up")
        return response

    async def _unauthenticate(self, _: Command) -> None:
        self._account_connection.release()
        self.owner = None
        self._server.mark_unauthenticated(self, self._connection)
        self._respond("OK")

    async def _noop(self, command: Command) -> None:
        if command.strings:
            tag = wire.format_string(command.strings[0].text).decode()
            self._respond("OK", "Done.", f"TAG {tag}")
        else:
            self._respond("OK", "Done.")

    async def _logout(self, _: Command) -> bool:
        self._respond("OK", "Logout completed.")
        return True

    # --- Scripts ---

    @property
    def _owner(self) -> Owner:
        assert self.owner is not None
        return self.owner

    async def _havespace(self, command: Command) -> None:
        refusal = await self._executor.run_in_pool(
            sieve_scripts.has_space, self._owner, command.strings[0].text, command.number
        )
        self._end(refusal, "Enough space.")

    async def _putscript(self, command: Command) -> None:
        name, content = command.strings[0].text, command.strings[1].text
        self._end(await self._executor.run_in_pool(sieve_scripts.put_script, self._owner, name, content), "Stored.")

    async def _checkscript(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.syntax_error, command.strings[0].text), "No fault found."
        )

    async def _listscripts(self, _: Command) -> None:
        scripts = await self._executor.run_in_pool(sieve_scripts.list_scripts, self._owner)
        lines = [wire.format_string(name) + (b" ACTIVE\r\n" if active else b"\r\n") for name, active in scripts]
        self._connection.write(*lines, wire.format_response("OK"))

    async def _getscript(self, command: Command) -> None:
        script = await self._executor.run_in_pool(sieve_scripts.get_script, self._owner, command.strings[0].text)
        if isinstance(script, Refusal):
            self._end(script, "")
            return
        content = script.encode()
        self._connection.write(b"{%d}\r\n" % len(content), content, b"\r\n", wire.format_response("OK"))

    async def _setactive(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.activate_script, self._owner, command.strings[0].text),
            "Done.",
        )

    async def _deletescript(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.delete_script, self._owner, command.strings[0].text),
            "Deleted.",
        )

    async def _renamescript(self, command: Command) -> None:
        old, new = command.strings[0].text, command.strings[1].text
        self._end(await self._executor.run_in_pool(sieve_scripts.rename_script, self._owner, old, new), "Renamed.")


_Action = Callable[[Session, Command], Awaitable[bool | None]]

# The method of each command in wire.COMMANDS; a true result ends the session.
_ACTIONS: dict[str, _Action] = {
    "AUTHENTICATE": Session._authenticate,
    "CAPABILITY": Session._capability,
    "CHECKSCRIPT": Session._checkscript,
    "DELETESCRIPT": Session._deletescript,
    "GETSCRIPT": Session._getscript,
    "HAVESPACE": Session._havespace,
    "LISTSCRIPTS": Session._listscripts,
    "LOGOUT": Session._logout,
    "NOOP": Session._noop,
    "PUTSCRIPT": Session._putscript,
    "RENAMESCRIPT": Session._renamescript,
    "SETACTIVE": Session._setactive,
    "STARTTLS": Session._starttls,
    "UNAUTHENTICATE": Session._unauthenticate,
}
