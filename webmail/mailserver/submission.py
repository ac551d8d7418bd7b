"""Message submission (RFC 6409), authenticated as the user.

All recipients or none: if the server refuses one of them, nothing is sent and the user learns which one.
"""

import base64
import re
import smtplib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.core.cache import cache

from webmail.mailserver.server_addresses import ServerAddress, tls_context

TIMEOUT = 60
_PROBE_TIMEOUT = 3  # seconds a page may wait for the server's capabilities


class SubmissionError(Exception):
    """The server did not accept the message.

    `reply` is the server's last reply, `refused` its replies by refused recipient.
    """

    def __init__(self, reply: str, refused: dict[str, str] | None = None) -> None:
        super().__init__(reply)
        self.reply = reply
        self.refused = refused or {}


class SubmissionUnreachable(SubmissionError):
    """There is no connection, or it broke before the message was accepted."""


@dataclass(frozen=True, slots=True)
class SubmissionOptions:
    """Submission options: a release time (RFC 4865) and success notifications (RFC 3461).

    `hold_until` requires a server that `supports_futurerelease`.
    """

    hold_until: datetime | None = None
    notify: bool = False  # also of successful delivery


def submit_message(
    server: ServerAddress,
    login: str,
    secret: str,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    submission_options: SubmissionOptions = SubmissionOptions(),
) -> str:
    """Submit a message; return the server's queue id, or "" if it reports none.

    Raise `SubmissionError` or `SubmissionUnreachable`.
    """
    try:
        client = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    try:
        _authenticate(client, login, secret)
        return _submit(client, sender, recipients, content, submission_options)
    except smtplib.SMTPServerDisconnected as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    except smtplib.SMTPException as error:
        raise SubmissionError(_error_text(error)) from error
    except OSError as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()


def _authenticate(client: smtplib.SMTP, login: str, secret: str) -> None:
    """Log in by AUTH PLAIN (RFC 4616), in UTF-8, which smtplib's own method does not write."""
    client.ehlo_or_helo_if_needed()
    if "PLAIN" not in client.esmtp_features.get("auth", "").upper().split():
        client.login(login, secret)
        return
    credentials = base64.b64encode(f"\0{login}\0{secret}".encode()).decode("ascii")
    code, reply = client.docmd("AUTH", f"PLAIN {credentials}")
    if code not in (235, 503):
        raise smtplib.SMTPAuthenticationError(code, reply)


def _connect(server: ServerAddress, timeout: float = TIMEOUT) -> smtplib.SMTP:
    if server.tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=tls_context())
    client = smtplib.SMTP(server.host, server.port, timeout=timeout)
    if not server.is_local:
        client.starttls(context=tls_context())  # no password is sent unencrypted to a server elsewhere
    return client


def supports_futurerelease(server: ServerAddress) -> bool:
    """Return True if the server can hold messages until a release time (FUTURERELEASE); cached for ten minutes."""
    key = f"webmail.can_hold.{server.host}.{server.port}"
    known = cache.get(key)
    if known is None:
        known = _query_futurerelease(server)
        cache.set(key, known, 600)
    return bool(known)


def _query_futurerelease(server: ServerAddress) -> bool:
    try:
        client = _connect(server, _PROBE_TIMEOUT)
    except (OSError, smtplib.SMTPException):
        return False
    try:
        client.ehlo_or_helo_if_needed()
        return bool(client.has_extn("futurerelease"))
    except (OSError, smtplib.SMTPException):
        return False
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()


def _submit(
    client: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes, submission_options: SubmissionOptions
) -> str:
    client.ehlo_or_helo_if_needed()
    options = [f"SIZE={len(content)}"] if client.has_extn("size") else []
    if client.has_extn("8bitmime") and not content.isascii():
        options.append("BODY=8BITMIME")
    if not all(address.isascii() for address in (sender, *recipients)):
        if not client.has_extn("smtputf8"):
            raise SubmissionError("SMTPUTF8")
        options.append("SMTPUTF8")
        client.command_encoding = "utf-8"
    if submission_options.hold_until is not None:
        if not client.has_extn("futurerelease"):
            raise SubmissionError("FUTURERELEASE")
        options.append(f"HOLDUNTIL={submission_options.hold_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Failures and delays are notified by default; NOTIFY=SUCCESS must list them too.
    notify = ["NOTIFY=SUCCESS,FAILURE,DELAY"] if submission_options.notify and client.has_extn("dsn") else []
    if notify:
        options.append("RET=HDRS")
    code, reply = client.mail(sender, options)
    if code != 250:
        raise SubmissionError(_reply_text(code, reply))
    refused = {}
    for address in recipients:
        code, reply = client.rcpt(address, notify)
        if code not in (250, 251):
            refused[address] = _reply_text(code, reply)
    if refused:
        client.rset()
        raise SubmissionError("", refused)
    code, reply = client.data(content)
    if code != 250:
        raise SubmissionError(_reply_text(code, reply))
    named = re.search(rb"queued as ([A-Za-z0-9]{1,64})", reply)
    return named[1].decode() if named else ""


def _reply_text(code: int, reply: bytes) -> str:
    return f"{code} {reply.decode('utf-8', 'replace')}"[:500]


def _error_text(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return _reply_text(error.smtp_code, reply if isinstance(reply, bytes) else str(reply).encode())
    return (str(error) or type(error).__name__)[:500]
