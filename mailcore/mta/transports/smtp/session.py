"""One SMTP connection to one host: greeting, EHLO, STARTTLS (RFC 3207), AUTH (RFC 4954), commands and replies."""

import asyncio
import base64
import contextlib
import hmac
import ssl
from collections.abc import Sequence
from time import monotonic

from mailcore import conf
from mailcore.mta.transports.smtp import tls_policy as tls
from mailcore.mta.transports.smtp.job import DeliveryJob
from mailcore.mta.transports.smtp.mx import MxHost
from mailcore.mta.transports.smtp.stream import ConnectionClosed, LineStream
from mailcore.mta.transports.smtp.tls_policy import TlsPolicy
from mailcore.values import Outcome, deferred_outcome, failed_outcome
from mailcore.wire import smtp_replies
from mailcore.wire.smtp_replies import SmtpReply


class HostRefused(Exception):
    """The host does not accept mail from us now, or must not get it; `talked` if it replied so itself."""

    def __init__(self, outcome: Outcome, *, talked: bool = True) -> None:
        super().__init__(outcome.text)
        self.outcome, self.talked = outcome, talked


class ConnectionLost(Exception):
    """The connection was lost.

    `after_content`: the host had the whole message already and may have accepted it.
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.text)
        self.outcome = outcome
        self.after_content = False


class _TlsFailed(Exception):
    pass


async def open_session(peer: MxHost, next_hop: str, job: DeliveryJob) -> "Session":
    """Return a session that is ready for messages. Raise HostRefused."""
    if job.policy.problem:
        raise HostRefused(deferred_outcome("4.7.5", "client TLS configuration problem"), talked=False)
    try:
        return await _open_connection(peer, next_hop, job, job.policy.level)
    except _TlsFailed as broken:
        if job.policy.mandatory:
            raise HostRefused(
                deferred_outcome("4.7.5", f"Cannot start TLS with {peer.label}: {broken}", peer.relay)
            ) from broken
    except ConnectionLost as lost:
        raise HostRefused(lost.outcome, talked=False) from lost
    try:
        return await _open_connection(peer, next_hop, job, "none")
    except ConnectionLost as lost:
        raise HostRefused(lost.outcome, talked=False) from lost


async def _open_connection(peer: MxHost, next_hop: str, job: DeliveryJob, level: str) -> "Session":
    parameters = conf.current()
    context = None
    if level != "none":
        try:
            context = tls.client_context(parameters.smtp_tls_CAfile, verify=job.policy.verifies_certificate)
        except (OSError, ssl.SSLError) as error:
            raise HostRefused(
                deferred_outcome("4.7.5", f"client TLS configuration problem: {error}"), talked=False
            ) from error
    wrapped = parameters.smtp_tls_wrappermode and context is not None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(parameters.smtp_connect_timeout):
            _, lines = await loop.create_connection(
                LineStream,
                peer.address,
                peer.port,
                ssl=context if wrapped else None,
                server_hostname=peer.name if wrapped else None,
            )
    except TimeoutError:
        raise ConnectionLost(deferred_outcome("4.4.1", f"connect to {peer.relay}: Connection timed out")) from None
    except ssl.SSLError as error:
        raise _TlsFailed(error.reason or "handshake failure") from error
    except OSError as error:
        raise ConnectionLost(deferred_outcome("4.4.1", f"connect to {peer.relay}: {_error_text(error)}")) from error
    session = Session(peer, lines, is_tls=wrapped)
    try:
        await session.greet()
        if context is not None and not wrapped:
            await session.start_tls(context, job.policy)
        if job.policy.verifies_certificate and not tls.certificate_matches(
            lines.certificate(), job.policy, peer.name, next_hop
        ):
            raise HostRefused(deferred_outcome("4.7.5", f"Server certificate not verified: {peer.label}", peer.relay))
        if job.login is not None:
            await session.log_in(job.login)
    except BaseException:
        session.abandon()
        raise
    return session


def _error_text(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__


class Session:
    def __init__(self, peer: MxHost, lines: LineStream, *, is_tls: bool) -> None:
        self.peer = peer
        self.extensions: dict[str, str] = {}
        self.is_tls = is_tls
        self.messages = 0  # Messages sent so far.
        self.opened = monotonic()
        self.is_finished = False  # The host has closed the connection or announced it.
        self.needs_rset = False  # A transaction was begun and not ended: RSET first.
        self._lines = lines

    @property
    def is_usable(self) -> bool:
        """True if another message may be sent over it."""
        parameters = conf.current()
        count = parameters.smtp_connection_reuse_count_limit
        return not (
            self.is_finished
            or self._lines.lost
            or self._lines.has_unread  # An unread 421.
            or (count and self.messages >= count)
            or monotonic() - self.opened > parameters.smtp_connection_reuse_time_limit
        )

    # --- Commands and replies ---

    def put(self, data: bytes) -> None:
        self._lines.write(data)

    def send(self, *commands: str) -> None:
        """Send commands at once; each needs a `read_reply`."""
        self._lines.write("".join(f"{command}\r\n" for command in commands).encode("utf-8", "surrogateescape"))

    async def read_reply(self, doing: str, timeout: float | None = None) -> SmtpReply:
        """Return the next reply; `doing` ("sending MAIL FROM") is for the error text. Raise ConnectionLost."""
        reader = smtp_replies.ReplyReader()
        who = self.peer.label
        try:
            async with asyncio.timeout(timeout or conf.current().smtp_timeout):
                while (reply := reader.feed(await self._lines.line())) is None:
                    pass
        except (ConnectionClosed, smtp_replies.InvalidReply) as error:
            what = "lost connection with" if isinstance(error, ConnectionClosed) else "bad reply from"
            raise self._lost(f"{what} {who} while {doing}") from error
        except TimeoutError:
            raise self._lost(f"conversation with {who} timed out while {doing}") from None
        if reply.code == 421:
            self.is_finished = True
        return reply

    async def execute(self, command: str, doing: str) -> SmtpReply:
        self.send(command)
        return await self.read_reply(doing)

    async def drain(self, doing: str) -> None:
        """Wait until the host has read enough of the data. Raise ConnectionLost."""
        try:
            async with asyncio.timeout(conf.current().smtp_timeout):
                await self._lines.drain()
        except ConnectionClosed:
            raise self._lost(f"lost connection with {self.peer.label} while {doing}") from None
        except TimeoutError:
            raise self._lost(f"conversation with {self.peer.label} timed out while {doing}") from None

    def _lost(self, text: str) -> ConnectionLost:
        self.abandon()
        return ConnectionLost(deferred_outcome("4.4.2", text, self.peer.relay))

    def abandon(self) -> None:
        """Drop the connection without QUIT."""
        self.is_finished = True
        self._lines.transport.abort()

    def quit(self) -> None:
        """Send QUIT and close without waiting for the reply."""
        if not self._lines.lost:
            self.send("QUIT")
            self._lines.transport.close()
        self.is_finished = True

    # --- Setup ---

    async def greet(self) -> None:
        greeting = await self.read_reply("receiving the initial server greeting")
        if not greeting.positive:
            raise self._refusal("refused to talk to me", greeting, soft=conf.current().smtp_skip_5xx_greeting)
        await self._hello()

    async def _hello(self) -> None:
        name = conf.current().smtp_helo_name
        reply = await self.execute(f"EHLO {name}", "performing the EHLO handshake")
        if reply.positive:
            self.extensions = smtp_replies.parse_extensions(reply)
            return
        self.extensions = {}
        if reply.code >= 500:
            reply = await self.execute(f"HELO {name}", "performing the HELO handshake")
        if not reply.positive:
            raise self._refusal("refused to talk to me", reply, soft=True)

    def _refusal(self, what: str, reply: SmtpReply, *, soft: bool) -> HostRefused:
        text = f"host {self.peer.label} {what}: {reply}"
        if reply.code >= 500 and not soft:
            return HostRefused(failed_outcome(reply.status, text, self.peer.relay))
        return HostRefused(deferred_outcome(f"4{reply.status[1:]}", text, self.peer.relay))

    async def start_tls(self, context: ssl.SSLContext, policy: TlsPolicy) -> None:
        """Start TLS if the host offers it. Raise HostRefused if TLS is mandatory and not offered."""
        who = self.peer.label
        if "STARTTLS" not in self.extensions:
            if policy.mandatory:
                raise HostRefused(
                    deferred_outcome("4.7.4", f"TLS is required, but was not offered by host {who}", self.peer.relay)
                )
            return
        reply = await self.execute("STARTTLS", "sending STARTTLS")
        if reply.code != 220:
            if policy.mandatory:
                text = f"TLS is required, but host {who} refused to start TLS: {reply}"
                raise HostRefused(deferred_outcome("4.7.4", text, self.peer.relay))
            return
        try:
            await self._lines.start_tls(context, self.peer.name, conf.current().smtp_timeout)
        except ssl.SSLCertVerificationError as error:
            text = f"Server certificate not trusted: {who}: {error.verify_message}"
            raise HostRefused(deferred_outcome("4.7.5", text, self.peer.relay)) from error
        except (ssl.SSLError, OSError) as error:
            raise _TlsFailed(getattr(error, "reason", None) or str(error)) from error
        self.is_tls = True
        await self._hello()

    async def log_in(self, login: tuple[str, str]) -> None:
        """Log in with AUTH. Raise HostRefused if that fails; mail is deferred, since the administrator can fix it."""
        offered = self.extensions.get("AUTH", "").upper().split()
        allowed = [name for name in ("CRAM-MD5", "PLAIN", "LOGIN") if name in offered]
        if not self.is_tls and "noplaintext" in conf.current().smtp_sasl_security_options:
            allowed = [name for name in allowed if name == "CRAM-MD5"]
        if not allowed:
            why = "offers no way to sign in" if self.is_tls or not offered else "offers no TLS to send a password under"
            raise HostRefused(deferred_outcome("4.7.8", f"host {self.peer.label} {why}", self.peer.relay))
        reply = await self._exchange(allowed[0], login)
        if reply.code != 235:
            text = f"SASL authentication failed; server {self.peer.label} said: {reply}"
            raise HostRefused(deferred_outcome("4.7.8", text, self.peer.relay))

    async def _exchange(self, mechanism: str, login: tuple[str, str]) -> SmtpReply:
        user, password = (word.encode() for word in login)
        if mechanism == "PLAIN":
            return await self._authenticate([f"AUTH PLAIN {_b64(b'%c%b%c%b' % (0, user, 0, password))}"])
        if mechanism == "LOGIN":
            return await self._authenticate(["AUTH LOGIN", _b64(user), _b64(password)])
        reply = await self._authenticate(["AUTH CRAM-MD5"])
        if reply.code != 334:
            return reply
        challenge = b""
        with contextlib.suppress(ValueError):
            challenge = base64.b64decode(reply.lines[0])
        digest = hmac.new(password, challenge, "md5").hexdigest()
        return await self._authenticate([_b64(user + b" " + digest.encode())])

    async def _authenticate(self, steps: Sequence[str]) -> SmtpReply:
        """Send the steps and return the reply to the last, or the first that is not 334."""
        reply = SmtpReply(500, ("",))
        for step in steps:
            reply = await self.execute(step, "sending AUTH")
            if reply.code != 334:
                break
        return reply


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
