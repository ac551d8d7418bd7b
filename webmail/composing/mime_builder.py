"""Composed messages as bytes (RFC 5322, RFC 2045 ff.), and the initial text of replies and forwards.

`render_message` makes the form for SMTP and for Sent. It is written by hand because file names must reach old programs
(RFC 2047 words in name=) as well as new ones (RFC 2231 in filename*=).
"""

import base64
import quopri
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from urllib.parse import quote

from django.utils.translation import gettext as _

from webmail.reading.message_content import MessageHeader
from webmail.sanitize import plain_text
from webmail.templatetags.webmail import full_date
from webmail.values.addresses import Address
from webmail.values.message_summary import MessageSummary

_REPLY = re.compile(r"^(?:\s*(?:re|aw|sv|antw|回复|回覆|答复|答覆)(?:\[\d+\])?\s*[:：])+\s*", re.IGNORECASE)
_FORWARD = re.compile(r"^(?:\s*(?:fwd?|wg|转发|轉寄|轉發)(?:\[\d+\])?\s*[:：])+\s*", re.IGNORECASE)
_IDS = re.compile(r"(?:<[^<>\s\x00-\x20\x7f]{1,250}>\s*)*")
SIGNATURE_LINES = 12  # longest signature recognised after "-- " at a message's end
PRIORITIES = {"high": ("1", "high"), "low": ("5", "low")}


@dataclass(frozen=True, slots=True)
class AttachmentFile:
    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message ready to be sent: every value is checked and parsed."""

    sender: Address
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    subject: str
    body: str
    date: datetime
    token: str
    reply_to: tuple[Address, ...] = ()
    in_reply_to: str = ""
    references: str = ""
    priority: str = ""
    receipt: bool = False
    files: tuple[AttachmentFile, ...] = ()

    @property
    def recipients(self) -> list[str]:
        """Return the envelope recipients, each once."""
        return list(dict.fromkeys(a.mail for a in (*self.to, *self.cc, *self.bcc)))

    @property
    def message_id(self) -> str:
        """Return the Message-ID, derived from the draft's token: a message sent twice by accident has one id."""
        return f"<{self.token}@{self.sender.mail.rpartition('@')[2] or 'localhost'}>"


def render_message(message: OutgoingMessage, *, with_bcc: bool) -> bytes:
    """Return the whole message with CRLF line ends; only our own copy has Bcc."""
    lines = [
        f"Date: {format_datetime(message.date)}",
        f"From: {message.sender.coded}",
        *_address_field("To", message.to),
        *_address_field("Cc", message.cc),
        *(_address_field("Bcc", message.bcc) if with_bcc else []),
        *_address_field("Reply-To", message.reply_to),
        f"Subject: {_encoded(message.subject, 9)}",
        f"Message-ID: {message.message_id}",
    ]
    if message.in_reply_to:
        lines.append(f"In-Reply-To: {message.in_reply_to}")
    if message.references:
        lines.append("References: " + "\r\n ".join(message.references.split()))
    if message.priority in PRIORITIES:
        number, word = PRIORITIES[message.priority]
        lines += [f"X-Priority: {number}", f"Importance: {word}"]
    if message.receipt:
        lines.append(f"Disposition-Notification-To: {message.sender.coded}")
    lines.append("MIME-Version: 1.0")
    head = "\r\n".join(lines).encode("utf-8")
    text = _text_part(message.body)
    if not message.files:
        return head + b"\r\n" + text
    boundary = f"=_{secrets.token_hex(16)}"
    parts = [text, *(_file_part(file) for file in message.files)]
    mark = b"--" + boundary.encode()
    return b"".join(
        (
            head,
            f'\r\nContent-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n'.encode(),
            b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts),
            mark + b"--\r\n",
        )
    )


def _address_field(name: str, people: Sequence[Address]) -> list[str]:
    return [f"{name}: " + ",\r\n ".join(a.coded for a in people)] if people else []


def _encoded(text: str, used: int) -> str:
    """Return text for a header, encoded if needed (RFC 2047); `used` characters precede it on its line."""
    text = " ".join(text.split())
    if text.isascii() and len(text) + used <= 900 and "=?" not in text:
        return text
    return Header(text, "utf-8", header_name="x" * used).encode(linesep="\r\n", maxlinelen=75)


def _text_part(body: str) -> bytes:
    lines = body.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    text = "\r\n".join(lines).rstrip("\r\n") + "\r\n"
    data = text.encode("utf-8", "replace")
    head = b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: '
    if data.isascii() and all(len(line) <= 990 for line in lines) and "\nFrom " not in text:
        return head + b"7bit\r\n\r\n" + data
    if sum(byte > 127 for byte in data) * 6 < len(data):
        coded = quopri.encodestring(data.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
        return head + b"quoted-printable\r\n\r\n" + coded
    return head + b"base64\r\n\r\n" + _base64(data)


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _file_part(file: AttachmentFile) -> bytes:
    if file.media_type == "message/rfc822":  # its encoding must be 7bit or 8bit (RFC 2046 §5.2.1)
        content = file.content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\r\n")
        encoding = b"7bit" if content.isascii() else b"8bit"
    else:
        content, encoding = _base64(file.content), b"base64"
    if file.name.isascii() and not re.search(r'["\\\x00-\x1f\x7f]', file.name):
        kind, disposition = f'; name="{file.name}"', f'; filename="{file.name}"'
    else:
        # A quote in the name must not end the parameter (RFC 2045 §5.1: quoted-string of RFC 5322 §3.2.4).
        quoted = re.sub(r'(["\\])', r"\\\1", _encoded(re.sub(r"[\x00-\x1f\x7f]", "_", file.name), 8))
        kind = f';\r\n name="{quoted}"'
        disposition = _extended_parameter("filename", file.name)
    head = f"Content-Type: {file.media_type}{kind}\r\nContent-Disposition: attachment{disposition}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + content


def _extended_parameter(name: str, value: str) -> str:
    """Return a parameter in UTF-8 (RFC 2231 §4), in continuations (§3) of at most 60 bytes a line if it is long."""
    coded = "utf-8''" + quote(value, safe="")
    if len(coded) <= 60:
        return f";\r\n {name}*={coded}"
    pieces = re.findall(r"(?:%[0-9A-F]{2}|[^%]){1,20}", coded)
    return "".join(f";\r\n {name}*{number}*={piece}" for number, piece in enumerate(pieces))


# --- Replies and forwards -------------------------------------------------------------------------


def parse_ids(text: str) -> str:
    """Return the message ids of a form field, or "" for anything else, since they go into header fields."""
    text = " ".join(text.split())
    return text if _IDS.fullmatch(text) else ""


def reply_subject(subject: str) -> str:
    return "Re: " + _REPLY.sub("", subject)


def forward_subject(subject: str) -> str:
    return "Fwd: " + _FORWARD.sub("", subject)


def exclude_own(people: Iterable[Address], own: Iterable[str]) -> tuple[Address, ...]:
    """Return each address once, without the user's own."""
    seen = {mail.casefold() for mail in own}
    others = []
    for person in people:
        if person.mail and person.mail.casefold() not in seen:
            seen.add(person.mail.casefold())
            others.append(person)
    return tuple(others)


def join_addresses(people: Iterable[Address]) -> str:
    """Format addresses for a recipient field."""
    return ", ".join(person.full for person in people)


def reply_body(head: MessageHeader, row: MessageSummary, text: str, citation: str = "full") -> str:
    """Return the quoted text of a reply; `citation` is one of `preferences.CITATIONS`."""
    author = next(iter(head.addresses("from")), Address("", ""))
    values = {"date": full_date(row.sent or row.arrived), "name": author.full}
    words = {"full": _("On %(date)s, %(name)s wrote:"), "author": _("%(name)s wrote:"), "none": ""}[citation]
    line = f"{words % values}\n" if words else ""
    return f"{line}{plain_text.quote_text(strip_signature(text))}\n"


def forward_body(head: MessageHeader, row: MessageSummary, text: str) -> str:
    lines = [
        _("-------- Forwarded message --------"),
        f"{_('Subject')}: {head.subject}",
        f"{_('Date')}: {full_date(row.sent or row.arrived)}",
        f"{_('From')}: {join_addresses(head.addresses('from'))}",
        f"{_('To')}: {join_addresses(head.people('to'))}",
    ]
    if cc := head.people("cc"):
        lines.append(f"{_('Cc')}: {join_addresses(cc)}")
    return "\n".join(lines) + f"\n\n{text}\n"


def format_signature(signature: str) -> str:
    """Return a signature with its "-- " line, or ""."""
    return f"-- \n{signature.strip()}\n" if signature.strip() else ""


def add_signature(body: str, signature: str, *, above: bool, sign_above: bool = True) -> str:
    """Return `body` with a place to write `above` or below the quotation, and with the signature.

    The signature follows the place to write if that is above and `sign_above` is true, else it is at the end.
    """
    ending = format_signature(signature)
    if not body:
        return f"\n\n{ending}" if ending else ""
    if above and sign_above:
        return f"\n\n{ending}\n{body}" if ending else f"\n\n{body}"
    return f"\n\n{body}\n{ending}" if above else f"{body}\n{ending}"


def replace_signature(body: str, old: str, new: str) -> str:
    """Return `body` with the new signature, if the old one is in it unchanged."""
    before, after = format_signature(old), format_signature(new)
    if before:
        head, found, tail = body.partition(before)
        return f"{head}{after}{tail}" if found else body
    return body if not after else f"{body.rstrip()}\n\n{after}" if body.strip() else f"\n\n{after}"


def insert_text(body: str, text: str) -> str:
    """Insert a canned response where one writes: before the signature, else before a quotation, else at the end."""
    text = text.strip("\n")
    place = re.search(r"^(?:-- ?$|>)", body, re.MULTILINE)
    index = place.start() if place else len(body)
    if place and place[0] == ">":  # the line above names its author
        index = body.rfind("\n", 0, max(index - 1, 0)) + 1
    head, tail = body[:index].rstrip("\n"), body[index:]
    return f"{head}\n\n{text}\n\n{tail}" if head else f"{text}\n\n{tail}"


def strip_signature(text: str) -> str:
    """Return the text without a signature at its end, for quoting."""
    lines = text.strip("\n").split("\n")
    last = range(max(0, len(lines) - SIGNATURE_LINES - 1), len(lines))
    index = next((number for number in last if lines[number] in ("--", "-- ")), len(lines))
    return "\n".join(lines[:index]).strip("\n")
