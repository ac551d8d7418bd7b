"""Letters from programs on this machine: what `sendmail` was given becomes a letter in the queue.

Works whether or not a server runs: the queue is files and rows, couriers find the letter when they come.
The header is completed as Postfix's cleanup(8) does (Received, Message-Id, Date, From); Bcc is taken out.
"""

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import formatdate

from mailcore import conf, log
from mailcore.post import files, intake
from mailcore.post.queue import MICRO, now_us
from mailcore.post.route import is_own_name
from mailcore.terms import Client, Letter, LetterRecipient, TemporaryFault
from mailcore.wire import address as addresses
from mailcore.wire import addresslist, authres, trace

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_NAMED = re.compile(rb"[!-9;-~]+[ \t]*:|From |>From ")
_TO = (b"to", b"cc", b"bcc")
_RESENT_TO = (b"resent-to", b"resent-cc", b"resent-bcc")
_DROPPED = frozenset((b"bcc", b"resent-bcc", b"content-length", b"return-path"))
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


@dataclass(frozen=True, slots=True)
class Submission:
    """What a local program hands in: `content` with any line ends, `full_name` for a From that is missing."""

    content: bytes
    sender: str  # an address, bare local parts allowed; "" = the null sender
    recipients: tuple[str, ...]
    from_header: bool = False  # -t: recipients also from To, Cc and Bcc
    full_name: str = ""
    user_id: int = 0
    notify: str = ""  # RFC 3461 NOTIFY
    return_full: bool | None = None
    envelope_id: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a submission is no letter: `too_big`, or words."""

    text: str
    too_big: bool = False


def submit(submission: Submission) -> Letter | Refused:
    """Put it in the queue. Refused: nobody to send it to, or larger than message_size_limit. Raises
    TemporaryFault when the queue cannot be written."""
    limit = conf.current().message_size_limit
    if limit and len(submission.content) > limit:
        return Refused("message file too big", too_big=True)
    fields, body = _parted(_with_crlf(submission.content))
    found = list(submission.recipients)
    if submission.from_header:
        found += _named_in(fields)
    recipients = _cleaned(found)
    if not recipients:
        return Refused("No recipient addresses found in message header" if submission.from_header else _NOBODY)
    file = files.ContentFile()
    try:
        files.make_directories()
        letter_id = file.open()
        now = now_us()
        sender = _full(submission.sender) if submission.sender else ""
        header, message_id = _completed(fields, submission, sender, f"{letter_id:X}", now // MICRO)
        content = header + body
        file.write(content)
        file.finish()
    except OSError as error:
        with contextlib.suppress(OSError):
            file.discard()
        raise TemporaryFault(f"queue file write error: {error.strerror}") from error
    letter = Letter(
        id=letter_id,
        sender=sender,
        recipients=tuple(LetterRecipient(each, notify=submission.notify) for each in recipients),
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
        letter = intake.take_in_file(file, letter)
    except TemporaryFault:
        file.discard()
        raise
    log.write(
        "pickup",
        f"{letter.queue_id}: uid={submission.user_id} from=<{sender}>",
        f"{letter.queue_id}: message-id=<{message_id}>",
    )
    return letter


_NOBODY = "Recipient addresses must be specified on the command line or via the -t option"


def _with_crlf(content: bytes) -> bytes:
    content = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if content and not content.endswith(b"\n"):
        content += b"\n"
    return content.replace(b"\n", b"\r\n")


def _parted(content: bytes) -> tuple[list[bytes], bytes]:
    """(header fields with their line ends, the empty line and what follows). A first line that is no field
    begins the body, as in Postfix; so does one between fields."""
    fields: list[bytes] = []
    at = 0
    while at < len(content):
        end = content.find(b"\r\n", at) + 2
        line = content[at:end]
        if line == b"\r\n":
            return fields, content[at:]
        if line[:1] in b" \t" and fields:
            fields[-1] += line
        elif _NAMED.match(line):
            fields.append(line)
        else:
            return fields, b"\r\n" + content[at:]
        at = end
    return fields, b"\r\n"


def _name(field: bytes) -> bytes:
    match = _FIELD.match(field)
    return match[1].lower() if match else b""


def _named_in(fields: Sequence[bytes]) -> list[str]:
    """The recipients a header names; those of Resent- fields where there are any (RFC 5322 §3.6.6)."""
    names = _RESENT_TO if any(_name(field) in _RESENT_TO for field in fields) else _TO
    values = [field.partition(b":")[2] for field in fields if _name(field) in names]
    return [" ".join(value.decode("utf-8", "surrogateescape").split()) for value in values]


def _cleaned(given: Sequence[str]) -> list[str]:
    """Each address once, in order, with a domain; what is none is passed on to be returned."""
    found: dict[str, None] = {}
    for text in given:
        for each in addresslist.parse(text):
            if each.mailbox and each.host is not None:
                full = f"{each.mailbox}@{each.host}" if each.host else each.mailbox
                found[_full(full)] = None
    return list(found)


def _full(text: str) -> str:
    """The address, with myorigin where it has no domain."""
    local, domain = addresses.split(text.strip())
    with contextlib.suppress(addresses.AddressError):
        domain = addresses.ascii_domain(domain)
    return f"{local}@{domain or conf.current().myorigin}"[:320]


def _completed(
    fields: Sequence[bytes], submission: Submission, sender: str, queue_id: str, at: int
) -> tuple[bytes, str]:
    """(the header without its empty line, the Message-ID)."""
    parameters = conf.current()
    kept = [field for field in fields if _name(field) and not _is_dropped(field)]
    present = {_name(field) for field in kept}
    prefix, before = ("Resent-", b"resent-") if any(name.startswith(b"resent-") for name in present) else ("", b"")
    lines = [
        f"Received: by {parameters.myhostname} ({parameters.mail_name}, from userid {submission.user_id})",
        f"\tid {queue_id}; {trace.date_header(at)}",
    ]
    late = []
    message_id = ""
    if before + b"message-id" not in present:
        message_id = f"{at}.{queue_id}@{parameters.myhostname}"
        late.append(f"{prefix}Message-Id: <{message_id}>")
    if before + b"date" not in present:
        late.append(f"{prefix}Date: {formatdate(at, localtime=True)}")
    if before + b"from" not in present:
        author = addresses.render(sender) or f"MAILER-DAEMON@{parameters.myorigin}"
        late.append(f"{prefix}From: {_phrase(submission.full_name)} <{author}>".replace(":  <", ": <"))
    header = (
        "\r\n".join([*lines, ""]).encode()
        + b"".join(kept)
        + "".join(f"{line}\r\n" for line in late).encode("utf-8", "surrogateescape")
    )
    return header, trace.message_id(header) or message_id


def _is_dropped(field: bytes) -> bool:
    """Return True for fields that are not passed on: among them results of checks that bear our name, as if we had
    made them."""
    if _name(field) in _DROPPED:
        return True
    return authres.FIELD.match(field) is not None and authres.claims_name(field, is_own_name)


def _phrase(name: str) -> str:
    """A display name (RFC 5322 §3.2.5); other characters than ASCII go as they are (RFC 6532)."""
    name = " ".join(name.split())
    if _ATOMS.fullmatch(name):
        return name
    escaped = re.sub(r'(["\\])', r"\\\1", name)
    return f'"{escaped}"'
