"""The summary of a message that lists show, built from a FETCH response."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mailcore.wire.message import dates
from webmail.values import header_text, imap_responses, mime_parts
from webmail.values.addresses import Address, parse_envelope
from webmail.values.imap_responses import Value

ITEMS = "UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE"
PRIORITY = "BODY.PEEK[HEADER.FIELDS (X-PRIORITY IMPORTANCE)]"
SNIPPET = 160  # characters
_MONTHS = {m: n for n, m in enumerate(b"Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}


@dataclass(frozen=True, slots=True)
class MessageSummary:
    uid: int
    sequence: int
    flags: frozenset[str]
    arrived: datetime | None
    sent: datetime | None
    size: int
    subject: str
    senders: tuple[Address, ...]
    recipients: tuple[Address, ...]
    attachments: bool
    message_id: str = ""
    folder: str = ""
    copied: tuple[Address, ...] = ()
    snippet: str = ""  # the first words, where the server supports PREVIEW (RFC 8970)
    thread: str = ""  # THREADID of the conversation, where the server supports it (RFC 8474)
    priority: str = ""  # "high", "low" or ""
    validity: int = 0  # UIDVALIDITY of the folder

    def now(self, sequence: int, flags: frozenset[str]) -> "MessageSummary":
        """Return the summary with its current sequence number and flags; nothing else of a message ever changes."""
        if sequence == self.sequence and flags == self.flags:
            return self
        return replace(self, sequence=sequence, flags=flags)

    @property
    def moment(self) -> datetime | None:
        """Return the time a list shows: the Date field's, else INTERNALDATE."""
        return self.sent or self.arrived

    @property
    def writer(self) -> str:
        return ", ".join(address.short for address in self.senders[:2])

    @property
    def seen(self) -> bool:
        return "\\seen" in self.flags

    @property
    def flagged(self) -> bool:
        return "\\flagged" in self.flags

    @property
    def answered(self) -> bool:
        return "\\answered" in self.flags

    @property
    def deleted(self) -> bool:
        return "\\deleted" in self.flags

    @property
    def forwarded(self) -> bool:
        return "$forwarded" in self.flags

    @property
    def draft(self) -> bool:
        return "\\draft" in self.flags


def build_summary(uid: int, data: dict[bytes, Value], folder: str = "", validity: int = 0) -> MessageSummary:
    parts = _envelope(data)
    charset = _raw_charset(parts, data.get(b"BODYSTRUCTURE"))
    return MessageSummary(
        uid=uid,
        sequence=to_number(data.get(b"SEQ")),
        flags=fold_flags(data.get(b"FLAGS")),
        arrived=parse_internal_date(data.get(b"INTERNALDATE")),
        sent=parse_header_date(imap_responses.to_bytes(parts[0])),
        size=to_number(data.get(b"RFC822.SIZE")),
        subject=header_text.decode_header(imap_responses.to_bytes(parts[1]), charset),
        senders=parse_envelope(parts[2], charset),
        recipients=parse_envelope(parts[5], charset),
        attachments=has_attachment(data.get(b"BODYSTRUCTURE")),
        message_id=imap_responses.to_bytes(parts[9]).decode("ascii", "replace"),
        folder=folder,
        validity=validity,
        copied=parse_envelope(parts[6], charset),
        snippet=" ".join(imap_responses.to_bytes(data.get(b"PREVIEW")).decode("utf-8", "replace").split())[:SNIPPET],
        thread=_object_id(data.get(b"THREADID")),
        priority=_priority(data),
    )


def _raw_charset(envelope: tuple[Value, ...], structure: Value) -> str:
    """Return the charset of the first text part if the envelope has raw 8-bit bytes, else ""."""
    people = [name for people in envelope[2:7] if isinstance(people, tuple) for one in people for name in _strings(one)]
    if all(text.isascii() for text in (imap_responses.to_bytes(envelope[1]), *people)):
        return ""
    return mime_parts.text_charset(mime_parts.parse_structure(structure))


def _strings(value: Value) -> tuple[bytes, ...]:
    return tuple(each for each in value if isinstance(each, bytes)) if isinstance(value, tuple) else ()


def _envelope(data: dict[bytes, Value]) -> tuple[Value, ...]:
    envelope = data.get(b"ENVELOPE")
    return envelope if isinstance(envelope, tuple) and len(envelope) >= 10 else (None,) * 10


def in_reply_to(data: dict[bytes, Value]) -> str:
    """Return the In-Reply-To of ENVELOPE."""
    return imap_responses.to_bytes(_envelope(data)[8]).decode("ascii", "replace")


def _object_id(value: Value) -> str:
    return imap_responses.to_bytes(value[0]).decode("ascii", "replace") if isinstance(value, tuple) and value else ""


def _priority(data: dict[bytes, Value]) -> str:
    for name, value in data.items():
        if name.startswith(b"BODY[HEADER.FIELDS"):
            return parse_priority(imap_responses.to_bytes(value).partition(b":")[2].decode("latin-1"))
    return ""


def parse_priority(given: str) -> str:
    """Return "high", "low" or "" for the value of X-Priority, Importance or Priority."""
    given = given.strip().lower()
    if given[:1] in ("1", "2") or given.startswith(("high", "urgent")):
        return "high"
    return "low" if given[:1] in ("4", "5") or given.startswith(("low", "non-urgent")) else ""


def fold_flags(value: Value) -> frozenset[str]:
    """Return flags and keywords in lower case (RFC 9051 §2.3.2: they are case-insensitive)."""
    if not isinstance(value, tuple):
        return frozenset()
    return frozenset(flag.decode("ascii", "replace").lower() for flag in value if isinstance(flag, bytes))


def parse_internal_date(value: Value) -> datetime | None:
    """Parse INTERNALDATE, " 2-Jan-2026 10:00:00 +0800", into an aware datetime."""
    if not isinstance(value, bytes):
        return None
    try:
        day, clock, zone = value.split()
        number, month, year = day.split(b"-")
        hour, minute, second = clock.split(b":")
        offset = (int(zone[1:3]) * 3600 + int(zone[3:5]) * 60) * (-1 if zone[:1] == b"-" else 1)
        local = datetime(int(year), _MONTHS[month], int(number), int(hour), int(minute), int(second), tzinfo=UTC)
        return datetime.fromtimestamp(local.timestamp() - offset, UTC)
    except (ValueError, KeyError, OverflowError, OSError):
        return None


def parse_header_date(raw: bytes) -> datetime | None:
    """Parse a Date field (RFC 5322 §3.3), obsolete forms included; return None if it is invalid."""
    moment = dates.parse_date(raw.decode("latin-1"))
    try:
        return datetime.fromtimestamp(moment[0], UTC) if moment else None
    except (ValueError, OverflowError, OSError):
        return None


def has_attachment(structure: Value) -> bool:
    """Return True if a BODYSTRUCTURE has a file: a part marked attachment, or one that no page shows."""
    if not isinstance(structure, tuple) or not structure:
        return False
    if isinstance(structure[0], tuple):
        kinds = [item for item in structure if isinstance(item, tuple)]
        return any(
            has_attachment(kind) for kind in kinds if kind and isinstance(kind[0], bytes | tuple) and _is_part(kind)
        )
    if _disposition(structure) == b"attachment":
        return True
    kind = imap_responses.to_bytes(structure[0]).lower()
    subtype = imap_responses.to_bytes(structure[1]).lower() if len(structure) > 1 else b""
    if kind == b"text" or (kind == b"application" and subtype in (b"pgp-signature", b"pkcs7-signature")):
        return False
    if kind == b"image" and len(structure) > 3 and structure[3]:
        return False  # it has a Content-ID: shown inside the message
    return kind in (b"application", b"audio", b"video", b"image", b"model", b"font")


def _is_part(value: tuple[Value, ...]) -> bool:
    return isinstance(value[0], tuple) or (len(value) >= 7 and isinstance(value[1], bytes))


def _disposition(structure: tuple[Value, ...]) -> bytes:
    for item in structure[7:]:
        if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], bytes):
            return item[0].lower()
    return b""


def to_number(value: Value) -> int:
    return value if isinstance(value, int) else 0
