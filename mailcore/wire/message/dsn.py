"""Formatting of delivery status notifications (RFC 3462, RFC 3464; with UTF-8 addresses RFC 6533)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.header import Header

from mailcore.wire import smtp_commands
from mailcore.wire.message import trace_headers

_LONGEST = 900
_REPLY_CODE = re.compile(r"[245][0-9]{2}[ -]")


@dataclass(frozen=True, slots=True)
class NoticeRecipient:
    address: str
    original: str
    orcpt: str  # ORCPT as the client gave it: "rfc822;a+2Bb@c" in xtext, or ""
    action: str  # failed, delayed, delivered, relayed, expanded (RFC 3464 §2.3.3)
    status: str  # "5.1.1"
    text: str  # the reply or the reason
    relay: str  # the host that replied; "none", "virtual" or "local" for this system


@dataclass(frozen=True, slots=True)
class Notice:
    reporting_mta: str
    mail_name: str
    to: str  # recipient of the notification
    sender: str  # sender of the original message
    subject: str
    words: str  # text for a person; lines end in \n
    envelope_id: str
    queue_id: str
    arrived: str  # dates as in RFC 5322
    now: str
    message_id: str  # without <>
    recipients: tuple[NoticeRecipient, ...]
    original: bytes  # content of the message, as much as could be read
    whole: bool  # True: return the whole message; False: its header
    utf8: bool = False  # some address needs SMTPUTF8


def render_notice(notice: Notice) -> bytes:
    """Return the whole notification with CRLF line ends."""
    boundary = f"{notice.queue_id}.{notice.message_id.partition('@')[0]}/{notice.reporting_mta}"
    original = notice.original if notice.whole else trace_headers.split_header(notice.original)[0]
    lines = [*_render_head(notice, boundary), *_render_text(notice, boundary), *_render_status(notice, boundary)]
    lines += [
        f"--{boundary}",
        f"Content-Description: Undelivered Message{'' if notice.whole else ' Headers'}",
        f"Content-Type: {_original_type(notice)}",
        f"Content-Transfer-Encoding: {_encoding(original)}",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + original + f"\r\n--{boundary}--\r\n".encode()


def _render_head(notice: Notice, boundary: str) -> Iterator[str]:
    yield f"From: MAILER-DAEMON@{notice.reporting_mta} (Mail Delivery System)"
    yield f"To: {notice.to}"
    subject = notice.subject
    yield f"Subject: {subject if subject.isascii() else Header(subject, 'utf-8').encode(linesep=chr(13) + chr(10))}"
    yield f"Date: {notice.now}"
    yield f"Message-ID: <{notice.message_id}>"
    yield "Auto-Submitted: auto-replied"
    yield "MIME-Version: 1.0"
    yield f'Content-Type: multipart/report; report-type={_status_fields(notice)}; boundary="{boundary}"'
    yield f"Content-Transfer-Encoding: {_encoding(notice.words.encode() + notice.original)}"
    yield ""
    yield "This is a MIME-encapsulated message."
    yield ""


def _render_text(notice: Notice, boundary: str) -> Iterator[str]:
    yield f"--{boundary}"
    yield "Content-Description: Notification"
    yield "Content-Type: text/plain; charset=utf-8"
    yield f"Content-Transfer-Encoding: {_encoding(notice.words.encode('utf-8', 'surrogateescape'))}"
    yield ""
    yield f"This is the mail system at host {notice.reporting_mta}."
    yield ""
    yield from (line[:_LONGEST] for line in notice.words.split("\n"))
    yield ""
    yield f"                   {notice.mail_name}"
    yield ""


def _render_status(notice: Notice, boundary: str) -> Iterator[str]:
    yield f"--{boundary}"
    yield "Content-Description: Delivery report"
    yield f"Content-Type: message/{_status_fields(notice)}"
    yield ""
    yield f"Reporting-MTA: dns; {notice.reporting_mta}"
    if notice.envelope_id:
        yield f"Original-Envelope-Id: {_single_line(notice.envelope_id)}"
    yield f"X-Queue-ID: {notice.queue_id}"
    yield f"X-Sender: {_typed_address(notice.sender)}"
    yield f"Arrival-Date: {notice.arrived}"
    for recipient in notice.recipients:
        yield ""
        yield f"Final-Recipient: {_typed_address(recipient.address)}"
        yield f"Original-Recipient: {_original_recipient(recipient)}"
        yield f"Action: {recipient.action}"
        yield f"Status: {recipient.status}"
        if recipient.relay not in ("none", "virtual", "local"):
            yield f"Remote-MTA: dns; {_single_line(recipient.relay.partition('[')[0])}"
        yield f"Diagnostic-Code: {_diagnostic_code(recipient.text, utf8=notice.utf8)}"
    yield ""


def _diagnostic_code(text: str, *, utf8: bool) -> str:
    r"""Return the diagnostic: a remote host's own reply, beginning with its code (RFC 3461 §9.2), or our text.

    Without `utf8` characters outside ASCII are written as in RFC 6533 §3: \x{7528}.
    """
    reply = text.partition(" said: ")[2].rpartition(" (in reply to ")[0]
    kind, words = ("smtp", reply) if _REPLY_CODE.match(reply) else ("X-Youju", text)
    words = _single_line(words.encode("utf-8", "replace").decode())
    if not utf8:
        words = _single_line(re.sub(r"[^\x00-\x7f]", lambda match: f"\\x{{{ord(match[0]):X}}}", words))
    return f"{kind}; {words}"


def _status_fields(notice: Notice) -> str:
    return "global-delivery-status" if notice.utf8 else "delivery-status"


def _original_type(notice: Notice) -> str:
    if notice.whole:
        return "message/global" if notice.utf8 else "message/rfc822"
    return "message/global-headers" if notice.utf8 else "text/rfc822-headers"


def _encoding(data: bytes) -> str:
    return "7bit" if data.isascii() else "8bit"


def _typed_address(address: str) -> str:
    """Return an address with its type; "utf-8" for addresses that rfc822 cannot express (RFC 6533 §3)."""
    return f"{'rfc822' if address.isascii() else 'utf-8'}; {_single_line(address)}"


def _original_recipient(recipient: NoticeRecipient) -> str:
    """Return Original-Recipient as the sender gave it, its xtext decoded (RFC 3464 §2.3.1)."""
    kind, semicolon, given = recipient.orcpt.partition(";")
    if not semicolon:
        return _typed_address(recipient.original).replace("; ", ";", 1)
    try:
        return f"{kind};{_single_line(smtp_commands.decode_xtext(given))}"
    except smtp_commands.SmtpSyntaxError:
        return f"{kind};{_single_line(given)}"


def _single_line(text: str) -> str:
    """Return text on a single line of at most 900 characters, whatever a remote host sent."""
    return " ".join(text.split())[:_LONGEST]
