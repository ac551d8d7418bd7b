"""One SMTP or LMTP connection: command lines and replies (RFC 5321 §2.3, §4.5.3; pipelining RFC 2920).

Built on aiosmtpd's SMTP, which handles start, timeouts and end of the connection; the grammar is `wire.smtp_commands`.
The commands are in `commands`, those of a mail transaction in `transaction`. A session holds no message: what is not
committed when the connection ends is lost, and the client knows.
"""

import asyncio
import hashlib
import logging
import re
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from aiosmtpd.smtp import SMTP

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.dns import resolver
from mailcore.mta.dns.resolver import PeerName
from mailcore.mta.policy import accept
from mailcore.mta.policy.restrictions import RestrictionInput
from mailcore.servers.smtp import rate_limits
from mailcore.servers.smtp.commands import COMMANDS
from mailcore.servers.smtp.transaction import Transaction
from mailcore.servers.transport.unauthenticated import CLOSE_GRACE, UnauthenticatedConnection, count_connection
from mailcore.values import Client, Reply, TemporaryFault, Verdict
from mailcore.wire import smtp_commands as grammar
from mailcore.wire.smtp_commands import SmtpSyntaxError

if TYPE_CHECKING:
    from mailcore.servers.smtp.smtp_server import SmtpServer
    from mailcore.servers.transport.proxy_protocol import Accepted

_logger = logging.getLogger("mailcore.smtpd")

CHUNK = 65536
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BUSY = Reply(451, "4.3.0", "Error: queue file write error")
_SYNC_ERROR = Reply(554, "5.5.0", "Error: SMTP protocol synchronization")
_LOOPBACK = ("127.0.0.1", "::1")
_LOCALHOST = PeerName("localhost", "localhost")


class SmtpSession(SMTP):
    """A connection as `commands` and `transaction` use it; `accepted` comes from a `ProxiedListener`."""

    def __init__(
        self, server: "SmtpServer", loop: asyncio.AbstractEventLoop, accepted: "Accepted | None" = None
    ) -> None:
        # aiosmtpd's own __init__ searches all attributes for handlers that we do not have, which takes longer (0.3 ms)
        # than the rest of a short session; these are the attributes its connection handling needs.
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(CHUNK, loop), client_connected_cb=self._cb_client_connected, loop=loop
        )
        self.loop = loop
        self.hostname = conf.current().myhostname
        self.transport: asyncio.BaseTransport | None = None
        self._timeout_duration = conf.current().smtpd_timeout
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._timer_at = self._deadline = 0.0  # Loop times of the timer and of the client's deadline.
        self._original_transport = None
        self._handler_coroutine = None
        self.server = server
        self.helo = ""
        self.extended = False
        self.login = ""
        self.method = ""  # Of AUTH.
        self.tls = ""  # "TLSv1.3 with cipher …"; "" without TLS.
        self.certificate = ""  # SHA-256 fingerprint of the client's certificate, "" if it sent none.
        self.transaction: Transaction | None = None  # From MAIL on.
        self.errors = 0
        self.denied = False  # smtpd_client_restrictions rejected the client at connect.
        self.improper = False  # The client has pipelined without permission.
        self._accepted = accepted
        self._proxied = accepted.header if accepted is not None else None
        self._name_lookup: asyncio.Task[PeerName] | None = None
        self._junk = 0
        self._replies: list[bytes] = []
        self._busy = False  # A command is being executed.
        self._client_key: tuple[object, ...] = ()  # The values that `_client` was built from.
        self._client = Client("")
        self._closing = False
        # Set until the client authenticates, if it must.
        self._unauthenticated: UnauthenticatedConnection | None = None

    # --- The connection's life --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if self._proxied is not None:
            peer = (self._proxied.source, self._proxied.source_port)
        self.client_address, self.client_port = peer[:2] if isinstance(peer, tuple) and peer else ("127.0.0.1", 0)
        self.names, self._name_lookup = _LOCALHOST, None
        if self.client_address not in _LOOPBACK:
            self.names = PeerName()
            if accept.needs_client_names():
                lookup = self.server.executor.run_blocking_network(resolver.lookup_client_name, self.client_address)
                self._name_lookup = self.loop.create_task(lookup)
        self.client_name = self.names.name
        self._record_tls(transport)
        self.server.add_session(self)
        self.connections = rate_limits.register_connection(self)
        if self.server.service.auth_required:
            counted = self._accepted.unauthenticated if self._accepted is not None else None
            self._unauthenticated = count_connection(self.client_address, self.disconnect, counted)

    def connection_lost(self, error: Exception | None) -> None:
        if self._name_lookup is not None:
            self._name_lookup.cancel()
        self.server.remove_session(self)
        rate_limits.unregister_connection(self)
        self.mark_authenticated()
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client may half-close the connection with commands still to be answered."""
        self._reader.feed_eof()
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """Move the deadline. One timer serves many commands: it is moved when it fires early, not at each command."""
        self._deadline = self.loop.time() + (duration or self._timeout_duration)
        if self._timeout_handle is None or self._timer_at > self._deadline:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._timer_at, self._timeout_handle = self._deadline, self.loop.call_at(self._deadline, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self.loop.time() < self._deadline:
            self._timer_at, self._timeout_handle = self._deadline, self.loop.call_at(self._deadline, self._timeout_cb)
            return
        self.reply(Reply(421, "4.4.2", f"{self.hostname} Error: timeout exceeded"))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def close_when_idle(self) -> None:
        """Shut down: an idle client gets 421 at once, a busy one after its command."""
        self._closing = True
        if not self._busy:
            self._send_closing()

    def _send_closing(self) -> None:
        self.reply(Reply(421, "4.3.2", f"{self.hostname} Service shutting down"))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def mark_authenticated(self) -> None:
        """Stop counting the connection as unauthenticated."""
        if self._unauthenticated is not None:
            self._unauthenticated.release()
            self._unauthenticated = None

    @property
    def is_idle(self) -> bool:
        """True if no command is being executed and no transaction has begun."""
        return not self._busy and self.transaction is None

    def disconnect(self, reason: str) -> None:
        """Close the connection with 421 and the reason."""
        self.reply(Reply(421, "4.7.0", f"{self.hostname} Error: {reason}"))
        self.flush()
        if self.transport is not None:
            self.transport.close()
        # A client that reads nothing would keep the connection open for the unsent data.
        self.loop.call_later(CLOSE_GRACE, self.abort)

    def abort(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    async def _handle_client(self) -> None:
        """Read commands and reply until the connection ends; pipelined commands are answered together (RFC 2920)."""
        try:
            if await self._greet():
                while not self._closing and (line := await self.next_line()) is not None:
                    self._reset_timeout()
                    self._busy = True
                    reply = await self._run_command(line)
                    self._busy = False
                    if reply is not None:
                        await self._send_reply(reply)
                if self._closing and self.transport is not None:
                    self._send_closing()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # The client has closed the connection; no message is left incomplete.
        finally:
            self.flush()
            if self.transport is not None:
                self.transport.close()

    async def _greet(self) -> bool:
        """Send the greeting. Return False if the client was rejected instead."""
        refusal = rate_limits.check_connection(self) or await self._pregreet()
        if refusal is not None:
            self.reply(refusal)
            return False
        parameters = conf.current()
        if not parameters.smtpd_delay_reject:
            await self.wait_for_client_name()
            verdict = await self.evaluate(accept.check_connection, RestrictionInput("CONNECT", self.client()))
            self.denied = not verdict.accepted
            if self.denied:
                self.errors += 1
                self.reply(verdict.reply)
                return True
        self.reply(Reply(220, "", parameters.smtpd_banner))
        return True

    async def _pregreet(self) -> Reply | None:
        """Reject a client that sends before the greeting (Postfix's pregreet test).

        With implicit TLS the first command may arrive with the end of the handshake, so there is no test.
        """
        parameters = conf.current()
        if self.server.service.implicit_tls:
            return None
        if parameters.smtpd_greet_wait and not self.has_input:
            try:
                async with asyncio.timeout(parameters.smtpd_greet_wait):
                    first = await self._reader.read(1)
            except TimeoutError:
                return None
            if not first:
                raise ConnectionAbortedError
            self._reader._buffer[:0] = first  # type: ignore[attr-defined]
        return self._check_pipelining("CONNECT")

    @property
    def has_input(self) -> bool:
        """True if there is unread input."""
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    def _check_pipelining(self, after: str) -> Reply | None:
        """Detect unauthorized pipelining after a command; return the rejection (smtpd_forbid_unauth_pipelining)."""
        if self.improper or not self.has_input:
            return None
        self.improper = True
        writer.write(self.server.service.name, f"improper command pipelining after {after} from {self.client_label}")
        return _SYNC_ERROR if conf.current().smtpd_forbid_unauth_pipelining else None

    @property
    def client_label(self) -> str:
        return f"{self.client_name}[{self.client_address}]"

    # --- Lines and replies ------------------------------------------------------------------------

    async def next_line(self) -> bytes | None:
        """Return the next command line without its line end, None if the client has closed its side."""
        if b"\n" not in self._reader._buffer:  # type: ignore[attr-defined]
            self.flush()
            await self._writer.drain()
        else:
            # 128 KB of pipelined commands may hold 20,000: give other connections their turns.
            await asyncio.sleep(0)
        limit = conf.current().line_length_limit
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            await self._skip_line()
            return b"\0"  # Answered with a syntax error.
        if len(line) > limit:
            return b"\0"
        return line.removesuffix(b"\n").removesuffix(b"\r")

    async def _skip_line(self) -> None:
        while True:
            try:
                await self._reader.readuntil(b"\n")
                return
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)

    async def read(self, size: int) -> bytes:
        """Return 1 to `size` bytes of content. Raise ConnectionAbortedError if the client has closed."""
        chunk = await self._reader.read(size)
        if not chunk:
            raise ConnectionAbortedError
        return chunk

    def push_back(self, data: bytes) -> None:
        """Return input after the content to the buffer: it is the next command."""
        self._reader._buffer[:0] = data  # type: ignore[attr-defined]

    def reset_deadline(self, seconds: float) -> None:
        """Move the client's deadline to `seconds` from now."""
        self._reset_timeout(seconds)

    async def _run_command(self, line: bytes) -> Reply | None:
        """Execute a command line; every exception in a command becomes a reply here."""
        try:
            verb, argument = grammar.split_line(line)
            command = COMMANDS.get(verb)
            if command is None:
                return self._unknown_command(verb)
            if self.denied and verb != "QUIT":
                return Reply(503, "5.7.0", f"Error: access denied for {self.client_label}")
            if self._must_encrypt and not command.allowed_before_tls:
                return Reply(530, "5.7.0", "Must issue a STARTTLS command first")
            if (command.ends_pipeline or not self.extended) and (refusal := self._check_pipelining(verb)) is not None:
                self.close_with(refusal)
            if command.junk:
                self._junk += 1
                if self._junk > conf.current().smtpd_junk_command_limit:
                    self.errors += 1
            return await command.run(self, argument)
        except SmtpSyntaxError as fault:
            return Reply(fault.code, fault.enhanced, fault.text)
        except TemporaryFault:
            return BUSY
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            raise
        except Exception:
            _logger.exception("unhandled exception in a command from %s", self.client_label)
            return Reply(451, "4.3.0", "Error: internal error")

    @property
    def _must_encrypt(self) -> bool:
        if self.tls or self.server.service.lmtp:
            return False
        return conf.current().smtpd_tls_security_level == "encrypt"

    def _unknown_command(self, verb: str) -> Reply:
        """Reply to an unknown command; disconnect web browsers and mail headers, which understand no rejection."""
        parameters = conf.current()
        if verb in map(str.upper, parameters.smtpd_noop_commands):
            return Reply(250, "2.0.0", "Ok")
        if verb in map(str.upper, parameters.smtpd_forbidden_commands) or grammar.is_header(verb):
            writer.write(self.server.service.name, f"warning: non-SMTP command from {self.client_label}: {verb[:100]}")
            self.close_with(Reply(221, "2.7.0", "Error: I can break rules, too. Goodbye."))
        return Reply(500, "5.5.2", "Error: command not recognized")

    async def _send_reply(self, reply: Reply) -> None:
        """Send a reply; slow down a client after too many errors."""
        parameters = conf.current()
        if reply.code >= 400:
            self.errors += 1
            if self.errors >= parameters.smtpd_soft_error_limit:
                await asyncio.sleep(parameters.smtpd_error_sleep_time)
        self.reply(reply)
        if self.errors >= parameters.smtpd_hard_error_limit:
            self.close_with(Reply(421, "4.7.0", f"{self.hostname} Error: too many errors"))

    def reply(self, reply: Reply) -> None:
        # Some replies quote the client: control characters are replaced, so that it cannot inject lines.
        self._replies.append(f"{_CONTROL.sub('?', str(reply))}\r\n".encode("utf-8", "replace"))

    def write_line(self, line: bytes) -> None:
        """Write a line that is not a Reply, such as a challenge."""
        self._replies.append(line)

    def close_with(self, reply: Reply) -> None:
        """Send the last reply; the connection is closed after the buffered output."""
        self.reply(reply)
        raise ConnectionAbortedError

    def flush(self) -> None:
        if self._replies and self.transport is not None:
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    # --- For commands -----------------------------------------------------------------------------

    @property
    def sender(self) -> str | None:
        """The sender given in MAIL, None before it."""
        return None if self.transaction is None else self.transaction.sender

    @property
    def protocol(self) -> str:
        """The protocol's name by RFC 3848."""
        if not self.extended:
            return "SMTP"
        base = "LMTP" if self.server.service.lmtp else "ESMTP"
        if self.transaction is not None and self.transaction.parameters.smtputf8:
            base = "UTF8" + base.removeprefix("E")
        return base + ("S" if self.tls else "") + ("A" if self.login else "")

    def client(self) -> Client:
        key = (self.names, self.helo, self.protocol, self.login, self.tls, self.method, self.improper)
        if key != self._client_key:
            self._client_key = key
            self._client = Client(
                self.client_address,
                self.client_name,
                self.helo,
                self.protocol,
                self.login,
                self.tls,
                port=self.client_port,
                reverse_name=self.names.reverse_name,
                name_trouble=self.names.name_trouble,
                reverse_trouble=self.names.reverse_trouble,
                method=self.method,
                certificate=self.certificate,
                improper=self.improper,
                service=self.server.service.name,
            )
        return self._client

    async def wait_for_client_name(self) -> None:
        """Wait for the lookup of the client's name, which was started at connect."""
        if self._name_lookup is not None:
            self.names, self._name_lookup = await self._name_lookup, None
            self.client_name = self.names.name

    async def evaluate(self, function: Callable[[RestrictionInput], Verdict], question: RestrictionInput) -> Verdict:
        """Evaluate a policy check, in a network thread if it may query other hosts."""
        executor = self.server.executor
        return await (executor.run_blocking_network if accept.needs_network() else executor.run_read)(
            function, question
        )

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Start TLS and reset the session (RFC 3207 §4.2).

        Cleartext input after STARTTLS is discarded: an attacker on the network could have injected it.
        """
        clear = cast(asyncio.Transport, self.transport)  # uvloop's is not a subclass of it.
        buffer = self._reader._buffer  # type: ignore[attr-defined]
        buffer.clear()
        self.flush()
        transport = await self.loop.start_tls(clear, self, context, server_side=True)
        assert transport is not None
        buffer.clear()
        self.transport = transport
        self._reader._transport = transport  # type: ignore[attr-defined]
        self._writer._transport = transport  # type: ignore[attr-defined]
        self.helo, self.extended, self.login, self.transaction = "", False, "", None
        self._record_tls(transport)

    def _record_tls(self, transport: asyncio.BaseTransport) -> None:
        """Record the TLS parameters of the connection, if it has TLS."""
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        name, _, bits = tls.cipher()
        self.tls = f"{tls.version()} with cipher {name} ({bits}/{bits} bits)"
        certificate = tls.getpeercert(binary_form=True)
        self.certificate = hashlib.sha256(certificate).digest().hex(":").upper() if certificate else ""
