"""One pass over a message at delivery that collects all data for listing, sorting and searching.

The store calls it for every message inserted into a mailbox. It never raises, whatever the bytes are; time and memory
are bounded by the limits in `headers`, `mime` and `readable_text`.
"""

import re
from dataclasses import dataclass

from mailcore.wire.message import address_list, body_structure, dates, headers, mime, readable_text, subject_base
from mailcore.wire.message.casemap import casemap
from mailcore.wire.message.headers import Fields
from mailcore.wire.message.mime import Content, Part
from mailcore.wire.text.charsets import fold_text

KEY = 255  # longest key, in characters
_SUBJECT = re.compile(rb"^subject[ \t]*:[^\r\n]*(?:\r?\n[ \t][^\r\n]*)*", re.IGNORECASE | re.MULTILINE)
_PEOPLE = frozenset({"from", "sender", "reply-to", "to", "cc", "bcc"})
MAX_REFERENCES = 100  # message ids that are stored: the first one and the latest others


@dataclass(slots=True)
class MessageScan:
    """The data of one message; formatted parts are ready to be sent by FETCH."""

    envelope: bytes  # "(...)" as FETCH ENVELOPE sends it
    body_structure: bytes  # "(...)" as FETCH BODYSTRUCTURE sends it
    sent_at: int | None  # Date in seconds; None if missing or unreadable
    sent_zone: int  # minutes its zone is ahead of UTC, or dates.NO_DATE
    subject_key: str  # base subject (RFC 5256 §2.1) as SORT orders it, at most 255 characters, like the keys below
    is_reply: bool  # the subject has a reply or forward prefix
    from_key: str
    to_key: str
    cc_key: str
    from_display: str
    to_display: str
    message_id: str  # without <>
    references: str  # message ids from References, else In-Reply-To; oldest first, separated by spaces
    preview: str  # RFC 8970, at most 200 characters
    has_attachment: bool
    headers_text: str  # for searches: "name: value" lines, decoded and folded, names in lower case
    body_text: str  # for searches: decoded and folded text of all text parts
    line_end_growth: int  # bytes that a line-oriented protocol adds: CR before each bare LF, a line end at the end


def scan_message(content: Content, start: int = 0) -> MessageScan:
    """Scan the message that begins at byte `start`; a mapped file is copied only where needed."""
    root = mime.parse_message(content, start)
    first = root.first_fields
    sent = dates.parse_date(first["date"]) if "date" in first else None
    from_key, from_display = _first_person(first.get("from"))
    to_key, to_display = _first_person(first.get("to"))
    ids = headers.parse_message_ids(first.get("message-id", "")[:1000])
    subject, is_reply = _parse_subject(first.get("subject"))
    body_text, words = _texts(content, root)
    return MessageScan(
        envelope=body_structure.format_envelope(root.fields).encode("latin-1"),
        body_structure=body_structure.format_body_structure(content, root).encode("latin-1"),
        sent_at=sent[0] if sent else None,
        sent_zone=sent[1] if sent else dates.NO_DATE,
        subject_key=casemap(subject)[:KEY],
        is_reply=is_reply,
        from_key=from_key,
        to_key=to_key,
        cc_key=_first_person(first.get("cc"))[0],
        from_display=from_display,
        to_display=to_display,
        message_id=_storable(ids[0])[:KEY] if ids else "",
        references=_thread_references(first.get("references", ""), first.get("in-reply-to", "")),
        preview=words,
        has_attachment=any(_is_attachment(leaf) for leaf in readable_text.leaf_parts(root))
        if root.kind != "text"
        else False,
        headers_text=_headers_text(root.fields),
        body_text=body_text,
        line_end_growth=count_line_end_growth(content, start),
    )


def count_line_end_growth(content: Content, start: int = 0, step: int = 1 << 20) -> int:
    """Return the bytes that are added to the content from `start` on when all its lines end in CRLF.

    A message in POP3 is that much longer than its file (RFC 1939 §11). `step` bytes of a mapped file are read at once.
    """
    if len(content) <= start:
        return 0
    growth = 0
    for at in range(start, len(content), step):
        piece = content[at : at + step + 1]  # a CRLF may lie across two pieces
        growth += piece.count(b"\n", 0, step) - (piece.count(b"\r\n") if b"\r" in piece else 0)
    if content[-1:] == b"\n":
        return growth
    return growth + (1 if content[-1:] == b"\r" else 2)


def base_subject(words: str) -> str:
    """Return the key of a subject as a person types it."""
    return subject_base.strip_to_base(fold_text(words))[0][:KEY]


def subject_key_of(header: bytes) -> str:
    """Return the key of a header's first Subject, "" if it has none."""
    match = _SUBJECT.search(header)
    return _parse_subject(headers.split_fields(match[0])[0][1])[0][:KEY] if match else ""


def _parse_subject(value: str | None) -> tuple[str, bool]:
    """Return (folded base subject, True if the subject has a reply or forward prefix)."""
    if not value:
        return "", False
    return subject_base.strip_to_base(fold_text(headers.decode_value(value)))


def _first_person(value: str | None) -> tuple[str, str]:
    """Return (mailbox, display) of the first address as SORT orders them (RFC 5256 §3 FROM, RFC 5957 §3 DISPLAYFROM).

    A group counts with its name in both, as ENVELOPE has that in the place of the mailbox.
    """
    if not value:
        return "", ""
    for address in address_list.parse_address_list(value[:2000]):
        if not address.mailbox:
            continue
        mailbox = casemap(headers.decode_value(address.mailbox))[:KEY]
        if address.host is None:
            return mailbox, mailbox
        if address.name:
            return mailbox, casemap(headers.decode_value(address.name))[:KEY]
        return mailbox, casemap(_utf8(f"{address.mailbox}@{address.host}"))[:KEY]
    return "", ""


def _thread_references(references: str, in_reply_to: str) -> str:
    """Return the ids used for threading: References, else the first id of In-Reply-To (RFC 5256 §3)."""
    found = headers.parse_message_ids(references) or headers.parse_message_ids(in_reply_to)[:1]
    if len(found) > MAX_REFERENCES:
        found = found[:1] + found[1 - MAX_REFERENCES :]
    return _storable(" ".join(each[:KEY] for each in found))


def _headers_text(fields: Fields) -> str:
    if any("(" in value for name, value in fields if name in _PEOPLE):
        fields = [
            (name, _addresses_only(value) if name in _PEOPLE and "(" in value else value) for name, value in fields
        ]
    lines = "\n".join([f"{name}: {value}" for name, value in fields])
    if lines.isascii() and "=?" not in lines:
        return fold_text(lines.replace("\t", " "))
    return fold_text("\n".join([f"{name}: {headers.decode_value(value)}" for name, value in fields])).replace("\t", " ")


def _addresses_only(value: str) -> str:
    """Return an address list with its comments and, again, its addresses without them: searches look at both."""
    found = [f"{each.mailbox}@{each.host}" for each in address_list.parse_address_list(value[:2000]) if each.host]
    return f"{value} {' '.join(found)}"


def _texts(content: Content, root: Part) -> tuple[str, str]:
    """Return (folded text of all parts, preview); file names, nested headers and reports count as text."""
    pieces: list[str] = []
    left, plain, marked_up = readable_text.MAX_TEXT, "", ""

    def visit(part: Part) -> None:
        nonlocal left, plain, marked_up
        if left <= 0:
            return
        piece = ""
        if part.children:
            for child in part.children:
                visit(child)
        elif part.message is not None:
            piece = _headers_text(part.message.fields)
            visit(part.message)
        elif part.kind == "message":  # a delivery status, a disposition notification, a message in base64
            piece = readable_text.readable_text(content, part, left)
        elif part.kind == "text":
            piece = readable_text.readable_text(content, part, left)
            if not plain and part.subtype not in ("html", "xhtml"):
                plain = readable_text.make_preview(piece)
            elif not marked_up:
                marked_up = readable_text.make_preview(piece)
        if part is not root and (name := part_file_name(part)):
            pieces.append(name)
        if piece:
            pieces.append(piece)
            left -= len(piece)

    visit(root)
    joined = "\n".join(pieces)[: readable_text.MAX_TEXT]
    return fold_text(joined).replace("\n", " "), plain or marked_up


def part_file_name(part: Part) -> str:
    """Return the file name of a part, decoded; "" if it has none."""
    disposition = part.field("content-disposition")
    if disposition and (name := headers.parse_structured(disposition).text("filename")):
        return name
    return part.content_type.text("name") if part.content_type.parameters else ""


def _is_attachment(leaf: Part) -> bool:
    """Return True for an attachment as a person sees it: neither text, nor an inline image, nor a signature."""
    disposition = headers.parse_structured(leaf.field("content-disposition")).value.lower()
    if disposition == "attachment":
        return leaf.subtype not in ("pgp-signature", "pkcs7-signature", "x-pkcs7-signature")
    if leaf.kind == "text":
        return bool(disposition and part_file_name(leaf))
    if leaf.kind == "image" and (disposition == "inline" or leaf.field("content-id")):
        return False
    return leaf.subtype not in ("pgp-signature", "pkcs7-signature", "x-pkcs7-signature", "pgp-encrypted")


def _utf8(raw: str) -> str:
    return raw if raw.isascii() else headers.decode_value(raw)


def _storable(raw: str) -> str:
    return raw.replace("\0", "") if "\0" in raw else raw
