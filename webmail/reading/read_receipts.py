"""Read receipts (message disposition notifications, RFC 8098), sent only with the reader's consent.

A sender requests one with Disposition-Notification-To; it is answered at most once, which the keyword $MDNSent records.
"""

import base64
import secrets
from datetime import datetime
from email.utils import format_datetime

from django.utils.translation import gettext as _

from webmail.reading.message_content import MessageContent
from webmail.values.addresses import Address

_REFUSED_HEADERS = ("list-id", "list-post")


def receipt_address(message: MessageContent, own: str) -> Address | None:
    """Return the address that requests a receipt, or None.

    Requests are ignored once they are answered, and in the user's own messages, drafts and list messages.
    """
    flags = message.row.flags
    if (
        message.section
        or "$mdnsent" in flags
        or message.row.draft
        or any(map(message.head.raw_first, _REFUSED_HEADERS))
    ):
        return None
    requester = message.head.addresses("disposition-notification-to")
    if len(requester) != 1 or not requester[0].mail or requester[0].mail.casefold() == own.casefold():
        return None
    return requester[0]


def is_doubtful(message: MessageContent, requester: Address) -> bool:
    """Return True if the receipt would go to another address than the message came from (RFC 8098 §2.1)."""
    path = message.head.addresses("return-path") or message.head.addresses("from")
    return requester.mail.casefold() not in {a.mail.casefold() for a in path}


def render_receipt(message: MessageContent, reader: Address, requester: Address, now: datetime) -> bytes:
    """Return the receipt as a message with CRLF line ends: a text for people, fields for programs."""
    boundary = f"=_{secrets.token_hex(16)}"
    domain = reader.mail.rpartition("@")[2] or "localhost"
    words = _("Your message “%(subject)s” was displayed on %(date)s. This does not say that it was read or understood.")
    text = words % {"subject": message.head.subject, "date": format_datetime(now)}
    original = message.row.message_id.encode("ascii", "replace").decode()
    lines = [
        f"Date: {format_datetime(now)}",
        f"From: {reader.coded}",
        f"To: {requester.coded}",
        "Subject: =?utf-8?B?" + _base64(_("Read: %s") % message.head.subject[:60]) + "?=",
        f"Message-ID: <{secrets.token_hex(12)}@{domain}>",
        *([f"In-Reply-To: {original}", f"References: {original}"] if original else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=disposition-notification; boundary="{boundary}"',
        "",
        f"--{boundary}",
        'Content-Type: text/plain; charset="utf-8"',
        "Content-Transfer-Encoding: base64",
        "",
        _base64(text),
        f"--{boundary}",
        "Content-Type: message/disposition-notification",
        "",
        f"Reporting-UA: {domain}; Youju",
        f"Final-Recipient: rfc822;{reader.mail}",
        *([f"Original-Message-ID: {original}"] if original else []),
        "Disposition: manual-action/MDN-sent-manually; displayed",
        "",
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8")


def _base64(text: str) -> str:
    return base64.b64encode(" ".join(text.split()).encode("utf-8", "replace")).decode()
