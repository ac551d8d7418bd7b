"""One message as a page shows it: header, text or HTML, embedded images, files.

Combines what `imap_client` fetches with its analysis by `mime_parts`; used by the reading and composing views.
"""

import base64
from dataclasses import dataclass
from typing import NamedTuple

from mailcore.wire.message import headers
from webmail.mailserver import imap_client
from webmail.sanitize import html_sanitizer, plain_text, remote_images
from webmail.values import header_text, message_summary, mime_parts, uuencoded_files
from webmail.values.addresses import Address, parse_header
from webmail.values.mime_parts import DisplayedParts, MimePart

INLINE_LIMIT = 8_000_000  # bytes of images embedded into one message's HTML
_BLANK = 4000  # bytes of an HTML part that may be blank
TEXT_LIMIT = 2_000_000  # bytes of text parts fetched for display
RASTER = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})

# Types a browser may display inline; all others are only downloaded.
VIEWABLE = RASTER | {"application/pdf", "text/plain"}


def is_viewable(part: MimePart) -> bool:
    return part.kind in VIEWABLE or is_vcard(part)


def is_vcard(part: MimePart) -> bool:
    """Return True for a vCard (RFC 6350, and its older media types)."""
    named = part.kind == "application/octet-stream" and part.file_name.casefold().endswith(".vcf")
    return named or part.kind in ("text/vcard", "text/x-vcard", "text/directory")


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """The header fields a page shows; `fields` are all of them, decoded, in order."""

    fields: tuple[tuple[str, str], ...]
    raw: headers.Fields
    charset: str = ""  # of the message's text, which raw bytes of the header are likely to have too

    def first(self, name: str) -> str:
        value = self.raw_first(name)
        return header_text.decode_header(value.encode("latin-1"), self.charset)

    def addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(person for person in self.people(name) if person.mail)

    def people(self, name: str) -> tuple[Address, ...]:
        """Return the addresses of a field with the names of groups, which have no address."""
        return tuple(a for key, value in self.raw if key == name for a in parse_header(value, self.charset))

    @property
    def subject(self) -> str:
        return self.first("subject")

    @property
    def ids(self) -> str:
        """Return the References of a reply: those of this message and its own id (RFC 5322 §3.6.4)."""
        found = headers.parse_message_ids(self.raw_first("references") or self.raw_first("in-reply-to"))
        return " ".join(
            f"<{each}>" for each in [*found[-20:], *headers.parse_message_ids(self.raw_first("message-id"))]
        )

    def raw_first(self, name: str) -> str:
        return next((value for key, value in self.raw if key == name), "")

    @property
    def priority(self) -> str:
        """Return "high", "low" or ""."""
        return message_summary.parse_priority(
            self.raw_first("x-priority") or self.raw_first("importance") or self.raw_first("priority")
        )


@dataclass(frozen=True, slots=True)
class MessageContent:
    row: message_summary.MessageSummary
    head: MessageHeader
    root: MimePart
    shown: DisplayedParts
    section: str = ""  # of the message/rfc822 part shown; "" for the message itself
    charset: str = ""  # chosen by hand, for all text of the message; "" for what the message names


def parse_head(raw: bytes, charset: str = "") -> MessageHeader:
    fields = headers.split_fields(raw)
    decoded = tuple(
        (name.title(), header_text.decode_header(value.encode("latin-1"), charset)) for name, value in fields
    )
    return MessageHeader(decoded, fields, charset)


def load_message(
    mail: imap_client.MailSession, found: imap_client.FetchedMessage, section: str = "", charset: str = ""
) -> MessageContent | None:
    """Return the message, or the one enclosed at `section`; None if there is no such part.

    `charset` stands for the one that its text names.
    """
    root = mime_parts.parse_structure(found.structure)
    if not section:
        head = parse_head(found.head, charset or mime_parts.text_charset(root))
        return MessageContent(found.row, head, root, mime_parts.choose_parts(root), charset=charset)
    part = find_part(root, section)
    if part is None or part.kind != "message/rfc822" or not part.children:
        return None
    return MessageContent(
        found.row,
        parse_head(mail.read_header(found.row.uid, section), charset or mime_parts.text_charset(part.children[0])),
        root,
        mime_parts.choose_parts(part.children[0]),
        section,
        charset,
    )


def list_parts(root: MimePart) -> list[tuple[int, MimePart]]:
    """Return every part of the message with its depth, for the details page."""
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
    """Return the parts a page shows: HTML if there is some and it is preferred or the only form."""
    return shown.html if shown.html and (html or not shown.text) else shown.text


def parts_within_limit(parts: tuple[MimePart, ...]) -> list[str]:
    """Return the sections of as many parts as fit TEXT_LIMIT, always including the first."""
    sections: list[str] = []
    total = 0
    for part in parts:
        total += part.size
        if not sections or total <= TEXT_LIMIT:
            sections.append(part.section)
    return sections


def fetch_parts(mail: imap_client.MailSession, uid: int, parts: tuple[MimePart, ...]) -> dict[str, bytes]:
    """Fetch the bytes of as many parts as fit TEXT_LIMIT."""
    return mail.contents(uid, parts_within_limit(parts))


def render_text(parts: tuple[MimePart, ...], raw: dict[str, bytes], charset: str = "", *, links: bool = False) -> str:
    """Return the text of the parts, one after the other; HTML as text, with the addresses of its `links` if asked."""
    out = []
    for part in parts:
        if part.section in raw:
            content = mime_parts.part_text(part, raw[part.section], charset)
            out.append(
                plain_text.from_html(html_sanitizer.sanitize_html(content).html, links=links)
                if part.kind == "text/html"
                else uuencoded_files.without_files(content)
            )
    return "\n\n".join(piece.rstrip() for piece in out)


class TextFile(NamedTuple):
    """A file uuencoded in a text part: the part's section, the file's number there, its name and size in bytes."""

    section: str
    number: int
    name: str
    size: int


def list_text_files(parts: tuple[MimePart, ...], raw: dict[str, bytes]) -> list[TextFile]:
    """Return the files that stand uuencoded in the plain text of the parts."""
    found = []
    for part in parts:
        if part.kind == "text/plain" and b"begin " in raw.get(part.section, b""):
            text = mime_parts.part_text(part, raw[part.section])
            for number, file in enumerate(uuencoded_files.find_files(text)):
                size = len(uuencoded_files.decode_file(text, file))
                found.append(TextFile(part.section, number, file.name, size))
    return found


def render_html(
    parts: tuple[MimePart, ...], raw: dict[str, bytes], images: dict[str, str], *, remote: bool, charset: str = ""
) -> html_sanitizer.SanitizedHtml:
    """Return the sanitized HTML of the parts; plain text among them is converted.

    With `remote`, remote images are loaded through our proxy (`webmail.sanitize.remote_images`).
    """
    texts = {
        part.section: mime_parts.part_text(part, raw[part.section], charset) for part in parts if part.section in raw
    }
    pieces = [
        texts[part.section]
        if part.kind == "text/html"
        else f'<div style="white-space:pre-wrap">{plain_text.to_html(texts[part.section])}</div>'
        for part in parts
        if part.section in raw
    ]
    cleaned = [
        html_sanitizer.sanitize_html(piece, images, remote=remote_images.proxy_address if remote else None)
        for piece in pieces
    ]
    return html_sanitizer.SanitizedHtml(
        "<hr>".join(c.html for c in cleaned),
        sum(c.blocked for c in cleaned),
        any(c.cut for c in cleaned),
        frozenset().union(*(c.embedded for c in cleaned)),
    )


def is_blank_html(parts: tuple[MimePart, ...], raw: dict[str, bytes]) -> bool:
    """Return True if HTML parts show neither text nor pictures."""
    if any(part.kind != "text/html" or part.size > _BLANK for part in parts):
        return False
    html = render_html(parts, raw, {}, remote=False).html
    return "<img" not in html and not plain_text.from_html(html)


def list_files(mail: imap_client.MailSession, message: MessageContent) -> tuple[MimePart, ...]:
    """Return the message's files: its attachments, and images with a Content-ID that its HTML does not show."""
    shown = message.shown
    if not shown.inside:
        return shown.files
    raw = fetch_parts(mail, message.row.uid, shown.html)
    return shown.files_beside(render_html(shown.html, raw, image_names(shown), remote=False).embedded)


def image_names(shown: DisplayedParts) -> dict[str, str]:
    """Return the Content-IDs of the images inside, for a rendering that only finds out which of them it shows."""
    return {part.content_id: "" for part in shown.inside}


def inline_images(mail: imap_client.MailSession, uid: int, inside: tuple[MimePart, ...]) -> dict[str, str]:
    """Return data: URLs by Content-ID, for raster images of up to INLINE_LIMIT bytes in total."""
    parts, total = [], 0
    for part in inside:
        total += part.decoded_size
        if part.kind in RASTER and total <= INLINE_LIMIT:
            parts.append(part)
    raw = mail.contents(uid, [part.section for part in parts])
    data = {part.section: mime_parts.decode_part(part, raw[part.section]) for part in parts if part.section in raw}
    return {
        part.content_id: f"data:{part.kind};base64,{base64.b64encode(data[part.section]).decode()}"
        for part in parts
        if part.section in raw
    }
