"""Delivery status notifications as octets (RFC 3462, 3464; SMTPUTF8 ones RFC 6533)."""

from dataclasses import dataclass
from typing import Literal

from mailcore.wire import trace


@dataclass(frozen=True, slots=True)
class NoticeRecipient:
    address: str
    original: str
    orcpt: str  # as given: "rfc822;a@b", or ""
    kind: Literal["delivered", "deferred", "failed"]
    status: str  # "5.1.1"
    text: str  # what was said
    relay: str  # who said it; "none" or "virtual" for ourselves


@dataclass(frozen=True, slots=True)
class Notice:
    reporting_mta: str
    mail_name: str
    sender: str  # who is told
    envelope_id: str
    queue_id: str
    arrived: str  # RFC 5322 dates
    now: str
    message_id: str  # without <>
    recipients: tuple[NoticeRecipient, ...]
    original: bytes  # the letter, as much of it as may be read
    whole: bool  # return it whole; else its headers


_ACTION = {"delivered": "delivered", "deferred": "delayed", "failed": "failed"}
_SUBJECT = {
    "failed": "Undelivered Mail Returned to Sender",
    "delivered": "Successful Mail Delivery Report",
    "deferred": "Delayed Mail (still being retried)",
}
_WORDS = {
    "failed": "I'm sorry to have to inform you that your message could not\n"
    "be delivered to one or more recipients. It's attached below.\n\n"
    "For further assistance, please send mail to postmaster.\n",
    "delivered": "Your message was successfully delivered to the destination(s)\nlisted below.\n",
    "deferred": "Your message could not be delivered yet.\nIt will be retried; you do not need to send it again.\n",
}


def render(notice: Notice) -> bytes:
    """The whole notice, CRLF line ends."""
    kind = next(k for k in ("failed", "deferred", "delivered") if any(r.kind == k for r in notice.recipients))
    boundary = f"{notice.queue_id}.{notice.message_id.partition('@')[0]}/{notice.reporting_mta}"
    head = [
        f"From: MAILER-DAEMON@{notice.reporting_mta} (Mail Delivery System)",
        f"To: {notice.sender}",
        f"Subject: {_SUBJECT[kind]}",
        f"Date: {notice.now}",
        f"Message-ID: <{notice.message_id}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"',
        "",
        "This is a MIME-encapsulated message.",
        "",
        f"--{boundary}",
        "Content-Description: Notification",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        f"This is the mail system at host {notice.reporting_mta}.",
        "",
        *_WORDS[kind].split("\n"),
        f"                   {notice.mail_name}",
        "",
        *(f"<{_line(r.address)}>: {_line(r.text)}" for r in notice.recipients),
        "",
        f"--{boundary}",
        "Content-Description: Delivery report",
        "Content-Type: message/delivery-status",
        "",
        f"Reporting-MTA: dns; {notice.reporting_mta}",
        *([f"Original-Envelope-Id: {_line(notice.envelope_id)}"] if notice.envelope_id else []),
        f"X-Queue-ID: {notice.queue_id}",
        f"X-Sender: rfc822; {_line(notice.sender)}",
        f"Arrival-Date: {notice.arrived}",
    ]
    for recipient in notice.recipients:
        head += ["", *_recipient(recipient)]
    what = "message/rfc822" if notice.whole else "text/rfc822-headers"
    head += [
        "",
        f"--{boundary}",
        f"Content-Description: Undelivered Message{'' if notice.whole else ' Headers'}",
        f"Content-Type: {what}",
        "Content-Transfer-Encoding: 8bit",
        "",
        "",
    ]
    original = notice.original if notice.whole else trace.header_of(notice.original)
    return "\r\n".join(head).encode("utf-8", "surrogateescape") + original + f"\r\n--{boundary}--\r\n".encode()


def _recipient(recipient: NoticeRecipient) -> list[str]:
    lines = [f"Final-Recipient: rfc822; {_line(recipient.address)}"]
    if recipient.orcpt:
        lines.append(f"Original-Recipient: {_line(recipient.orcpt)}")
    else:
        lines.append(f"Original-Recipient: rfc822;{_line(recipient.original)}")
    lines += [f"Action: {_ACTION[recipient.kind]}", f"Status: {recipient.status}"]
    if recipient.relay not in ("none", "virtual", "local"):
        lines.append(f"Remote-MTA: dns; {_line(recipient.relay.partition('[')[0])}")
        lines.append(f"Diagnostic-Code: smtp; {_line(recipient.text)}")
    else:
        lines.append(f"Diagnostic-Code: X-Youju; {_line(recipient.text)}")
    return lines


def _line(text: str) -> str:
    """Text that stays on its line, whatever a remote host said."""
    return " ".join(text.split())[:900]
