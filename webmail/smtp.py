"""Handing a letter over for sending (RFC 6409), signed in as the visitor.

All recipients or none: if the server refuses one, nothing is sent and the person is told which.
"""

import smtplib
from collections.abc import Sequence
from contextlib import suppress

from webmail.servers import Server, tls_context

TIMEOUT = 60


class NotSent(Exception):
    """The letter was not taken; `reply` is the server's last word, `refused` its words by recipient."""

    def __init__(self, reply: str, refused: dict[str, str] | None = None) -> None:
        super().__init__(reply)
        self.reply = reply
        self.refused = refused or {}


class Unreachable(NotSent):
    """No connection, or it broke before the letter was taken."""


def send(server: Server, login: str, secret: str, sender: str, recipients: Sequence[str], content: bytes) -> None:
    """Returns once the server has taken the letter. Raises NotSent, Unreachable."""
    try:
        client = _connect(server)
    except (OSError, smtplib.SMTPException) as error:
        raise Unreachable(_words(error)) from error
    try:
        client.login(login, secret)
        _hand_over(client, sender, recipients, content)
    except smtplib.SMTPServerDisconnected as error:
        raise Unreachable(_words(error)) from error
    except smtplib.SMTPException as error:
        raise NotSent(_words(error)) from error
    except OSError as error:
        raise Unreachable(_words(error)) from error
    finally:
        with suppress(OSError, smtplib.SMTPException):
            client.quit()


def _connect(server: Server) -> smtplib.SMTP:
    if server.tls:
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=tls_context())
    client = smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
    if not server.near:
        client.starttls(context=tls_context())  # a server elsewhere that cannot do it is not given a password
    return client


def _hand_over(client: smtplib.SMTP, sender: str, recipients: Sequence[str], content: bytes) -> None:
    client.ehlo_or_helo_if_needed()
    options = [f"SIZE={len(content)}"] if client.has_extn("size") else []
    if client.has_extn("8bitmime") and not content.isascii():
        options.append("BODY=8BITMIME")
    if not all(address.isascii() for address in (sender, *recipients)):
        if not client.has_extn("smtputf8"):
            raise NotSent("SMTPUTF8")
        options.append("SMTPUTF8")
        client.command_encoding = "utf-8"
    code, reply = client.mail(sender, options)
    if code != 250:
        raise NotSent(_text(code, reply))
    refused = {}
    for address in recipients:
        code, reply = client.rcpt(address)
        if code not in (250, 251):
            refused[address] = _text(code, reply)
    if refused:
        client.rset()
        raise NotSent("", refused)
    code, reply = client.data(content)
    if code != 250:
        raise NotSent(_text(code, reply))


def _text(code: int, reply: bytes) -> str:
    return f"{code} {reply.decode('utf-8', 'replace')}"[:500]


def _words(error: Exception) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        reply = error.smtp_error
        return _text(error.smtp_code, reply if isinstance(reply, bytes) else str(reply).encode())
    return (str(error) or type(error).__name__)[:500]
