"""Sending: build the message, submit it, store a copy, recall it; and saving drafts.

Called by `compose` and by the page of scheduled messages. Nothing is sent twice: a draft is claimed before submission,
and errors after the server accepted the message are reported, never retried.
"""

import re
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from mailcore import conf
from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store
from webmail.composing import draft_store, mime_builder, sender_identities
from webmail.mailserver import imap_client, submission
from webmail.mailserver.server_addresses import is_guest, smtp_address
from webmail.reading import message_content
from webmail.values import date_format, mime_parts
from webmail.values.addresses import Address, InvalidAddress, parse_typed
from webmail.values.folder_tree import find_by_role
from webmail.views import layout

MAX_AUTOSAVE_BYTES = 1 << 20  # bytes of files up to which a draft is saved to Drafts automatically
_MARKS = {"reply": "answered", "all": "answered", "list": "answered", "forward": "forwarded", "attach": "forwarded"}
Errors = dict[str, str]  # by field name; "" for the whole message


def build_outgoing(
    request: Request, mail: imap_client.MailSession, token: str, fields: dict[str, Any], *, draft: bool
) -> mime_builder.OutgoingMessage | Errors:
    """Return the message built from the form, or the errors in it.

    A draft may contain invalid values, except control characters in the subject.
    """
    errors: Errors = {}
    people: dict[str, tuple[Address, ...]] = {}
    for name in ("to", "cc", "bcc"):
        try:
            people[name] = parse_typed(contact_store.expand_nicknames(request.visitor.address, fields[name]))
        except InvalidAddress as error:
            people[name] = ()
            if not draft:
                errors[name] = str(error)
    if not draft and not errors and not any(people.values()):
        errors["to"] = _("Please enter at least one recipient.")
    if re.search(r"[\x00-\x1f\x7f]", fields["subject"]):
        errors["subject"] = _("A control character is not allowed here.")
    if errors:
        return errors
    identity = sender_identities.selected_identity(request.visitor, fields.get("identity", ""))
    try:
        reply_to = parse_typed(identity.reply_to)
    except InvalidAddress:
        reply_to = ()
    return mime_builder.OutgoingMessage(
        sender=identity.address,
        to=people["to"],
        cc=people["cc"],
        bcc=people["bcc"],
        subject=fields["subject"],
        body=fields["body"],
        date=timezone.localtime(),
        token=token,
        reply_to=reply_to,
        in_reply_to=mime_builder.parse_ids(fields["in_reply_to"]),
        references=mime_builder.parse_ids(fields["references"]),
        priority=fields["priority"],
        receipt=fields["receipt"],
        files=(*_forwarded_parts(mail, fields), *_uploaded_files(token)),
    )


def forwarded_files(mail: imap_client.MailSession, fields: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Return (value, name, size) of the files that are forwarded with the message."""
    carry = fields.get("carry") or []
    if not carry:
        return []
    mail.open(fields.get("in") or layout.INBOX, fresh=False)
    found = []
    for value in carry:
        uid, _colon, section = value.partition(":")
        original = mail.find(int(uid))
        if original is None:
            continue
        if not section:
            found.append((value, f"{original.row.subject or 'message'}.eml", original.row.size))
        elif part := message_content.find_part(mime_parts.parse_structure(original.structure), section):
            found.append((value, part.title or f"part-{section}", part.decoded_size))
    return found


def _uploaded_files(token: str) -> list[mime_builder.AttachmentFile]:
    return [
        mime_builder.AttachmentFile(f.name, f.media_type, draft_store.read_attachment(token, f.id))
        for f in draft_store.list_attachments(token)
    ]


def _forwarded_parts(mail: imap_client.MailSession, fields: dict[str, Any]) -> list[mime_builder.AttachmentFile]:
    found = []
    for value, name, _size in forwarded_files(mail, fields):
        uid, _colon, section = value.partition(":")
        raw = mail.contents(int(uid), [section]).get(section, b"")
        if not section:
            found.append(
                mime_builder.AttachmentFile(mime_parts.safe_file_name(name) or "message.eml", "message/rfc822", raw)
            )
            continue
        original = mail.find(int(uid))
        part = message_content.find_part(mime_parts.parse_structure(original.structure), section) if original else None
        if part is not None:
            content = raw if part.kind == "message/rfc822" else mime_parts.decode_part(part, raw)
            found.append(mime_builder.AttachmentFile(name, part.kind, content))
    return found


# --- Sending --------------------------------------------------------------------------------------


def send_message(
    request: Request, mail: imap_client.MailSession, token: str, fields: dict[str, Any], until: datetime | None
) -> tuple[Errors, int]:
    """Submit the message, to be released at `until`.

    With None it is released at once, or when its time to be recalled is over. Return errors and the status of the page
    that shows them, or no errors.
    """
    message = build_outgoing(request, mail, token, fields, draft=False)
    if isinstance(message, dict):
        return message, 422
    content = mime_builder.render_message(message, with_bcc=False)
    limit = conf.current().message_size_limit
    if limit and len(content) > limit:
        return {"files": _("The message is too large to be sent.")}, 422
    person = request.visitor
    if not draft_store.claim_for_sending(token, person.address):
        messages.info(request, _("This message was sent already."))
        return {}, 200
    patience = _undo_seconds(request) if until is None else 0
    release = until or (timezone.now() + timedelta(seconds=patience) if patience else None)
    wishes = submission.SubmissionOptions(release, fields.get("notify", False))
    server = smtp_address()
    try:
        queue_id = submission.submit_message(
            server, person.login, person.secret, message.sender.mail, message.recipients, content, wishes
        )
    except submission.SubmissionError as error:
        draft_store.release_claim(token)
        return _explain_error(error, fields), 503
    except BaseException:
        draft_store.release_claim(token)
        raise
    contact_store.record_recipients(
        person.address, (*message.to, *message.cc, *message.bcc), collect=person.options.collect
    )
    copy = _file_away(request, mail, token, fields, message)
    if release is None or not queue_id or is_guest():
        _sent_notice(request, until)
        draft_store.mark_sent(token)
    else:
        draft_store.mark_scheduled(token, queue_id, release, copy)
        if until is not None:
            _sent_notice(request, until)
        messages.success(request, token, extra_tags="undo")
    return {}, 200


def _sent_notice(request: Request, until: datetime | None) -> None:
    if until is None:
        messages.success(request, _("Your message was sent."))
    else:
        messages.success(request, _("Your message will be sent: %s") % date_format.format_full(until))


def _undo_seconds(request: Request) -> int:
    """Return for how many seconds the message can be recalled; 0 if the server does not support it."""
    configured = request.visitor.options.undo_seconds
    seconds: int = settings.WEBMAIL["UNDO_SECONDS"] if configured < 0 else configured
    return seconds if seconds and not is_guest() and submission.supports_futurerelease(smtp_address()) else 0


def _explain_error(error: submission.SubmissionError, fields: dict[str, Any]) -> Errors:
    if isinstance(error, submission.SubmissionUnreachable):
        text = _("The message was not sent: the mail server cannot be reached. Your text is saved; please try again.")
        return {"": text}
    if not error.refused:
        return {"": _("The message was not sent. The server replied: %s") % error.reply}
    errors = {"": _("The message was not sent, because the server refused a recipient.")}
    for address, reply in error.refused.items():
        field = next((n for n in ("to", "cc", "bcc") if address.casefold() in fields[n].casefold()), "to")
        errors[field] = f"{errors[field]} {address}: {reply}" if field in errors else f"{address}: {reply}"
    return errors


def _file_away(
    request: Request,
    mail: imap_client.MailSession,
    token: str,
    fields: dict[str, Any],
    message: mime_builder.OutgoingMessage,
) -> list[object]:
    """Store our copy, mark the original and remove the draft; errors are reported, for the message has been sent.

    Return the copy's folder and UID, or an empty list.
    """
    sent, uid = "", None
    try:
        if request.visitor.options.sent_copies != "none":
            sent = _sent_folder(mail, request.visitor.options.sent_copies)
            uid = mail.append(sent, mime_builder.render_message(message, with_bcc=True), ["seen"])
    except (imap_client.CommandRefused, imap_client.ServerUnreachable) as fault:
        messages.warning(request, _("No copy could be saved in the folder for sent mail: %s") % fault)
        return []
    try:
        flag = _MARKS.get(fields["mode"])
        uids = [int(uid) for uid in fields["of"].split(",") if uid.isdecimal()]
        if flag and uids:
            mail.open(fields["in"], fresh=False)
            mail.set_flag(uids, flag, on=True)
        drop_draft(mail, token)
    except imap_client.CommandRefused:
        pass  # the original was deleted meanwhile, or its folder permits no flags
    return [sent, uid] if uid else []


def _sent_folder(mail: imap_client.MailSession, kind: str) -> str:
    """Return Sent, or the folder below it for this year or month, creating it if needed."""
    sent = layout.special_folder(mail, "sent")
    pane = mail.folders(younger_than=30)
    delimiter = layout.find_folder(pane, sent).delimiter
    if kind == "sent" or not delimiter:
        return sent
    now = timezone.localtime()
    name = delimiter.join([sent, f"{now:%Y}", *([f"{now:%m}"] if kind == "month" else [])])
    if not any(folder.name == name for folder in pane):
        mail.create(name)
    return name


# --- Drafts ---------------------------------------------------------------------------------------


def save_draft(request: Request, mail: imap_client.MailSession, token: str, fields: dict[str, Any]) -> Errors:
    """Save the message to Drafts, replacing its earlier version there."""
    message = build_outgoing(request, mail, token, fields, draft=True)
    if isinstance(message, dict):
        return message
    drafts = layout.special_folder(mail, "drafts")
    uid = mail.append(drafts, mime_builder.render_message(message, with_bcc=True), ["draft", "seen"])
    drop_draft(mail, token)
    draft_store.record_draft_uid(token, uid or 0)
    return {}


def drop_draft(mail: imap_client.MailSession, token: str) -> None:
    uid, drafts = draft_store.draft_uid(token), find_by_role(mail.folders(younger_than=30), "drafts")
    if uid and drafts is not None:
        _destroy_draft(mail, drafts.name, uid, draft=True)
        draft_store.record_draft_uid(token, 0)


def _destroy_draft(mail: imap_client.MailSession, box: str, uid: int, *, draft: bool) -> None:
    mail.open(box, fresh=False)
    found = mail.find(uid)
    if found is not None and (found.row.draft or not draft):
        mail.delete_messages([uid])


# --- Scheduled messages ----------------------------------------------------------------------------


@never_cache
@require_safe
@requires_login
def scheduled_messages(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    scheduled = draft_store.list_scheduled(request.visitor.address)
    return render(request, "webmail/scheduled.html", layout.page_context(request, mail) | {"waiting": scheduled})


@require_POST
@requires_login
def undo_send(request: Request, mail: imap_client.MailSession, token: str) -> HttpResponse:
    """Recall a message that has not been released, and continue writing it."""
    owner = request.visitor.address
    found = next((each for each in draft_store.list_scheduled(owner) if each.token == token), None)
    recall = import_string(settings.WEBMAIL["RECALL"])
    if found is None or is_guest() or recall(found.queue_id, owner) is None:
        messages.warning(request, _("It is too late: the message has been sent."))
        return redirect("box")
    draft_store.release_claim(token)
    if copy := found.fields.get(draft_store.COPY):
        try:
            _destroy_draft(mail, str(copy[0]), int(copy[1]), draft=False)
        except imap_client.CommandRefused:
            messages.warning(request, _("The copy in the folder for sent mail is still there."))
    messages.success(request, _("The message was called back. Nothing was sent."))
    return redirect("resume", token)
