"""One letter as a page shows it: who, when, the text or HTML, images inside, files.

Brings together what `imap` fetches and `parts` says of it; called by the reading and composing pages.
"""

import base64
from dataclasses import dataclass

from mailcore.wire import headers
from webmail import gate, imap, parts, pictures, plain, rows, words
from webmail.addresses import Address, from_header
from webmail.parts import Part, Shown

INSIDE_LIMIT = 8_000_000  # octets of images put into one letter's HTML
TEXT_LIMIT = 2_000_000  # octets of text parts fetched to be shown
RASTER = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})

# Kinds a browser may show in place; everything else is only downloaded.
VIEWABLE = RASTER | {"application/pdf", "text/plain"}


def is_viewable(part: Part) -> bool:
    return part.kind in VIEWABLE or is_card(part)


def is_card(part: Part) -> bool:
    """A vCard (RFC 6350, and the names it had before)."""
    named = part.kind == "application/octet-stream" and part.file_name.casefold().endswith(".vcf")
    return named or part.kind in ("text/vcard", "text/x-vcard", "text/directory")


@dataclass(frozen=True, slots=True)
class Head:
    """The header fields a page shows; `fields` is all of them, decoded, in order."""

    fields: tuple[tuple[str, str], ...]
    raw: headers.Fields

    def first(self, name: str) -> str:
        return next((words.header(value.encode("latin-1")) for key, value in self.raw if key == name), "")

    def addresses(self, name: str) -> tuple[Address, ...]:
        return tuple(a for key, value in self.raw if key == name for a in from_header(value))

    @property
    def subject(self) -> str:
        return self.first("subject")

    @property
    def ids(self) -> str:
        """The References an answer carries on: those of this letter and its own id (RFC 5322 §3.6.4)."""
        found = headers.message_ids(self.raw_first("references") or self.raw_first("in-reply-to"))
        return " ".join(f"<{each}>" for each in [*found[-20:], *headers.message_ids(self.raw_first("message-id"))])

    def raw_first(self, name: str) -> str:
        return next((value for key, value in self.raw if key == name), "")

    @property
    def priority(self) -> str:
        """ "high", "low" or ""."""
        return rows.priority(self.raw_first("x-priority") or self.raw_first("importance") or self.raw_first("priority"))


@dataclass(frozen=True, slots=True)
class Letter:
    row: rows.Row
    head: Head
    root: Part
    shown: Shown
    section: str = ""  # of the message/rfc822 part it is, "" for the letter itself


def head_of(raw: bytes) -> Head:
    fields = headers.split(raw)
    decoded = tuple((name.title(), words.header(value.encode("latin-1"))) for name, value in fields)
    return Head(decoded, fields)


def letter(mail: imap.Mail, found: imap.Found, section: str = "") -> Letter | None:
    """The letter itself, or the one enclosed at `section`; None if there is none."""
    root = parts.tree(found.structure)
    if not section:
        return Letter(found.row, head_of(found.head), root, parts.shown(root))
    part = part_at(root, section)
    if part is None or part.kind != "message/rfc822" or not part.children:
        return None
    return Letter(found.row, head_of(mail.heads(found.row.uid, section)), root, parts.shown(part.children[0]), section)


def outline(root: Part) -> list[tuple[int, Part]]:
    """Every part of the letter with its depth, for a page of details."""
    found: list[tuple[int, Part]] = []
    waiting = [(0, root)]
    while waiting:
        depth, part = waiting.pop()
        found.append((min(depth, 8), part))
        waiting += [(depth + 1, child) for child in reversed(part.children)]
    return found


def part_at(root: Part, section: str) -> Part | None:
    return next((part for part in root.walk() if part.section == section and part.main != "multipart"), None)


def wanted(shown: Shown, *, html: bool) -> tuple[Part, ...]:
    """The parts a page shows; HTML where there is some and it is wanted, or there is nothing else."""
    return shown.html if shown.html and (html or not shown.text) else shown.text


def fitting(wanted: tuple[Part, ...]) -> list[str]:
    """Sections of as many of these parts as fit TEXT_LIMIT, the first in any case."""
    sections: list[str] = []
    total = 0
    for part in wanted:
        total += part.size
        if not sections or total <= TEXT_LIMIT:
            sections.append(part.section)
    return sections


def raw_parts(mail: imap.Mail, uid: int, wanted: tuple[Part, ...]) -> dict[str, bytes]:
    """The octets of these parts, as many as fit TEXT_LIMIT."""
    return mail.contents(uid, fitting(wanted))


def text(wanted: tuple[Part, ...], raw: dict[str, bytes]) -> str:
    """The text of these parts, one after the other; HTML as text."""
    out = []
    for part in wanted:
        if part.section in raw:
            content = parts.text_of(part, raw[part.section])
            out.append(plain.from_html(gate.clean(content).html) if part.kind == "text/html" else content)
    return "\n\n".join(piece.rstrip() for piece in out)


def html(wanted: tuple[Part, ...], raw: dict[str, bytes], images: dict[str, str], *, remote: bool) -> gate.Cleaned:
    """The HTML of these parts through the gate; plain text among them as HTML. `remote`: pictures from the
    network come through us (`webmail.pictures`)."""
    pieces = [
        parts.text_of(part, raw[part.section])
        if part.kind == "text/html"
        else f'<div style="white-space:pre-wrap">{plain.to_html(parts.text_of(part, raw[part.section]))}</div>'
        for part in wanted
        if part.section in raw
    ]
    cleaned = [gate.clean(piece, images, remote=pictures.address if remote else None) for piece in pieces]
    joined = "<hr>".join(c.html for c in cleaned)
    return gate.Cleaned(joined, sum(c.blocked for c in cleaned), any(c.cut for c in cleaned))


def images_inside(mail: imap.Mail, uid: int, inside: tuple[Part, ...]) -> dict[str, str]:
    """Content-ID to data: URL, for raster images up to INSIDE_LIMIT together."""
    wanted, total = [], 0
    for part in inside:
        total += part.octets
        if part.kind in RASTER and total <= INSIDE_LIMIT:
            wanted.append(part)
    raw = mail.contents(uid, [part.section for part in wanted])
    return {
        part.content_id: f"data:{part.kind};base64,{base64.b64encode(parts.decoded(part, raw[part.section])).decode()}"
        for part in wanted
        if part.section in raw
    }
