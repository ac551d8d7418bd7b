"""What a new letter takes from an old one: recipients, subject, quotation, files."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from webmail import identities, imap, letters, parts, unsubscribe, writing
from webmail.addresses import Address
from webmail.identities import Identity
from webmail.letters import Letter
from webmail.visitor import Visitor


@dataclass(frozen=True, slots=True)
class Source:
    """`of` names letters of folder `box` by UID, parted by commas; `mode` is what to make of them."""

    mode: str
    box: str
    of: str


def begin(mail: imap.Mail, person: Visitor, source: Source) -> dict[str, Any] | None:
    """The first content of the compose form; None if the letter has gone. Files of a draft come as
    "copied": (name, media type, octets)."""
    uids = [int(uid) for uid in source.of.split(",") if uid.isdecimal() and len(uid) < 11][:100]
    if not uids:
        return None
    mail.open(source.box, fresh=False)
    if source.mode == "attach":
        return _as_attachment(mail, person, source, uids)
    found = mail.find(uids[0])
    letter = letters.letter(mail, found) if found else None
    if letter is None:
        return None
    text = letters.text(letter.shown.text, letters.raw_parts(mail, uids[0], letter.shown.text))
    base = {"in": source.box, "of": str(uids[0]), "mode": source.mode}
    match source.mode:
        case "reply" | "all" | "list":
            return base | _answer(letter, person, text, source.mode)
        case "forward":
            return base | _forward(letter, person, text)
    return base | _again(mail, person, letter, text, as_draft=source.mode == "draft")


def _addressee(letter: Letter, person: Visitor) -> Identity:
    """The identity a letter was sent to, the visitor's usual one where that is nobody."""
    fields = ("delivered-to", "x-original-to", "to", "cc", "bcc")
    return identities.addressed(person, [a.mail for name in fields for a in letter.head.addresses(name)])


def _answer(letter: Letter, person: Visitor, text: str, mode: str) -> dict[str, Any]:
    head, options = letter.head, person.options
    everybody, me = mode == "all", _addressee(letter, person)
    writers = head.addresses("reply-to") or head.addresses("from")
    own = [each.mail for each in identities.of(person)] if options.all_but_me or not everybody else []
    if not writing.without(writers, own):  # answering what one wrote oneself: to whom it went
        writers = head.addresses("to") or writers
    post = unsubscribe.commands(head).get("post", "")
    if mode == "list" and (place := re.match(r"mailto:([^?]+)", post, re.IGNORECASE)):
        writers = (Address("", unquote(place[1])),)
    to = writing.without([*writers, *(head.addresses("to") if everybody else ())], own) or writers
    cc = writing.without(head.addresses("cc"), [*own, *(a.mail for a in to)]) if everybody else ()
    body = writing.answer_body(head, letter.row, text, options.citation)
    above, signed = options.reply_above, options.sign_above
    return {
        "identity": str(me.id),
        "to": writing.joined(to),
        "cc": writing.joined(cc),
        "subject": writing.reply_subject(head.subject),
        "body": writing.with_signature(body, me.signature, above=above, sign_above=signed),
        "in_reply_to": writing.ids(letter.row.message_id),
        "references": writing.ids(head.ids),
    }


def _forward(letter: Letter, person: Visitor, text: str) -> dict[str, Any]:
    body = writing.forward_body(letter.head, letter.row, text)
    files = [part for part in (*letter.shown.files, *letter.shown.inside) if part.title or part.main != "image"]
    me = _addressee(letter, person)
    return {
        "identity": str(me.id),
        "subject": writing.forward_subject(letter.head.subject),
        "body": writing.with_signature(body, me.signature, above=True),
        "references": writing.ids(letter.head.ids),
        "carry": [f"{letter.row.uid}:{part.section}" for part in files],
    }


def _as_attachment(mail: imap.Mail, person: Visitor, source: Source, uids: list[int]) -> dict[str, Any] | None:
    rows = mail.rows_of(uids)
    if not rows:
        return None
    usual = identities.usual(person)
    return {
        "in": source.box,
        "of": ",".join(str(row.uid) for row in rows),
        "mode": "attach",
        "subject": writing.forward_subject(rows[0].subject),
        "identity": str(usual.id),
        "body": writing.with_signature("", usual.signature, above=True),
        "carry": [f"{row.uid}:" for row in rows],
    }


def _again(mail: imap.Mail, person: Visitor, letter: Letter, text: str, *, as_draft: bool) -> dict[str, Any]:
    """A draft to go on with, or an old letter as the beginning of a new one."""
    head, uid = letter.head, letter.row.uid
    raw = mail.contents(uid, [part.section for part in letter.shown.files])
    copied = [
        (part.title, part.kind, octets if part.kind == "message/rfc822" else parts.decoded(part, octets))
        for part in letter.shown.files
        if (octets := raw.get(part.section)) is not None
    ]
    writer = identities.addressed(person, [a.mail for a in head.addresses("from")])
    fields: dict[str, Any] = {
        "identity": str(writer.id),
        "to": writing.joined(head.addresses("to")),
        "cc": writing.joined(head.addresses("cc")),
        "bcc": writing.joined(head.addresses("bcc")),
        "subject": head.subject,
        "body": text,
        "priority": head.priority,
        "copied": copied,
    }
    if as_draft:
        fields["draft"] = str(uid)
        fields["in_reply_to"] = writing.ids(head.raw_first("in-reply-to"))
        fields["references"] = writing.ids(head.raw_first("references"))
    return fields
