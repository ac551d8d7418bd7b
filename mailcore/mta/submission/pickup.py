"""Submission of messages by local programs: the input of `sendmail` is put in the queue.

Works whether or not a server runs: the queue is files and rows, and couriers find the message when they start. The
header is completed as Postfix's cleanup(8) does (Received, Message-Id, Date, From); Bcc is removed.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate

from mailcore import conf
from mailcore.logs import writer
from mailcore.mta.queue import content_files, enqueue
from mailcore.mta.queue.states import MICRO, now_us
from mailcore.mta.routing.route import is_own_name
from mailcore.values import Client, MessageRecipient, NewMessage, TemporaryFault
from mailcore.wire.message import address_list, trace_headers
from mailcore.wire.message import envelope_address as addresses
from mailcore.wire.sender_auth import authentication_results

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NAMED = re.compile(rb"[!-9;-~]+[ \t]*:|From |>From ")
_TO = (b"to", b"cc", b"bcc")
_RESENT_TO = (b"resent-to", b"resent-cc", b"resent-bcc")
_DROPPED = frozenset((b"bcc", b"resent-bcc", b"content-length", b"return-path"))
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


@dataclass(frozen=True, slots=True)
class Submission:
    """The input of a local program: `content` with any line ends, `full_name` for a missing From."""

    content: bytes
    sender: str  # An address, bare local parts allowed; "" is the null sender.
    recipients: tuple[str, ...]
    from_header: bool = False  # -t: recipients also from To, Cc and Bcc.
    full_name: str = ""
    user_id: int = 0
    notify: str = ""  # RFC 3461 NOTIFY.
    return_full: bool | None = None
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class SubmissionError:
    """The reason why a submission is refused: `too_big`, or a text."""

    text: str
    too_big: bool = False


def submit(submission: Submission) -> NewMessage | SubmissionError:
    """Enqueue a submission; refuse it if it has no recipient or exceeds message_size_limit.

    Raise TemporaryFault if the queue cannot be written.
    """
    limit = conf.current().message_size_limit
    if limit and len(submission.content) > limit:
        return SubmissionError("message file too big", too_big=True)
    fields, body = _split_header(_with_crlf(submission.content))
    found = list(submission.recipients)
    if submission.from_header:
        found += _header_recipients(fields)
    recipients = _clean_recipients(found)
    if not recipients:
        return SubmissionError(
            "No recipient addresses found in message header" if submission.from_header else _NO_RECIPIENT
        )
    file = content_files.ContentFile()
    try:
        content_files.make_directories()
        queued_id = file.open()
        now = now_us()
        sender = _qualify(submission.sender) if submission.sender else ""
        header, message_id = _complete_header(fields, submission, sender, f"{queued_id:X}", now // MICRO)
        content = header + body
        file.write(content)
        file.finish()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.discard()
        raise TemporaryFault(f"queue file write error: {error.strerror}") from error
    message = NewMessage(
        id=queued_id,
        sender=sender,
        recipients=tuple(MessageRecipient(each, notify=submission.notify) for each in recipients),
        size=len(content),
        received_us=now,
        client=Client("127.0.0.1", "localhost", protocol="local"),
        message_id=message_id,
        envelope_id=submission.envelope_id,
        return_full=submission.return_full,
        eight_bit=not content.isascii(),
        smtputf8=not (header.isascii() and sender.isascii() and all(each.isascii() for each in recipients)),
    )
    try:
        message = enqueue.enqueue_file(file, message)
    except TemporaryFault:
        file.discard()
        raise
    writer.write(
        "pickup",
        f"{message.queue_id}: uid={submission.user_id} from=<{sender}>",
        f"{message.queue_id}: message-id=<{message_id}>",
    )
    return message


_NO_RECIPIENT = "Recipient addresses must be specified on the command line or via the -t option"


def _with_crlf(content: bytes) -> bytes:
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content and not content.endswith(b"\n"):
        content += b"\n"
    return content.replace(b"\n", b"\r\n")


def _split_header(content: bytes) -> tuple[list[bytes], bytes]:
    """Split content into (header fields with their line ends, the empty line and the body).

    A line that is not a header field begins the body, as in Postfix.
    """
    fields: list[bytes] = []
    offset = 0
    while offset < len(content):
        end = content.find(b"\r\n", offset) + 2
        line = content[offset:end]
        if line == b"\r\n":
            return fields, content[offset:]
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        elif _NAMED.match(line):
            fields.append(line)
        else:
            return fields, b"\r\n" + content[offset:]
        offset = end
    return fields, b"\r\n"


def _field_name(field: bytes) -> bytes:
    match = _FIELD.match(field)
    return match[1].lower() if match else b""


def _header_recipients(fields: Sequence[bytes]) -> list[str]:
    """Return the recipients named in the header; those of Resent- fields if there are any (RFC 5322 §3.6.6)."""
    names = _RESENT_TO if any(_field_name(field) in _RESENT_TO for field in fields) else _TO
    values = [field.partition(b":")[2] for field in fields if _field_name(field) in names]
    return [" ".join(value.decode("utf-8", "surrogateescape").split()) for value in values]


def _clean_recipients(texts: Sequence[str]) -> list[str]:
    """Return each address once, in order, with a domain; an invalid address is passed on and will be returned."""
    found: dict[str, None] = {}
    for text in texts:
        for each in address_list.parse_address_list(text):
            if each.mailbox and each.host is not None:
                full = f"{each.mailbox}@{each.host}" if each.host else each.mailbox
                found[_qualify(full)] = None
    return list(found)


def _qualify(text: str) -> str:
    """Return the address, with myorigin if it has no domain."""
    local, domain = addresses.split_address(text.strip())
    with contextlib.suppress(addresses.AddressError):
        domain = addresses.ascii_domain(domain)
    return f"{local}@{domain or conf.current().myorigin}"[:320]


def _complete_header(
    fields: Sequence[bytes], submission: Submission, sender: str, queue_id: str, moment: int
) -> tuple[bytes, str]:
    """Return (the header without its empty line, the Message-ID)."""
    parameters = conf.current()
    kept = [field for field in fields if _field_name(field) and not _is_dropped(field)]
    present = {_field_name(field) for field in kept}
    prefix, lower_prefix = (
        ("Resent-", b"resent-") if any(name.startswith(b"resent-") for name in present) else ("", b"")
    )
    lines = [
        f"Received: by {parameters.myhostname} ({parameters.mail_name}, from userid {submission.user_id})",
        f"\tid {queue_id}; {trace_headers.format_date(moment)}",
    ]
    added = []
    message_id = ""
    if lower_prefix + b"message-id" not in present:
        message_id = f"{moment}.{queue_id}@{parameters.myhostname}"
        added.append(f"{prefix}Message-Id: <{message_id}>")
    if lower_prefix + b"date" not in present:
        added.append(f"{prefix}Date: {formatdate(moment, localtime=True)}")
    if lower_prefix + b"from" not in present:
        author = addresses.format_address(sender) or f"MAILER-DAEMON@{parameters.myorigin}"
        added.append(f"{prefix}From: {_format_phrase(submission.full_name)} <{author}>".replace(":  <", ": <"))
    header = (
        "\r\n".join([*lines, ""]).encode()
        + b"".join(kept)
        + "".join(f"{line}\r\n" for line in added).encode("utf-8", "surrogateescape")
    )
    return header, trace_headers.find_message_id(header) or message_id


def _is_dropped(field: bytes) -> bool:
    """Return True for fields that are not passed on, among them results of checks that claim our name."""
    if _field_name(field) in _DROPPED:
        return True
    return authentication_results.FIELD.match(field) is not None and authentication_results.claims_name(
        field, is_own_name
    )


def _format_phrase(name: str) -> str:
    """Quote a display name if needed (RFC 5322 §3.2.5); non-ASCII characters are unchanged (RFC 6532)."""
    name = " ".join(name.split())
    if _ATOMS.fullmatch(name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'
