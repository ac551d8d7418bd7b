"""What a new message takes from an old one: recipients, subject, quotation, files."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from webmail.account.session import WebmailUser
from webmail.composing import mime_builder, sender_identities
from webmail.composing.sender_identities import Identity
from webmail.mailserver import imap_client
from webmail.reading import message_content, unsubscribe
from webmail.reading.message_content import MessageContent
from webmail.values import mime_parts
from webmail.values.addresses import Address


@dataclass(frozen=True, slots=True)
class ComposeSource:
    """`of` names messages of folder `box` by UID, parted by commas; `mode` is what to make of them."""

    mode: str
    box: str
    of: str


def begin_from_message(
    mail: imap_client.MailSession, person: WebmailUser, source: ComposeSource
) -> dict[str, Any] | None:
    """The first content of the compose form; None if the message has gone. Files of a draft come as
    "copied": (name, media type, bytes)."""
    uids = [int(uid) for uid in source.of.split(",") if uid.isdecimal() and len(uid) < 11][:100]
    if not uids:
        return None
    mail.open(source.box, fresh=False)
    if source.mode == "attach":
        return _as_attachment(mail, person, source, uids)
    found = mail.find(uids[0])
    message = message_content.load_message(mail, found) if found else None
    if message is None:
        return None
    text = message_content.render_text(
        message.shown.text, message_content.fetch_parts(mail, uids[0], message.shown.text)
    )
    base = {"in": source.box, "of": str(uids[0]), "mode": source.mode}
    match source.mode:
        case "reply" | "all" | "list":
            return base | _reply_fields(message, person, text, source.mode)
        case "forward":
            return base | _forward_fields(message, person, text)
    return base | _edit_as_new(mail, person, message, text, as_draft=source.mode == "draft")


def _receiving_identity(message: MessageContent, person: WebmailUser) -> Identity:
    """The identity a message was sent to, the visitor's usual one where that is nobody."""
    fields = ("delivered-to", "x-original-to", "to", "cc", "bcc")
    return sender_identities.identity_for(person, [a.mail for name in fields for a in message.head.addresses(name)])


def _reply_fields(message: MessageContent, person: WebmailUser, text: str, mode: str) -> dict[str, Any]:
    head, options = message.head, person.options
    everybody, me = mode == "all", _receiving_identity(message, person)
    writers = head.addresses("reply-to") or head.addresses("from")
    own = (
        [each.mail for each in sender_identities.list_identities(person)] if options.all_but_me or not everybody else []
    )
    if not mime_builder.exclude_own(writers, own):  # answering what one wrote oneself: to whom it went
        writers = head.addresses("to") or writers
    post = unsubscribe.list_commands(head).get("post", "")
    if mode == "list" and (place := re.match(r"mailto:([^?]+)", post, re.IGNORECASE)):
        writers = (Address("", unquote(place[1])),)
    to = mime_builder.exclude_own([*writers, *(head.addresses("to") if everybody else ())], own) or writers
    cc = mime_builder.exclude_own(head.addresses("cc"), [*own, *(a.mail for a in to)]) if everybody else ()
    body = mime_builder.reply_body(head, message.row, text, options.citation)
    above, signed = options.reply_above, options.sign_above
    return {
        "identity": str(me.id),
        "to": mime_builder.join_addresses(to),
        "cc": mime_builder.join_addresses(cc),
        "subject": mime_builder.reply_subject(head.subject),
        "body": mime_builder.add_signature(body, me.signature, above=above, sign_above=signed),
        "in_reply_to": mime_builder.parse_ids(message.row.message_id),
        "references": mime_builder.parse_ids(head.ids),
    }


def _forward_fields(message: MessageContent, person: WebmailUser, text: str) -> dict[str, Any]:
    body = mime_builder.forward_body(message.head, message.row, text)
    files = [part for part in (*message.shown.files, *message.shown.inside) if part.title or part.main != "image"]
    me = _receiving_identity(message, person)
    return {
        "identity": str(me.id),
        "subject": mime_builder.forward_subject(message.head.subject),
        "body": mime_builder.add_signature(body, me.signature, above=True),
        "references": mime_builder.parse_ids(message.head.ids),
        "carry": [f"{message.row.uid}:{part.section}" for part in files],
    }


def _as_attachment(
    mail: imap_client.MailSession, person: WebmailUser, source: ComposeSource, uids: list[int]
) -> dict[str, Any] | None:
    rows = mail.summaries_of(uids)
    if not rows:
        return None
    usual = sender_identities.default_identity(person)
    return {
        "in": source.box,
        "of": ",".join(str(row.uid) for row in rows),
        "mode": "attach",
        "subject": mime_builder.forward_subject(rows[0].subject),
        "identity": str(usual.id),
        "body": mime_builder.add_signature("", usual.signature, above=True),
        "carry": [f"{row.uid}:" for row in rows],
    }


def _edit_as_new(
    mail: imap_client.MailSession, person: WebmailUser, message: MessageContent, text: str, *, as_draft: bool
) -> dict[str, Any]:
    """A draft to go on with, or an old message as the beginning of a new one."""
    head, uid = message.head, message.row.uid
    raw = mail.contents(uid, [part.section for part in message.shown.files])
    copied = [
        (part.title, part.kind, octets if part.kind == "message/rfc822" else mime_parts.decode_part(part, octets))
        for part in message.shown.files
        if (octets := raw.get(part.section)) is not None
    ]
    writer = sender_identities.identity_for(person, [a.mail for a in head.addresses("from")])
    fields: dict[str, Any] = {
        "identity": str(writer.id),
        "to": mime_builder.join_addresses(head.addresses("to")),
        "cc": mime_builder.join_addresses(head.addresses("cc")),
        "bcc": mime_builder.join_addresses(head.addresses("bcc")),
        "subject": head.subject,
        "body": text,
        "priority": head.priority,
        "copied": copied,
    }
    if as_draft:
        fields["draft"] = str(uid)
        fields["in_reply_to"] = mime_builder.parse_ids(head.raw_first("in-reply-to"))
        fields["references"] = mime_builder.parse_ids(head.raw_first("references"))
    return fields
