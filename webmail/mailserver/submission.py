"""Handing a message over for sending (RFC 6409), signed in as the visitor.

All recipients or none: if the server refuses one, nothing is sent and the person is told which.
"""

import re
import smtplib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from django.core.cache import cache

from webmail.mailserver.server_addresses import ServerAddress, tls_context

TIMEOUT = 60
_GLANCE = 3  # seconds a page waits to learn what the server offers


class SubmissionError(Exception):
    """The message was not taken; `reply` is the server's last word, `refused` its words by recipient."""

    def __init__(self, reply: str, refused: dict[str, str] | None = None) -> None:
        super().__init__(reply)
        self.reply = reply
        self.refused = refused or {}


class SubmissionUnreachable(SubmissionError):
    """No connection, or it broke before the message was taken."""


@dataclass(frozen=True, slots=True)
class SubmissionOptions:
    """What the server is asked to do besides (RFC 4865, RFC 3461). `hold_until` is for servers that `can_hold`."""

    hold_until: datetime | None = None
    notify: bool = False  # of success, too


def submit_message(
    server: ServerAddress,
    login: str,
    secret: str,
    sender: str,
    recipients: Sequence[str],
    content: bytes,
    wishes: SubmissionOptions = SubmissionOptions(),
) -> str:
    """Returns the server's name for the message ("" where it tells none) once it has taken it. Raises NotSent,
    Unreachable."""
    try:
        client = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    try:
        client.login(login, secret)
        return _submit(client, sender, recipients, content, wishes)
    except smtplib.SMTPServerDisconnected as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    except smtplib.SMTPException as error:
        raise SubmissionError(_error_text(error)) from error
    except OSError as error:
        raise SubmissionUnreachable(_error_text(error)) from error
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()


def _connect(server: ServerAddress, timeout: float = TIMEOUT) -> smtplib.SMTP:
    if server.tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=timeout, context=tls_context())
    client = smtplib.SMTP(server.host, server.port, timeout=timeout)
    if not server.near:
        client.starttls(context=tls_context())  # a server elsewhere that cannot do it is not given a password
    return client


def supports_futurerelease(server: ServerAddress) -> bool:
    """Does the server keep messages back (FUTURERELEASE)? Asked at most every ten minutes."""
    key = f"webmail.can_hold.{server.host}.{server.port}"
    known = cache.get(key)
    if known is None:
        known = _query_futurerelease(server)
        cache.set(key, known, 600)
    return bool(known)


def _query_futurerelease(server: ServerAddress) -> bool:
    try:
        client = _connect(server, _GLANCE)
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
    client: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes, wishes: SubmissionOptions
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
    if wishes.hold_until is not None:
        if not client.has_extn("futurerelease"):
            raise SubmissionError("FUTURERELEASE")
        options.append(f"HOLDUNTIL={wishes.hold_until.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Failures and delays are told without being asked for, and after SUCCESS only if asked for, too.
    notify = ["NOTIFY=SUCCESS,FAILURE,DELAY"] if wishes.notify and client.has_extn("dsn") else []
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
