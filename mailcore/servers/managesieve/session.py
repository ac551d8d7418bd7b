"""The ManageSieve server (RFC 5804): owners and their programs keep mail filters here.

Started by the supervisor, one `SieveServer` for each listening socket. Grammar is wire/managesieve's, scripts are
store/scripts'; a command is one crossing.
"""

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable

from mailcore import conf, rate_counters
from mailcore.servers import authentication
from mailcore.servers.authentication import AuthContext
from mailcore.servers.concurrency.executor import Executor
from mailcore.servers.transport.connection import ConnectionClosed, IdleTimeout, LineConnection, LineTooLong
from mailcore.servers.transport.listener import LineServer
from mailcore.store.access import sieve_scripts
from mailcore.store.auth import account_login
from mailcore.values import Owner, Refusal
from mailcore.wire import managesieve_syntax as wire
from mailcore.wire.auth.sasl import CLEAR, SaslError, Unauthorized
from mailcore.wire.managesieve_syntax import Command, CommandTokens, GrammarError, StringToken
from mailcore.wire.sieve.compiler import EXTENSIONS

log = logging.getLogger("mailcore.managesieve")

_CONNECTIONS = "sieve"  # what anvil counts
_NAME_LIMIT = 4096  # bytes of a literal that is no script


class SieveServer(LineServer):
    """Serves ManageSieve on one socket; STARTTLS is offered with a context."""

    def __init__(self, executor: Executor, tls_context: ssl.SSLContext | None) -> None:
        super().__init__(Session, executor, tls_context)


class Session:
    """One connection; `owner` after sign-in."""

    def __init__(self, server: LineServer, connection: LineConnection) -> None:
        self._server = server
        self._executor = server.executor
        self._tls_context = server.tls_context
        self._connection = connection
        self._peer = connection.peer
        self.owner: Owner | None = None
        self._counted = ""  # what anvil counts this connection under
        self._bad = 0
        self._waiting = False
        self._leaving = False
        self.needs_revalidation = False  # something about the account changed: it may not be open any more

    # --- The conversation ---

    async def run(self) -> None:
        """The one place where faults end."""
        try:
            await self._converse()
        except (ConnectionClosed, asyncio.CancelledError):
            pass
        except Exception:
            log.exception("internal error: client=%s", self._peer)
            self._say("BYE", "Internal error.")
        finally:
            self._uncount()
            self._connection.close()

    async def _converse(self) -> None:
        self._connection.write(self._capabilities(), wire.format_response("OK", f"{conf.current().mail_name} ready."))
        while not self._leaving:
            try:
                command = wire.parse_command(await self._sentence(), signed_in=self.owner is not None)
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
                self._say("BYE", "Disconnected for inactivity.")
                return
            if self._bad >= conf.current().mail_max_bad_commands:
                self._say("BYE", "Too many bad commands.")
                return
            await self._connection.drain(self._patience)
        self._say("BYE", "Server shutting down.")

    async def _sentence(self) -> list[wire.Token]:
        """A whole command. A literal larger than any script may be is passed over."""
        sentence = CommandTokens()
        self._waiting = True
        try:
            while not sentence.line(await self._connection.line(wire.LINE_LIMIT, self._patience)):
                self._waiting = False
                count = sentence.literal or 0
                if count > self._literal_limit:
                    await self._pass_over(count)
                    raise GrammarError("literal too large")
                sentence.octets(await self._connection.octets(count, self._patience))
        finally:
            self._waiting = False
        return sentence.tokens

    async def _pass_over(self, count: int) -> None:
        """Read and forget a literal and the rest of its line; Gone where that would be too much."""
        if self.owner is None or count > 16 * max(self._literal_limit, 1 << 20):
            self._say("BYE", "Literal too large.")
            raise ConnectionClosed
        while count:
            piece = min(count, 1 << 16)
            await self._connection.octets(piece, self._patience)
            count -= piece
        await self._connection.line(wire.LINE_LIMIT, self._patience)

    @property
    def _literal_limit(self) -> int:
        if self.owner is None:
            return _NAME_LIMIT
        return max(conf.current().sieve_max_script_size or 1 << 24, _NAME_LIMIT)

    @property
    def _patience(self) -> float:
        parameters = conf.current()
        return parameters.login_timeout if self.owner is None else parameters.managesieve_idle_timeout

    def turn_away(self, reason: str) -> None:
        self._say("BYE", reason, "TRYLATER")

    def _say(self, word: str, text: str = "", code: str = "") -> None:
        self._connection.write(wire.format_response(word, text, code))

    def _refuse(self, words: str) -> None:
        self._bad += 1
        self._say("NO", words)

    def _end(self, refusal: Refusal | None, words: str) -> None:
        """A command's last line."""
        if refusal is None:
            self._say("OK", words)
        else:
            self._say("NO", refusal.text, refusal.code)

    async def _is_session_valid(self) -> bool:
        """Asked before the next command after news of the account: was it closed, its password changed?"""
        self.needs_revalidation = False
        if self.owner is None or await self._executor.run_read(account_login.is_session_valid, self.owner):
            return True
        self._say("BYE", "You have been signed out.")
        return False

    def leave(self) -> None:
        """The server shuts down: end now if nothing is being done, else after the running command."""
        self._leaving = True
        if self._waiting:
            self._say("BYE", "Server shutting down.")
            self._connection.close()

    # --- Before sign-in ---

    def _capabilities(self) -> bytes:
        parameters = conf.current()
        pairs: list[tuple[str, str | None]] = [
            ("IMPLEMENTATION", parameters.mail_name),
            ("SIEVE", " ".join(EXTENSIONS)),
            ("SASL", " ".join(self._mechanisms) if self.owner is None else ""),
            ("MAXREDIRECTS", str(parameters.sieve_max_redirects)),
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
        """Passwords in the clear: under TLS, from this machine, or where the administrator does not mind."""
        connection = self._connection
        return (
            not conf.current().disable_plaintext_auth or connection.tls is not None or connection.peer == connection.own
        )

    async def _capability(self, _: Command) -> None:
        self._connection.write(self._capabilities(), wire.format_response("OK"))

    async def _starttls(self, _: Command) -> None:
        if self._connection.tls is not None or self.owner is not None:
            raise GrammarError("TLS cannot begin now")
        if self._tls_context is None:
            raise GrammarError("TLS is not offered")
        self._say("OK", "Begin TLS negotiation now.")
        await self._connection.start_tls(self._tls_context)
        self._connection.write(self._capabilities(), wire.format_response("OK", "TLS negotiation successful."))

    async def _authenticate(self, command: Command) -> None:
        if self.owner is not None:
            raise GrammarError("you are signed in already")
        mechanism = command.strings[0].text.upper()
        if mechanism not in self._mechanisms:
            if mechanism in CLEAR and not self._plaintext_allowed:
                self._say("NO", "Plaintext authentication needs TLS.", "ENCRYPT-NEEDED")
                return
            raise GrammarError("unsupported mechanism")
        initial = wire.decode_base64(command.strings[1]) if len(command.strings) > 1 else None
        door = AuthContext(self._executor, "sieve", self._peer)
        try:
            owner = await authentication.authenticate(door, mechanism, initial, self._challenge)
        except authentication.TooManyAttempts:
            self._bad += 1
            self._say("NO", f"{authentication.BUSY}.", "TRYLATER")
            return
        except (Unauthorized, SaslError):
            owner = None
        if owner is None:
            self._refuse("Authentication failed.")
            return
        self._count(owner)
        self.owner = owner
        self._server.signed_in(self._connection)
        self._say("OK", "Logged in.")

    async def _challenge(self, question: bytes) -> bytes:
        self._connection.write(wire.format_string(wire.encode_base64(question)), b"\r\n")
        tokens = await self._sentence()
        if len(tokens) != 1 or not isinstance(tokens[0], StringToken):
            raise SaslError("a string expected")
        response = wire.decode_base64(tokens[0])
        if response is None:
            raise SaslError("given up")
        return response

    def _count(self, owner: Owner) -> None:
        """GrammarError: the account has too many connections from there, on this machine."""
        key = f"{owner.account_id} {self._peer}"
        if rate_counters.increment_held(_CONNECTIONS, key) > conf.current().mail_max_userip_connections > 0:
            rate_counters.decrement_held(_CONNECTIONS, key)
            raise GrammarError("too many connections from this address")
        self._counted = key

    def _uncount(self) -> None:
        if self._counted:
            rate_counters.decrement_held(_CONNECTIONS, self._counted)
            self._counted = ""

    async def _unauthenticate(self, _: Command) -> None:
        self._uncount()
        self.owner = None
        self._server.signed_out(self, self._connection)
        self._say("OK")

    async def _noop(self, command: Command) -> None:
        if command.strings:
            tag = wire.format_string(command.strings[0].text).decode()
            self._say("OK", "Done.", f"TAG {tag}")
        else:
            self._say("OK", "Done.")

    async def _logout(self, _: Command) -> bool:
        self._say("OK", "Logout completed.")
        return True

    # --- Scripts ---

    @property
    def _mine(self) -> Owner:
        assert self.owner is not None
        return self.owner

    async def _havespace(self, command: Command) -> None:
        refusal = await self._executor.run_in_pool(
            sieve_scripts.has_space, self._mine, command.strings[0].text, command.number
        )
        self._end(refusal, "There is room.")

    async def _putscript(self, command: Command) -> None:
        name, content = command.strings[0].text, command.strings[1].text
        self._end(await self._executor.run_in_pool(sieve_scripts.put_script, self._mine, name, content), "Stored.")

    async def _checkscript(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.syntax_error, command.strings[0].text), "No fault found."
        )

    async def _listscripts(self, _: Command) -> None:
        found = await self._executor.run_in_pool(sieve_scripts.list_scripts, self._mine)
        lines = [wire.format_string(name) + (b" ACTIVE\r\n" if active else b"\r\n") for name, active in found]
        self._connection.write(*lines, wire.format_response("OK"))

    async def _getscript(self, command: Command) -> None:
        found = await self._executor.run_in_pool(sieve_scripts.get_script, self._mine, command.strings[0].text)
        if isinstance(found, Refusal):
            self._end(found, "")
            return
        octets = found.encode()
        self._connection.write(b"{%d}\r\n" % len(octets), octets, b"\r\n", wire.format_response("OK"))

    async def _setactive(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.activate_script, self._mine, command.strings[0].text),
            "Done.",
        )

    async def _deletescript(self, command: Command) -> None:
        self._end(
            await self._executor.run_in_pool(sieve_scripts.delete_script, self._mine, command.strings[0].text),
            "Deleted.",
        )

    async def _renamescript(self, command: Command) -> None:
        old, new = command.strings[0].text, command.strings[1].text
        self._end(await self._executor.run_in_pool(sieve_scripts.rename_script, self._mine, old, new), "Renamed.")


_Action = Callable[[Session, Command], Awaitable[bool | None]]

# What each command of wire.COMMANDS does; true ends the session.
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
