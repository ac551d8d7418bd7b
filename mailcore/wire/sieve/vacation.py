"""The vacation reply: conditions for sending it, and its format (RFC 5230 §4, RFC 3834).

No reply goes to lists, programs or the owner; none to messages that did not name one of the owner's addresses, or that
are automatic themselves. The caller records whom a reply was sent to.
"""

import re
from collections.abc import Sequence
from email.header import Header

from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.message import headers
from mailcore.wire.sieve.results import VacationReply
from mailcore.wire.sieve.sieve_message import SieveMessage, parse_target, to_one_line

_PROGRAM = re.compile(
    r"(?:owner-.*|.*-(?:request|owner|bounces?)|mailer-daemon|postmaster|listserv|majordomo|(?:no|do-?not)-?reply"
    r"|.*-?confirm|bounces?(?:[+-].*)?)",
    re.IGNORECASE,
)
_LIST_FIELDS = ("list-id", "list-post", "list-unsubscribe", "list-help", "list-owner", "list-archive", "list-subscribe")
_MAX_SUBJECT = 256  # characters of the original subject, as Pigeonhole has it
_BULK = frozenset(("bulk", "junk", "list"))


def should_reply(vacation: VacationReply, message: SieveMessage, own: Sequence[str]) -> bool:
    """Return True if a reply should be sent; `own` are the owner's addresses."""
    sender = message.envelope.sender
    mine = {addresses.fold_address(each) for each in (*own, *vacation.addresses)}
    if "@" not in sender or addresses.fold_address(sender) in mine:
        return False
    if _PROGRAM.fullmatch(addresses.split_address(sender)[0]):
        return False
    if any(message.has(name) for name in _LIST_FIELDS):
        return False
    automatic = message.values("auto-submitted")
    if any(value.split(";")[0].strip().lower() != "no" for value in automatic):
        return False
    if any(value.strip().lower() in _BULK for value in message.values("precedence")):
        return False
    if any(message.values("x-auto-response-suppress")):
        suppressed = ",".join(message.values("x-auto-response-suppress")).lower()
        if re.search(r"\b(all|oof|autoreply)\b", suppressed):
            return False
    named = ("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc")
    delimiter = message.envelope.recipient_delimiter
    return any(_plain(mail, delimiter) in mine for name in named for mail in message.addresses(name))


def _plain(mail: str, delimiter: str) -> str:
    """Return an address folded and without its extension: mail to user+x is mail to user."""
    local, domain = addresses.split_address(addresses.fold_address(mail))
    return f"{addresses.split_extension(local, delimiter)[0]}@{domain}"


def render_reply(vacation: VacationReply, message: SieveMessage, *, owner: str, date: str, message_id: str) -> bytes:
    """Return the reply with CRLF line ends; `owner` is the sender unless the script names one."""
    sender = to_one_line(vacation.sender) or owner
    subject = to_one_line(vacation.subject)
    if not subject:
        original = to_one_line((message.values("subject") or [""])[0])[:_MAX_SUBJECT]
        subject = f"Auto: {original}" if original else "Automated reply"
    lines = [
        f"From: {_format_mailbox(sender)}",
        f"To: {addresses.format_address(message.envelope.sender)}",
        f"Subject: {_encode_word(subject)}",
        f"Date: {date}",
        f"Message-ID: <{message_id}>",
    ]
    if answered := (headers.parse_message_ids((message.raw("message-id") or [""])[0]) or [""])[0]:
        known = headers.parse_message_ids((message.raw("references") or message.raw("in-reply-to") or [""])[-1])
        lines.append(f"In-Reply-To: <{answered}>")
        lines.append("References: " + "\r\n ".join(f"<{each}>" for each in (*known[-20:], answered)))
    lines += ["Auto-Submitted: auto-replied (vacation)", "Precedence: bulk", "MIME-Version: 1.0"]
    head = "\r\n".join(lines).encode("utf-8", "replace") + b"\r\n"
    text = re.sub(r"\r\n|\r|\n", "\r\n", vacation.reason)
    if vacation.mime:
        return head + text.encode("utf-8", "replace")
    body = text.rstrip("\r\n").encode("utf-8", "replace") + b"\r\n"
    kind = b'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n'
    return head + kind + body


def _encode_word(text: str) -> str:
    return text if text.isascii() and len(text) < 900 else Header(text, "utf-8").encode(linesep="\r\n", maxlinelen=75)


def _format_mailbox(text: str) -> str:
    """Return "Name <address>" formatted for a header field."""
    before, bracket, _rest = text.rpartition("<")
    target = parse_target(text)
    if not target or not bracket:
        return addresses.format_address(target) or text
    mail, name = addresses.format_address(target), before.rstrip()
    if not name:
        return mail
    name = to_one_line(headers.decode_value(name.strip('" '))) if name.isascii() else name.strip('" ')
    if name.isascii():
        escaped = re.sub(r'(["\\])', r"\\\1", name)
        return f'"{escaped}" <{mail}>'
    return f"{Header(name, 'utf-8').encode(maxlinelen=0)} <{mail}>"
