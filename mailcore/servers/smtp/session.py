"""One SMTP or LMTP connection: lines in, replies out (RFC 5321 §2.3, §4.5.3; pipelining RFC 2920).

Built on aiosmtpd's SMTP: the connection's life (start, time-outs, end) is its; the grammar is
`wire.smtp`'s. What a command does is in `commands`, a message's commands in `transaction`. A session holds
no message: what is not committed when the connection ends is gone, and the client knows.
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
from mailcore.servers.transport.unauthenticated import LAST_WORDS, Stranger
from mailcore.values import Client, Reply, TemporaryFault, Verdict
from mailcore.wire import smtp_commands as grammar
from mailcore.wire.smtp_commands import SmtpSyntaxError

if TYPE_CHECKING:
    from mailcore.servers.smtp.smtp_server import SmtpServer
    from mailcore.servers.transport.proxy_protocol import ProxyHeader

_logger = logging.getLogger("mailcore.smtpd")

CHUNK = 65536
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
BUSY = Reply(451, "4.3.0", "Error: queue file write error")
_OUT_OF_STEP = Reply(554, "5.5.0", "Error: SMTP protocol synchronization")
_LOOPBACK = ("127.0.0.1", "::1")
_LOCALHOST = PeerName("localhost", "localhost")


class SmtpSession(SMTP):
    """What `commands` and `transaction` see of a connection; `proxied` is what a trusted proxy said of it."""

    def __init__(
        self, server: "SmtpServer", loop: asyncio.AbstractEventLoop, proxied: "ProxyHeader | None" = None
    ) -> None:
        # aiosmtpd's own __init__ goes through all attributes in search of handlers that we do not have, which
        # costs more (0.3 ms) than the rest of a short session; these are what the connection's life needs of it.
        asyncio.StreamReaderProtocol.__init__(
            self, asyncio.StreamReader(CHUNK, loop), client_connected_cb=self._cb_client_connected, loop=loop
        )
        self.loop = loop
        self.hostname = conf.current().myhostname
        self.transport: asyncio.BaseTransport | None = None
        self._timeout_duration = conf.current().smtpd_timeout
        self._timeout_handle: asyncio.TimerHandle | None = None
        self._rings = self._deadline = 0.0  # loop's time: of the timer, and when the client has been silent too long
        self._original_transport = None
        self._handler_coroutine = None
        self.server = server
        self.helo = ""
        self.extended = False
        self.login = ""
        self.method = ""  # of AUTH
        self.tls = ""  # "TLSv1.3 with cipher …"; "" in the clear
        self.certificate = ""  # SHA-256 fingerprint of the client's, "" where it showed none
        self.transaction: Transaction | None = None  # from MAIL on
        self.errors = 0
        self.denied = False  # smtpd_client_restrictions refused the client at once
        self.improper = False  # commands came before the client could know that it may send them
        self._proxied = proxied
        self._naming: asyncio.Task[PeerName] | None = None
        self._junk = 0
        self._replies: list[bytes] = []
        self._busy = False  # a command is being carried out
        self._known: tuple[object, ...] = ()  # what `_client` was made of
        self._client = Client("")
        self._closing = False
        self._stranger: Stranger | None = None  # nobody has signed in, where one must

    # --- The connection's life --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        if self._proxied is not None:
            peer = (self._proxied.source, self._proxied.source_port)
        self.client_address, self.client_port = peer[:2] if isinstance(peer, tuple) and peer else ("127.0.0.1", 0)
        self.names, self._naming = _LOCALHOST, None
        if self.client_address not in _LOOPBACK:
            self.names = PeerName()
            if accept.needs_client_names():
                asked = self.server.executor.run_blocking_network(resolver.lookup_client_name, self.client_address)
                self._naming = self.loop.create_task(asked)
        self.client_name = self.names.name
        self._secured(transport)
        self.server.sessions.add(self)
        self.connections = rate_limits.register_connection(self)
        if self.server.service.auth_required:
            self._stranger = Stranger(self.client_address, self._turn_away)

    def connection_lost(self, error: Exception | None) -> None:
        if self._naming is not None:
            self._naming.cancel()
        self.server.sessions.discard(self)
        rate_limits.unregister_connection(self)
        self.is_known()
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client may have closed its side with commands still to be answered."""
        self._reader.feed_eof()
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is None

    def _reset_timeout(self, duration: float | None = None) -> None:
        """One timer serves many commands: it is moved when it rings too early, not at each command."""
        self._deadline = self.loop.time() + (duration or self._timeout_duration)
        if self._timeout_handle is None or self._rings > self._deadline:
            if self._timeout_handle is not None:
                self._timeout_handle.cancel()
            self._rings, self._timeout_handle = self._deadline, self.loop.call_at(self._deadline, self._timeout_cb)

    def _timeout_cb(self) -> None:
        if self.loop.time() < self._deadline:
            self._rings, self._timeout_handle = self._deadline, self.loop.call_at(self._deadline, self._timeout_cb)
            return
        self.reply(Reply(421, "4.4.2", f"{self.hostname} Error: timeout exceeded"))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def close_when_idle(self) -> None:
        """The server stops: an idle client is told at once, a busy one after its command."""
        self._closing = True
        if not self._busy:
            self._say_closing()

    def _say_closing(self) -> None:
        self.reply(Reply(421, "4.3.2", f"{self.hostname} Service shutting down"))
        self.flush()
        if self.transport is not None:
            self.transport.close()

    def is_known(self) -> None:
        """Somebody has signed in, or the connection has ended."""
        if self._stranger is not None:
            self._stranger.release()
            self._stranger = None

    def _turn_away(self, reason: str) -> None:
        self.reply(Reply(421, "4.7.0", f"{self.hostname} Error: {reason}"))
        self.flush()
        if self.transport is not None:
            self.transport.close()
        # A client that reads nothing would keep it open for what is still to be sent.
        self.loop.call_later(LAST_WORDS, self.abort)

    def abort(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()

    async def _handle_client(self) -> None:
        """The loop: a line in, its command's reply out; several lines that came together are answered
        together (RFC 2920)."""
        try:
            if await self._greet():
                while not self._closing and (line := await self.next_line()) is not None:
                    self._reset_timeout()
                    self._busy = True
                    reply = await self._run_command(line)
                    self._busy = False
                    if reply is not None:
                        await self._answer(reply)
                if self._closing and self.transport is not None:
                    self._say_closing()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client is gone, and no message of it was left half way
        finally:
            self.flush()
            if self.transport is not None:
                self.transport.close()

    async def _greet(self) -> bool:
        """The first reply; False: it was no greeting."""
        refusal = rate_limits.check_connection(self) or await self._pregreet()
        if refusal is not None:
            self.reply(refusal)
            return False
        parameters = conf.current()
        if not parameters.smtpd_delay_reject:
            await self.wait_for_client_name()
            verdict = await self.ask(accept.check_connection, RestrictionInput("CONNECT", self.client()))
            self.denied = not verdict.accepted
            if self.denied:
                self.errors += 1
                self.reply(verdict.reply)
                return True
        self.reply(Reply(220, "", parameters.smtpd_banner))
        return True

    async def _pregreet(self) -> Reply | None:
        """A client that talks before it was greeted does not listen either. Under TLS it has every right to:
        its first command may come with the last of the handshake."""
        parameters = conf.current()
        if self.server.service.implicit_tls:
            return None
        if parameters.smtpd_greet_wait and not self.waiting:
            try:
                async with asyncio.timeout(parameters.smtpd_greet_wait):
                    first = await self._reader.read(1)
            except TimeoutError:
                return None
            if not first:
                raise ConnectionAbortedError
            self._reader._buffer[:0] = first  # type: ignore[attr-defined]
        return self._is_unauthorized_pipelining("CONNECT")

    @property
    def waiting(self) -> bool:
        """Has the client sent more than what was read?"""
        return bool(self._reader._buffer)  # type: ignore[attr-defined]

    def _is_unauthorized_pipelining(self, after: str) -> Reply | None:
        """Was something sent before the answer that it depends on? (smtpd_forbid_unauth_pipelining)"""
        if self.improper or not self.waiting:
            return None
        self.improper = True
        writer.write(self.server.service.name, f"improper command pipelining after {after} from {self.client_label}")
        return _OUT_OF_STEP if conf.current().smtpd_forbid_unauth_pipelining else None

    @property
    def client_label(self) -> str:
        return f"{self.client_name}[{self.client_address}]"

    # --- Lines and replies ------------------------------------------------------------------------

    async def next_line(self) -> bytes | None:
        """The next command line without its line end; None when the client has no more to say."""
        if b"\n" not in self._reader._buffer:  # type: ignore[attr-defined]
            self.flush()
            await self._writer.drain()
        else:
            # 128 KB of commands sent ahead may hold 20,000 that wait for nothing: other connections get their turns.
            await asyncio.sleep(0)
        limit = conf.current().line_length_limit
        try:
            line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return None
        except asyncio.LimitOverrunError:
            await self._skip_line()
            return b"\0"  # answered as bad syntax
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
        """Content: some bytes, `size` at most. ConnectionAbortedError: the client is gone."""
        chunk = await self._reader.read(size)
        if not chunk:
            raise ConnectionAbortedError
        return chunk

    def push_back(self, octets: bytes) -> None:
        """What came behind the content is the next command."""
        self._reader._buffer[:0] = octets  # type: ignore[attr-defined]

    def reset_deadline(self, seconds: float) -> None:
        """The client has so long from now on."""
        self._reset_timeout(seconds)

    async def _run_command(self, line: bytes) -> Reply | None:
        """The one funnel: whatever goes wrong in a command becomes a reply here."""
        try:
            verb, argument = grammar.split_line(line)
            command = COMMANDS.get(verb)
            if command is None:
                return self._unknown(verb)
            if self.denied and verb != "QUIT":
                return Reply(503, "5.7.0", f"Error: access denied for {self.client_label}")
            if self._must_encrypt and not command.clear:
                return Reply(530, "5.7.0", "Must issue a STARTTLS command first")
            if (command.last or not self.extended) and (refusal := self._is_unauthorized_pipelining(verb)) is not None:
                self.close_with(refusal)
            if command.junk:
                self._junk += 1
                if self._junk > conf.current().smtpd_junk_command_limit:
                    self.errors += 1
            return await command.obey(self, argument)
        except SmtpSyntaxError as fault:
            return Reply(fault.code, fault.enhanced, fault.text)
        except TemporaryFault:
            return BUSY
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            raise
        except Exception:
            _logger.exception("in a command from %s", self.client_label)
            return Reply(451, "4.3.0", "Error: internal error")

    @property
    def _must_encrypt(self) -> bool:
        if self.tls or self.server.service.lmtp:
            return False
        return conf.current().smtpd_tls_security_level == "encrypt"

    def _unknown(self, verb: str) -> Reply:
        """A web browser or a mail header has come to the wrong place, and will not understand a refusal."""
        parameters = conf.current()
        if verb in map(str.upper, parameters.smtpd_noop_commands):
            return Reply(250, "2.0.0", "Ok")
        if verb in map(str.upper, parameters.smtpd_forbidden_commands) or grammar.is_header(verb):
            writer.write(self.server.service.name, f"warning: non-SMTP command from {self.client_label}: {verb[:100]}")
            self.close_with(Reply(221, "2.7.0", "Error: I can break rules, too. Goodbye."))
        return Reply(500, "5.5.2", "Error: command not recognized")

    async def _answer(self, reply: Reply) -> None:
        """Reply, and be slow with those who only make errors."""
        parameters = conf.current()
        if reply.code >= 400:
            self.errors += 1
            if self.errors >= parameters.smtpd_soft_error_limit:
                await asyncio.sleep(parameters.smtpd_error_sleep_time)
        self.reply(reply)
        if self.errors >= parameters.smtpd_hard_error_limit:
            self.close_with(Reply(421, "4.7.0", f"{self.hostname} Error: too many errors"))

    def reply(self, reply: Reply) -> None:
        # Some replies say what the client said: it writes no lines, and no control characters, of its own.
        self._replies.append(f"{_CONTROL.sub('?', str(reply))}\r\n".encode("utf-8", "replace"))

    def write_line(self, line: bytes) -> None:
        """A line that is no Reply, such as a challenge."""
        self._replies.append(line)

    def close_with(self, reply: Reply) -> None:
        """The last reply: the loop closes the connection after what is buffered."""
        self.reply(reply)
        raise ConnectionAbortedError

    def flush(self) -> None:
        if self._replies and self.transport is not None:
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    # --- What commands ask ------------------------------------------------------------------------

    @property
    def sender(self) -> str | None:
        """The sender MAIL named, None before it."""
        return None if self.transaction is None else self.transaction.sender

    @property
    def protocol(self) -> str:
        """RFC 3848's word for how this session speaks."""
        if not self.extended:
            return "SMTP"
        base = "LMTP" if self.server.service.lmtp else "ESMTP"
        if self.transaction is not None and self.transaction.parameters.smtputf8:
            base = "UTF8" + base.removeprefix("E")
        return base + ("S" if self.tls else "") + ("A" if self.login else "")

    def client(self) -> Client:
        known = (self.names, self.helo, self.protocol, self.login, self.tls, self.method, self.improper)
        if known != self._known:
            self._known = known
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
        """Wait until the client's name is known; the question was asked when it came."""
        if self._naming is not None:
            self.names, self._naming = await self._naming, None
            self.client_name = self.names.name

    async def ask(self, function: Callable[[RestrictionInput], Verdict], question: RestrictionInput) -> Verdict:
        """A question for `post.accept`: where it asks others in its turn, not while everybody waits."""
        executor = self.server.executor
        return await (executor.run_blocking_network if accept.needs_network() else executor.run_read)(
            function, question
        )

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Go on under TLS as if nothing had been said before (RFC 3207 §4.2), not even by somebody between:
        what came in the clear behind STARTTLS is forgotten."""
        clear = cast(asyncio.Transport, self.transport)  # uvloop's is no subclass of it
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
        self._secured(transport)

    def _secured(self, transport: asyncio.BaseTransport) -> None:
        """What is known of the connection's TLS, if there is any."""
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return
        name, _, bits = tls.cipher()
        self.tls = f"{tls.version()} with cipher {name} ({bits}/{bits} bits)"
        shown = tls.getpeercert(binary_form=True)
        self.certificate = hashlib.sha256(shown).digest().hex(":").upper() if shown else ""
