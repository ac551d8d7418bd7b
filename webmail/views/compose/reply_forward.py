"""The fields of a reply or forward: recipients, subject, quotation, files."""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from webmail.account.session import WebmailUser
from webmail.composing import mime_builder, sender_identities
from webmail.composing.sender_identities import Identity
from webmail.mailserver import imap_client
from webmail.reading import message_content, unsubscribe
from webmail.reading.message_content import MessageContent, MessageHeader
from webmail.values import mime_parts
from webmail.values.addresses import Address


@dataclass(frozen=True, slots=True)
class ComposeSource:
    """The messages a new one refers to: UIDs in `of`, separated by commas, in the folder `box`.

    `mode` is how they are used: reply, forward, …
    """

    mode: str
    box: str
    of: str


def begin_from_message(
    mail: imap_client.MailSession, person: WebmailUser, source: ComposeSource
) -> dict[str, Any] | None:
    """Return the initial fields of the compose form, or None if the message no longer exists.

    Files of a draft are in "copied": (name, media type, bytes).
    """
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
    raw = message_content.fetch_parts(mail, uids[0], message.shown.text)
    text = message_content.render_text(message.shown.text, raw, links=True)
    base = {"in": source.box, "of": str(uids[0]), "mode": source.mode}
    match source.mode:
        case "reply" | "all" | "list":
            return base | _reply_fields(message, person, text, source.mode)
        case "forward":
            return base | _forward_fields(message, person, text)
    return base | _edit_as_new(mail, person, message, text, as_draft=source.mode == "draft")


def _receiving_identity(message: MessageContent, person: WebmailUser) -> Identity:
    """Return the identity a message was sent to, or the user's default one."""
    fields = ("delivered-to", "x-original-to", "to", "cc", "bcc")
    return sender_identities.identity_for(person, [a.mail for name in fields for a in message.head.addresses(name)])


def _reply_fields(message: MessageContent, person: WebmailUser, text: str, mode: str) -> dict[str, Any]:
    head, options = message.head, person.options
    to_all, me = mode == "all", _receiving_identity(message, person)
    writers = _answer_addresses(head, "mail-reply-to", "reply-to", "from")
    own = [each.mail for each in sender_identities.list_identities(person)] if options.all_but_me or not to_all else []
    if writers and not mime_builder.exclude_own(writers, own):  # a reply to one's own message goes to its recipients
        writers = head.addresses("to") or writers
    post = unsubscribe.list_commands(head).get("post", "")
    if mode == "list" and (post_address := re.match(r"mailto:([^?]+)", post, re.IGNORECASE)):
        writers = (Address("", unquote(post_address[1])),)
    to = mime_builder.exclude_own([*writers, *(head.addresses("to") if to_all else ())], own) or writers
    cc = mime_builder.exclude_own(head.addresses("cc"), [*own, *(a.mail for a in to)]) if to_all else ()
    if to_all and (followup := _answer_addresses(head, "mail-followup-to")):  # the sender chose who is to get answers
        to, cc = mime_builder.exclude_own(followup, own) or followup, ()
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


def _answer_addresses(head: MessageHeader, *names: str) -> tuple[Address, ...]:
    """Return the complete addresses in the first of these fields that has some."""
    fields = (tuple(a for a in head.addresses(name) if "@" in a.mail) for name in names)
    return next((addresses for addresses in fields if addresses), ())


def _forward_fields(message: MessageContent, person: WebmailUser, text: str) -> dict[str, Any]:
    body = mime_builder.forward_body(message.head, message.row, text)
    files = [part for part in message.shown.files_beside(()) if part.title or part.main != "image"]
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
    identity = sender_identities.default_identity(person)
    return {
        "in": source.box,
        "of": ",".join(str(row.uid) for row in rows),
        "mode": "attach",
        "subject": mime_builder.forward_subject(rows[0].subject),
        "identity": str(identity.id),
        "body": mime_builder.add_signature("", identity.signature, above=True),
        "carry": [f"{row.uid}:" for row in rows],
    }


def _edit_as_new(
    mail: imap_client.MailSession, person: WebmailUser, message: MessageContent, text: str, *, as_draft: bool
) -> dict[str, Any]:
    """Return the fields to continue a draft, or to reuse an old message for a new one."""
    head, uid = message.head, message.row.uid
    files = message.shown.files_beside(())
    raw = mail.contents(uid, [part.section for part in files])
    copied = [
        (part.title, part.kind, data if part.kind == "message/rfc822" else mime_parts.decode_part(part, data))
        for part in files
        if (data := raw.get(part.section)) is not None
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
