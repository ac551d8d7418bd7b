"""One SMTP or LMTP conversation (RFC 5321, 2033; extensions 1870, 2034, 2920, 3030, 3207, 3461, 4954, 6152, 6531).

Built on aiosmtpd's SMTP: the connection's life (start, time-outs, end) is its; the grammar is
`wire.smtp`'s, decisions are `post.accept`'s, and content goes through `content.Reception` to the queue.
A session holds no letter: what is not committed when the connection ends is gone, and the client knows.
"""

import asyncio
import logging
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from aiosmtpd.smtp import SMTP

from mailcore import conf, log
from mailcore.post import accept
from mailcore.servers.smtp.authentication import SEND_HELO, authenticate
from mailcore.servers.smtp.content import Reception
from mailcore.terms import Client, Letter, LetterRecipient, Reply, TemporaryFault, Verdict
from mailcore.wire import smtp as grammar
from mailcore.wire import trace
from mailcore.wire.smtp import DotStream, SyntaxFault

if TYPE_CHECKING:
    from mailcore.servers.smtp.server import SmtpServer

_logger = logging.getLogger("mailcore.smtpd")

_OK = Reply(250, "2.0.0", "Ok")
_BYE = Reply(221, "2.0.0", "Bye")
_BUSY = Reply(451, "4.3.0", "Error: queue file write error")
_CHUNK = 65536


class SmtpSession(SMTP):
    """The commands are the methods named in `_COMMANDS`; each gets the argument and returns the reply."""

    line_length_limit = _CHUNK  # of the reader: flow control; command lines have conf's limit

    def __init__(self, server: "SmtpServer", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            data_size_limit=None,
            enable_SMTPUTF8=True,
            hostname=conf.current().myhostname,
            timeout=conf.current().smtpd_timeout,
            loop=loop,
        )
        self.server = server
        self.helo = ""
        self.extended = False
        self.login = ""
        self.errors = 0
        self.letters = 0
        self._replies: list[bytes] = []
        self._busy = False  # a command is being carried out
        self._closing = False
        self._reset()

    # --- The connection's life --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self.client_address = str(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"
        self.client_name = "localhost" if self.client_address in ("127.0.0.1", "::1") else "unknown"
        self.server.sessions.add(self)
        self.server.connections[self.client_address] += 1

    def connection_lost(self, error: Exception | None) -> None:
        self.server.sessions.discard(self)
        self.server.connections[self.client_address] -= 1
        if not self.server.connections[self.client_address]:
            del self.server.connections[self.client_address]
        super().connection_lost(error)

    def eof_received(self) -> bool:
        """The client may have closed its side with commands still to be answered."""
        self._reader.feed_eof()
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is None

    def _timeout_cb(self) -> None:
        self._reply(Reply(421, "4.4.2", f"{self.hostname} Error: timeout exceeded"))
        self._flush()
        if self.transport is not None:
            self.transport.close()

    def shut_down(self) -> None:
        """The server stops: an idle client is told at once, a busy one after its command."""
        self._closing = True
        if not self._busy:
            self._say_closing()

    def _say_closing(self) -> None:
        self._reply(Reply(421, "4.3.2", f"{self.hostname} Service shutting down"))
        self._flush()
        if self.transport is not None:
            self.transport.close()

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
                    reply = await self._obey(line)
                    self._busy = False
                    if reply is not None:
                        self._count_errors(reply)
                        self._reply(reply)
                        if self.errors > conf.current().smtpd_soft_error_limit:
                            await asyncio.sleep(conf.current().smtpd_error_sleep_time)
                if self._closing and self.transport is not None:
                    self._say_closing()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # the client is gone, and no letter of it was left half way
        finally:
            self._flush()
            if self.transport is not None:
                self.transport.close()

    async def _greet(self) -> bool:
        parameters = conf.current()
        limit = parameters.smtpd_client_connection_count_limit
        if limit and self.server.connections[self.client_address] > limit:
            log.write(self.server.service.name, f"warning: Connection concurrency limit exceeded: {self.who}")
            self._reply(Reply(421, "4.7.0", f"{self.hostname} Error: too many connections from {self.client_address}"))
            return False
        self._reply(Reply(220, "", parameters.smtpd_banner))
        return True

    @property
    def who(self) -> str:
        return f"{self.client_name}[{self.client_address}]"

    async def next_line(self) -> bytes | None:
        """The next command line without its line end; None when the client has no more to say."""
        if b"\n" not in self._reader._buffer:  # type: ignore[attr-defined]
            self._flush()
            await self._writer.drain()
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
        return line.rstrip(b"\r\n")

    async def _skip_line(self) -> None:
        while True:
            try:
                await self._reader.readuntil(b"\n")
                return
            except asyncio.LimitOverrunError as error:
                await self._reader.readexactly(error.consumed)

    async def _obey(self, line: bytes) -> Reply | None:
        """The one funnel: whatever goes wrong in a command becomes a reply here."""
        try:
            verb, argument = grammar.split_line(line)
            command = _COMMANDS.get(verb)
            if command is None:
                return Reply(502, "5.5.2", "Error: command not recognized")
            return await command(self, argument)
        except SyntaxFault as fault:
            return Reply(fault.code, fault.enhanced, fault.text)
        except TemporaryFault:
            return _BUSY
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            raise
        except Exception:
            _logger.exception("in a command from %s", self.who)
            return Reply(451, "4.3.0", "Error: internal error")

    def _count_errors(self, reply: Reply) -> None:
        if reply.code < 400:
            return
        self.errors += 1
        if reply.code != 421 and self.errors > conf.current().smtpd_hard_error_limit:
            self._reply(reply)
            self._reply(Reply(421, "4.7.0", f"{self.hostname} Error: too many errors"))
            raise ConnectionAbortedError

    def _reply(self, reply: Reply) -> None:
        self._replies.append(f"{reply}\r\n".encode("utf-8", "surrogateescape"))

    def say(self, line: bytes) -> None:
        """A line that is no Reply, such as a challenge."""
        self._replies.append(line)

    def _flush(self) -> None:
        if self._replies and self.transport is not None:
            self._writer.write(b"".join(self._replies))
        self._replies.clear()

    # --- Greeting and small commands --------------------------------------------------------------

    async def _helo(self, name: str) -> Reply:
        if self.server.service.lmtp:
            return Reply(502, "5.5.1", "Error: command not implemented")
        if not name:
            return Reply(501, "", "Syntax: HELO hostname")
        self.helo, self.extended = name, False
        self._reset()
        return Reply(250, "", self.hostname)

    async def _ehlo(self, name: str) -> Reply | None:
        verb = "LHLO" if self.server.service.lmtp else "EHLO"
        if not name:
            return Reply(501, "", f"Syntax: {verb} hostname")
        self.helo, self.extended = name, True
        self._reset()
        words = [self.hostname, *self._extensions()]
        self._replies += [f"250-{word}\r\n".encode() for word in words[:-1]]
        self._replies.append(f"250 {words[-1]}\r\n".encode())
        return None

    def _extensions(self) -> list[str]:
        """In Postfix's order."""
        parameters = conf.current()
        words = ["PIPELINING", f"SIZE {parameters.message_size_limit}"]
        if not parameters.disable_vrfy_command:
            words.append("VRFY")
        if self.server.tls_context is not None and not self.tls:
            words.append("STARTTLS")
        if self.auth_offered:
            words.append("AUTH PLAIN LOGIN")
        return [*words, "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8", "CHUNKING"]

    @property
    def tls(self) -> str:
        """ "TLSv1.3 with cipher …"; "" in the clear."""
        tls = self.transport.get_extra_info("ssl_object") if self.transport is not None else None
        if tls is None:
            return ""
        name, _, bits = tls.cipher()
        return f"{tls.version()} with cipher {name} ({bits}/{bits} bits)"

    @property
    def auth_offered(self) -> bool:
        parameters = conf.current()
        if not parameters.smtpd_sasl_auth_enable or self.server.service.lmtp:
            return False
        return bool(self.tls) or not parameters.smtpd_tls_auth_only

    async def _noop(self, _: str) -> Reply:
        return _OK

    async def _rset(self, _: str) -> Reply:
        self._reset()
        return _OK

    async def _quit(self, _: str) -> None:
        self._reply(_BYE)
        raise ConnectionAbortedError  # the loop closes the connection after what is buffered

    async def _help(self, _: str) -> Reply:
        return Reply(214, "2.0.0", " ".join(_COMMANDS))

    async def _vrfy(self, argument: str) -> Reply:
        if conf.current().disable_vrfy_command:
            return Reply(502, "5.5.1", "VRFY command is disabled")
        if not argument:
            return Reply(501, "5.5.4", "Syntax: VRFY address [SMTPUTF8]")
        path = grammar.parse_path(f"TO:{argument.removesuffix(' SMTPUTF8')}", "TO")
        verdict = await self._verdict(path.address)
        return Reply(252, "2.0.0", path.address) if verdict.accepted else verdict.reply

    async def _starttls(self, argument: str) -> Reply | None:
        if argument:
            return Reply(501, "5.5.4", "Syntax: no parameters allowed")
        if self.tls:
            return Reply(554, "5.5.1", "Error: TLS already active")
        if self.server.tls_context is None:
            return Reply(502, "5.5.1", "Error: command not implemented")
        clear = cast(asyncio.Transport, self.transport)  # uvloop's is no subclass of it
        # Whatever came in the clear behind STARTTLS is forgotten (RFC 3207 §4.2: injection).
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self._reply(Reply(220, "2.0.0", "Ready to start TLS"))
        self._flush()
        transport = await self.loop.start_tls(clear, self, self.server.tls_context, server_side=True)
        assert transport is not None
        self._reader._buffer.clear()  # type: ignore[attr-defined]
        self.transport = transport
        self._reader._transport = transport  # type: ignore[attr-defined]
        self._writer._transport = transport  # type: ignore[attr-defined]
        self.helo, self.extended, self.login = "", False, ""
        self._reset()
        return None

    # --- The letter -------------------------------------------------------------------------------

    def _reset(self) -> None:
        self.sender: str | None = None
        self.mail_parameters: dict[str, str] = {}
        self.recipients: list[tuple[LetterRecipient, str]] = []  # with Verdict.final
        self.reception: Reception | None = None  # between BDAT chunks

    async def _mail(self, argument: str) -> Reply:
        if not self.helo and (conf.current().smtpd_helo_required or self.server.service.lmtp):
            return SEND_HELO
        if self.sender is not None:
            return Reply(503, "5.5.1", "Error: nested MAIL command")
        if self.server.service.auth_required and not self.login:
            return Reply(530, "5.7.0", "Authentication required")
        path = grammar.parse_path(argument, "FROM")
        refusal = self._check_mail_parameters(path.parameters)
        if refusal is not None:
            return refusal
        self.sender, self.mail_parameters = path.address, path.parameters
        return Reply(250, "2.1.0", "Ok")

    def _check_mail_parameters(self, given: dict[str, str]) -> Reply | None:
        for name, value in given.items():
            match name:
                case "SIZE" if value.isdigit() and len(value) < 19:
                    refusal = accept.sender_size(int(value))
                    if refusal is not None:
                        return refusal
                case "BODY" if value.upper() in ("7BIT", "8BITMIME"):
                    pass
                case "SMTPUTF8" if not value:
                    pass
                case "RET" if value.upper() in ("FULL", "HDRS"):
                    pass
                case "ENVID" if value and len(value) <= 100:
                    grammar.decode_xtext(value)
                case "AUTH" if value:
                    pass  # RFC 4954 §5: who first handed it in; we say it of our own users only
                case "SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH":
                    return Reply(501, "5.5.4", f"Bad parameter: {name}")
                case _:
                    return Reply(555, "5.5.4", f"Unsupported option: {name}")
        return None

    async def _rcpt(self, argument: str) -> Reply:
        if self.sender is None:
            return Reply(503, "5.5.1", "Error: need MAIL command")
        path = grammar.parse_path(argument, "TO")
        notify, orcpt = path.parameters.pop("NOTIFY", ""), path.parameters.pop("ORCPT", "")
        if path.parameters:
            return Reply(555, "5.5.4", f"Unsupported option: {next(iter(path.parameters))}")
        _check_notify(notify)
        if len(self.recipients) >= conf.current().smtpd_recipient_limit:
            return Reply(452, "4.5.3", "Error: too many recipients")
        verdict = await self._verdict(path.address)
        if not verdict.accepted:
            log.write(
                self.server.service.name,
                f"NOQUEUE: reject: RCPT from {self.who}: {verdict.reply};"
                f" from=<{self.sender}> to=<{path.address}> proto={self._protocol} helo=<{self.helo}>",
            )
            return verdict.reply
        self.recipients.append((LetterRecipient(path.address, notify.upper(), orcpt), verdict.final))
        return verdict.reply

    async def _verdict(self, address: str) -> Verdict:
        size = int(self.mail_parameters.get("SIZE", "0"))
        return await self.server.bridge.read(accept.recipient, self._client(), self.sender or "", address, size)

    @property
    def _protocol(self) -> str:
        """RFC 3848's word for how this session speaks."""
        if not self.extended:
            return "SMTP"
        base = "LMTP" if self.server.service.lmtp else "ESMTP"
        if "SMTPUTF8" in self.mail_parameters:
            base = "UTF8" + base.removeprefix("E")
        return base + ("S" if self.tls else "") + ("A" if self.login else "")

    def _client(self) -> Client:
        return Client(self.client_address, self.client_name, self.helo, self._protocol, self.login, self.tls)

    def _not_ready(self) -> Reply | None:
        if self.sender is None:
            return Reply(503, "5.5.1", "Error: need RCPT command")
        if not self.recipients:
            return Reply(554, "5.5.1", "Error: no valid recipients")
        return None

    async def _data(self, argument: str) -> Reply | None:
        refusal = self._not_ready()
        if refusal is not None:
            return refusal
        if argument:
            return Reply(501, "5.5.4", "Syntax: DATA")
        if self.reception is not None:
            return Reply(503, "5.5.1", "Error: DATA after BDAT")
        reception = self._receive()
        self._reply(Reply(354, "", "End data with <CR><LF>.<CR><LF>"))
        self._flush()
        stream = DotStream()
        try:
            while not stream.ended:
                chunk = await self._reader.read(_CHUNK)
                if not chunk:
                    raise ConnectionAbortedError
                self._reset_timeout()
                await reception.add(stream.feed(chunk))
        except BaseException:
            reception.file.discard()
            raise
        # What came behind the dot is the next command.
        self._reader._buffer[:0] = stream.rest  # type: ignore[attr-defined]
        reception.bare = stream.bare
        return await self._end_of_data(reception)

    async def _bdat(self, argument: str) -> Reply | None:
        """RFC 3030: chunks of a size said beforehand; binary content is not offered."""
        size, _, last = argument.partition(" ")
        if not size.isdigit() or len(size) > 15 or last.upper() not in ("", "LAST"):
            return Reply(501, "5.5.4", "Syntax: BDAT count [LAST]")
        refusal = self._not_ready()
        reception = None if refusal else self.reception or self._receive()
        self.reception = reception
        left = int(size)
        try:
            while left:
                chunk = await self._reader.read(min(left, _CHUNK))
                if not chunk:
                    raise ConnectionAbortedError
                self._reset_timeout()
                left -= len(chunk)
                if reception is not None:
                    await reception.add(chunk)
        except BaseException:
            if reception is not None:
                reception.file.discard()
            raise
        if reception is None:
            return refusal
        if not last:
            return Reply(250, "2.0.0", f"Ok: {size} bytes")
        return await self._end_of_data(reception)

    def _receive(self) -> Reception:
        """Begin the content file with the trace headers that are certain already: for a letter with one
        recipient whose mailbox is known, its file can go into the Maildir as it is."""
        parameters = conf.current()
        reception = Reception(self.server.bridge, parameters.message_size_limit)
        self.received_at = time.time()
        only, final = self.recipients[0] if len(self.recipients) == 1 else (None, "")
        self.local_trace = trace.local(self.sender or "", only.given, final) if only and final else b""
        self.final = final
        received = trace.received(
            helo=self.helo,
            client_name=self.client_name,
            client_address=self.client_address,
            hostname=parameters.myhostname,
            mail_name=parameters.mail_name,
            protocol=self._protocol,
            queue_id=reception.queue_id,
            recipient=only.address if only else "",
            at=self.received_at,
            tls=self.tls,
            login=self.login,
        )
        reception.begin(self.local_trace + received)
        return reception

    async def _end_of_data(self, reception: Reception) -> Reply | None:
        recipients = [recipient for recipient, _ in self.recipients]
        try:
            reply = await self._take_in(reception)
        except TemporaryFault:
            reply = _BUSY
        self._reset()
        if self.server.service.lmtp:
            # RFC 2033 §4.2: one reply for each recipient that was accepted.
            for _ in recipients[1:]:
                self._reply(reply)
        return reply

    async def _take_in(self, reception: Reception) -> Reply:
        refusal = reception.refusal() or self._mail_loop(reception)
        if refusal is not None:
            await reception.discard()
            log.write(
                self.server.service.name,
                f"{reception.queue_id}: reject: END-OF-MESSAGE from {self.who}: {refusal}; from=<{self.sender}>",
            )
            return refusal
        letter = self._letter(reception)
        # Not to be interrupted: a letter is either in the queue, or its file is gone.
        await asyncio.shield(self.server.committer.take_in(reception.file, letter))
        self.letters += 1
        log.write(
            self.server.service.name,
            f"{letter.queue_id}: client={self.who}"
            + (f", sasl_method=PLAIN, sasl_username={self.login}" if self.login else ""),
            f"{letter.queue_id}: message-id=<{letter.message_id}>",
            f"{letter.queue_id}: from=<{letter.sender}>, size={letter.size},"
            f" nrcpt={len(letter.recipients)} (queue active)",
        )
        return Reply(250, "2.0.0", f"Ok: queued as {letter.queue_id}")

    def _mail_loop(self, reception: Reception) -> Reply | None:
        if self.final and self.final in trace.delivered_to(reception.header()):
            return Reply(554, "5.4.6", f"mail forwarding loop for {self.final}")
        return None

    def _letter(self, reception: Reception) -> Letter:
        given = self.mail_parameters
        return Letter(
            id=reception.id,
            sender=self.sender or "",
            recipients=tuple(recipient for recipient, _ in self.recipients),
            size=reception.file.size - len(self.local_trace),
            received_us=int(self.received_at * 1_000_000),
            client=self._client(),
            trace_size=len(self.local_trace),
            message_id=trace.message_id(reception.header()),
            envelope_id=grammar.decode_xtext(given.get("ENVID", "")),
            return_full=given["RET"].upper() == "FULL" if "RET" in given else None,
            eight_bit=given.get("BODY", "").upper() == "8BITMIME",
            smtputf8="SMTPUTF8" in given,
        )


def _check_notify(value: str) -> None:
    words = value.upper().split(",") if value else []
    if words == ["NEVER"] or not words:
        return
    if len(set(words)) != len(words) or not set(words) <= {"SUCCESS", "FAILURE", "DELAY"}:
        raise SyntaxFault("5.5.4", "Error: Bad NOTIFY parameter syntax")


_Command = Callable[[SmtpSession, str], Awaitable[Reply | None]]
_COMMANDS: dict[str, _Command] = {
    "HELO": SmtpSession._helo,
    "EHLO": SmtpSession._ehlo,
    "LHLO": SmtpSession._ehlo,
    "STARTTLS": SmtpSession._starttls,
    "AUTH": authenticate,
    "MAIL": SmtpSession._mail,
    "RCPT": SmtpSession._rcpt,
    "DATA": SmtpSession._data,
    "BDAT": SmtpSession._bdat,
    "RSET": SmtpSession._rset,
    "NOOP": SmtpSession._noop,
    "VRFY": SmtpSession._vrfy,
    "HELP": SmtpSession._help,
    "QUIT": SmtpSession._quit,
}
