"""One message as a page shows it: who, when, the text or HTML, images inside, files.

Brings together what `imap` fetches and `parts` says of it; called by the reading and composing pages.
"""

import base64
from dataclasses import dataclass

from mailcore.wire.message import headers
from webmail.mailserver import imap_client
from webmail.sanitize import html_sanitizer, plain_text, remote_images
from webmail.values import header_text, message_summary, mime_parts
from webmail.values.addresses import Address, parse_header
from webmail.values.mime_parts import DisplayedParts, MimePart

INSIDE_LIMIT = 8_000_000  # bytes of images put into one message's HTML
TEXT_LIMIT = 2_000_000  # bytes of text parts fetched to be shown
RASTER = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})

# Kinds a browser may show in place; everything else is only downloaded.
VIEWABLE = RASTER | {"application/pdf", "text/plain"}


def is_viewable(part: MimePart) -> bool:
    return part.kind in VIEWABLE or is_vcard(part)


def is_vcard(part: MimePart) -> bool:
    """A vCard (RFC 6350, and the names it had before)."""
    named = part.kind == "application/octet-stream" and part.file_name.casefold().endswith(".vcf")
    return named or part.kind in ("text/vcard", "text/x-vcard", "text/directory")


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """The header fields a page shows; `fields` is all of them, decoded, in order."""

    fields: tuple[tuple[str, str], ...]
    raw: headers.Fields

    def first(self, name: str) -> str:
        return next((header_text.decode_header(value.encode("latin-1")) for key, value in self.raw if key == name), "")

    def addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(a for key, value in self.raw if key == name for a in parse_header(value))

    @property
    def subject(self) -> str:
        return self.first("subject")

    @property
    def ids(self) -> str:
        """The References an answer carries on: those of this message and its own id (RFC 5322 §3.6.4)."""
        found = headers.parse_message_ids(self.raw_first("references") or self.raw_first("in-reply-to"))
        return " ".join(
            f"<{each}>" for each in [*found[-20:], *headers.parse_message_ids(self.raw_first("message-id"))]
        )

    def raw_first(self, name: str) -> str:
        return next((value for key, value in self.raw if key == name), "")

    @property
    def priority(self) -> str:
        """ "high", "low" or ""."""
        return message_summary.parse_priority(
            self.raw_first("x-priority") or self.raw_first("importance") or self.raw_first("priority")
        )


@dataclass(frozen=True, slots=True)
class MessageContent:
    row: message_summary.MessageSummary
    head: MessageHeader
    root: MimePart
    shown: DisplayedParts
    section: str = ""  # of the message/rfc822 part it is, "" for the message itself


def parse_head(raw: bytes) -> MessageHeader:
    fields = headers.split_fields(raw)
    decoded = tuple((name.title(), header_text.decode_header(value.encode("latin-1"))) for name, value in fields)
    return MessageHeader(decoded, fields)


def load_message(
    mail: imap_client.MailSession, found: imap_client.FetchedMessage, section: str = ""
) -> MessageContent | None:
    """The message itself, or the one enclosed at `section`; None if there is none."""
    root = mime_parts.parse_structure(found.structure)
    if not section:
        return MessageContent(found.row, parse_head(found.head), root, mime_parts.choose_parts(root))
    part = find_part(root, section)
    if part is None or part.kind != "message/rfc822" or not part.children:
        return None
    return MessageContent(
        found.row,
        parse_head(mail.read_header(found.row.uid, section)),
        root,
        mime_parts.choose_parts(part.children[0]),
        section,
    )


def list_parts(root: MimePart) -> list[tuple[int, MimePart]]:
    """Every part of the message with its depth, for a page of details."""
    found: list[tuple[int, MimePart]] = []
    waiting = [(0, root)]
    while waiting:
        depth, part = waiting.pop()
        found.append((min(depth, 8), part))
        waiting += [(depth + 1, child) for child in reversed(part.children)]
    return found


def find_part(root: MimePart, section: str) -> MimePart | None:
    return next((part for part in root.walk() if part.section == section and part.main != "multipart"), None)


def displayed_parts(shown: DisplayedParts, *, html: bool) -> tuple[MimePart, ...]:
    """The parts a page shows; HTML where there is some and it is wanted, or there is nothing else."""
    return shown.html if shown.html and (html or not shown.text) else shown.text


def parts_within_limit(wanted: tuple[MimePart, ...]) -> list[str]:
    """Sections of as many of these parts as fit TEXT_LIMIT, the first in any case."""
    sections: list[str] = []
    total = 0
    for part in wanted:
        total += part.size
        if not sections or total <= TEXT_LIMIT:
            sections.append(part.section)
    return sections


def fetch_parts(mail: imap_client.MailSession, uid: int, wanted: tuple[MimePart, ...]) -> dict[str, bytes]:
    """The bytes of these parts, as many as fit TEXT_LIMIT."""
    return mail.contents(uid, parts_within_limit(wanted))


def render_text(wanted: tuple[MimePart, ...], raw: dict[str, bytes]) -> str:
    """The text of these parts, one after the other; HTML as text."""
    out = []
    for part in wanted:
        if part.section in raw:
            content = mime_parts.part_text(part, raw[part.section])
            out.append(
                plain_text.from_html(html_sanitizer.sanitize_html(content).html)
                if part.kind == "text/html"
                else content
            )
    return "\n\n".join(piece.rstrip() for piece in out)


def render_html(
    wanted: tuple[MimePart, ...], raw: dict[str, bytes], images: dict[str, str], *, remote: bool
) -> html_sanitizer.SanitizedHtml:
    """The HTML of these parts through the gate; plain text among them as HTML. `remote`: pictures from the
    network come through us (`webmail.sanitize.remote_images`)."""
    pieces = [
        mime_parts.part_text(part, raw[part.section])
        if part.kind == "text/html"
        else f'<div style="white-space:pre-wrap">{plain_text.to_html(mime_parts.part_text(part, raw[part.section]))}</div>'
        for part in wanted
        if part.section in raw
    ]
    cleaned = [
        html_sanitizer.sanitize_html(piece, images, remote=remote_images.proxy_address if remote else None)
        for piece in pieces
    ]
    joined = "<hr>".join(c.html for c in cleaned)
    return html_sanitizer.SanitizedHtml(joined, sum(c.blocked for c in cleaned), any(c.cut for c in cleaned))


def inline_images(mail: imap_client.MailSession, uid: int, inside: tuple[MimePart, ...]) -> dict[str, str]:
    """Content-ID to data: URL, for raster images up to INSIDE_LIMIT together."""
    wanted, total = [], 0
    for part in inside:
        total += part.octets
        if part.kind in RASTER and total <= INSIDE_LIMIT:
            wanted.append(part)
    raw = mail.contents(uid, [part.section for part in wanted])
    return {
        part.content_id: f"data:{part.kind};base64,{base64.b64encode(mime_parts.decode_part(part, raw[part.section])).decode()}"
        for part in wanted
        if part.section in raw
    }
