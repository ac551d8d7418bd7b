"""A letter on its way out: what was typed made into a letter, handed to the server, filed, called back; and drafts.

Called by `compose` and by the page of letters that wait. Nothing is sent twice: a letter is claimed before it leaves,
and what fails after the server took it is told, never tried again.
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
from webmail import contacts, identities, imap, letters, moments, parts, smtp, uploads, writing
from webmail.addresses import Address, BadAddress, typed
from webmail.folders import find
from webmail.pages import frame
from webmail.servers import is_guest, smtp_server
from webmail.visitor import Request, signed_in

AUTOSAVED = 1 << 20  # octets of files with which a letter is still saved into Drafts by itself
_MARKS = {"reply": "answered", "all": "answered", "list": "answered", "forward": "forwarded", "attach": "forwarded"}
Errors = dict[str, str]  # by field; "" for the whole


def outgoing(
    request: Request, mail: imap.Mail, token: str, fields: dict[str, Any], *, draft: bool
) -> writing.Outgoing | Errors:
    """The letter that was typed, or what is wrong with it. A draft may have anything in it but lines in one line."""
    errors: Errors = {}
    people: dict[str, tuple[Address, ...]] = {}
    for name in ("to", "cc", "bcc"):
        try:
            people[name] = typed(contacts.expanded(request.visitor.address, fields[name]))
        except BadAddress as error:
            people[name] = ()
            if not draft:
                errors[name] = str(error)
    if not draft and not errors and not any(people.values()):
        errors["to"] = _("Please enter at least one recipient.")
    if re.search(r"[\x00-\x1f\x7f]", fields["subject"]):
        errors["subject"] = _("A control character is not allowed here.")
    if errors:
        return errors
    identity = identities.chosen(request.visitor, fields.get("identity", ""))
    try:
        reply_to = typed(identity.reply_to)
    except BadAddress:
        reply_to = ()
    return writing.Outgoing(
        sender=identity.address,
        to=people["to"],
        cc=people["cc"],
        bcc=people["bcc"],
        subject=fields["subject"],
        body=fields["body"],
        date=timezone.localtime(),
        token=token,
        reply_to=reply_to,
        in_reply_to=writing.ids(fields["in_reply_to"]),
        references=writing.ids(fields["references"]),
        priority=fields["priority"],
        receipt=fields["receipt"],
        files=(*_carried(mail, fields), *_uploaded(token)),
    )


def carried_names(mail: imap.Mail, fields: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(value, name, size) of the files that go along from the letter this one forwards."""
    carry = fields.get("carry") or []
    if not carry:
        return []
    mail.open(fields.get("in") or frame.INBOX, fresh=False)
    found = []
    for value in carry:
        uid, _colon, section = value.partition(":")
        original = mail.find(int(uid))
        if original is None:
            continue
        if not section:
            found.append((value, f"{original.row.subject or 'message'}.eml", original.row.size))
        elif part := letters.part_at(parts.tree(original.structure), section):
            found.append((value, part.title or f"part-{section}", part.octets))
    return found


def _uploaded(token: str) -> list[writing.File]:
    return [writing.File(f.name, f.media_type, uploads.content(token, f.id)) for f in uploads.attached(token)]


def _carried(mail: imap.Mail, fields: dict[str, Any]) -> list[writing.File]:
    found = []
    for value, name, _size in carried_names(mail, fields):
        uid, _colon, section = value.partition(":")
        raw = mail.contents(int(uid), [section]).get(section, b"")
        if not section:
            found.append(writing.File(parts.file_name(name) or "message.eml", "message/rfc822", raw))
            continue
        original = mail.find(int(uid))
        part = letters.part_at(parts.tree(original.structure), section) if original else None
        if part is not None:
            content = raw if part.kind == "message/rfc822" else parts.decoded(part, raw)
            found.append(writing.File(name, part.kind, content))
    return found


# --- Sending --------------------------------------------------------------------------------------


def send(
    request: Request, mail: imap.Mail, token: str, fields: dict[str, Any], until: datetime | None
) -> tuple[Errors, int]:
    """Hand the letter over, to go `until` then (None: now, or when it can no longer be called back). Errors and the
    status of the page that shows them, or nothing."""
    letter = outgoing(request, mail, token, fields, draft=False)
    if isinstance(letter, dict):
        return letter, 422
    content = writing.render(letter, with_bcc=False)
    limit = conf.current().message_size_limit
    if limit and len(content) > limit:
        return {"files": _("The letter is too large to be sent.")}, 422
    person = request.visitor
    if not uploads.claim(token, person.address):
        messages.info(request, _("This letter was sent already."))
        return {}, 200
    patience = _patience(request) if until is None else 0
    release = until or (timezone.now() + timedelta(seconds=patience) if patience else None)
    wishes = smtp.Wishes(release, fields.get("notify", False))
    server = smtp_server()
    try:
        queue_id = smtp.send(
            server, person.login, person.secret, letter.sender.mail, letter.recipients, content, wishes
        )
    except smtp.NotSent as error:
        uploads.release(token)
        return _explained(error, fields), 503
    except BaseException:
        uploads.release(token)
        raise
    contacts.written_to(person.address, (*letter.to, *letter.cc, *letter.bcc), collect=person.options.collect)
    copy = _file_away(request, mail, token, fields, letter)
    if release is None or not queue_id or is_guest():
        _told(request, until)
        uploads.done(token)
    else:
        uploads.hold(token, queue_id, release, copy)
        if until is not None:
            _told(request, until)
        messages.success(request, token, extra_tags="undo")
    return {}, 200


def _told(request: Request, until: datetime | None) -> None:
    if until is None:
        messages.success(request, _("Your message was sent."))
    else:
        messages.success(request, _("Your message will be sent: %s") % moments.full(until))


def _patience(request: Request) -> int:
    """For how many seconds the letter can be called back; 0 where nobody could do that."""
    wanted = request.visitor.options.undo_seconds
    seconds: int = settings.WEBMAIL["UNDO_SECONDS"] if wanted < 0 else wanted
    return seconds if seconds and not is_guest() and smtp.can_hold(smtp_server()) else 0


def _explained(error: smtp.NotSent, fields: dict[str, Any]) -> Errors:
    if isinstance(error, smtp.Unreachable):
        gone = _("The message was not sent: the mail server cannot be reached. Your text is kept; please try again.")
        return {"": gone}
    if not error.refused:
        return {"": _("The message was not sent. The server said: %s") % error.reply}
    errors = {"": _("The message was not sent, because the server refused a recipient.")}
    for address, reply in error.refused.items():
        field = next((n for n in ("to", "cc", "bcc") if address.casefold() in fields[n].casefold()), "to")
        errors[field] = f"{errors[field]} {address}: {reply}" if field in errors else f"{address}: {reply}"
    return errors


def _file_away(
    request: Request, mail: imap.Mail, token: str, fields: dict[str, Any], letter: writing.Outgoing
) -> list[object]:
    """Our copy, the mark on the original, the end of the draft. The letter is gone by now: what fails here is told.
    Returns the copy's folder and UID, if it has one."""
    sent, uid = "", None
    try:
        if request.visitor.options.sent_copies != "none":
            sent = _sent_folder(mail, request.visitor.options.sent_copies)
            uid = mail.append(sent, writing.render(letter, with_bcc=True), ["seen"])
    except (imap.Refused, imap.Unreachable) as fault:
        messages.warning(request, _("No copy could be kept in the folder for sent mail: %s") % fault)
        return []
    try:
        mark = _MARKS.get(fields["mode"])
        uids = [int(uid) for uid in fields["of"].split(",") if uid.isdecimal()]
        if mark and uids:
            mail.open(fields["in"], fresh=False)
            mail.mark(uids, mark, on=True)
        drop_draft(mail, token)
    except imap.Refused:
        pass  # the original has gone meanwhile, or the folder takes no marks
    return [sent, uid] if uid else []


def _sent_folder(mail: imap.Mail, kind: str) -> str:
    """Sent, or the folder below it for this year or month, made where there is none."""
    sent = frame.home_of(mail, "sent")
    pane = mail.folders(younger_than=30)
    delimiter = frame.folder_named(pane, sent).delimiter
    if kind == "sent" or not delimiter:
        return sent
    now = timezone.localtime()
    name = delimiter.join([sent, f"{now:%Y}", *([f"{now:%m}"] if kind == "month" else [])])
    if not any(folder.name == name for folder in pane):
        mail.create(name)
    return name


# --- Drafts ---------------------------------------------------------------------------------------


def save_draft(request: Request, mail: imap.Mail, token: str, fields: dict[str, Any]) -> Errors:
    """Put the letter into Drafts, in place of what was saved of it before."""
    letter = outgoing(request, mail, token, fields, draft=True)
    if isinstance(letter, dict):
        return letter
    drafts = frame.home_of(mail, "drafts")
    uid = mail.append(drafts, writing.render(letter, with_bcc=True), ["draft", "seen"])
    drop_draft(mail, token)
    uploads.note_draft(token, uid or 0)
    return {}


def drop_draft(mail: imap.Mail, token: str) -> None:
    uid, drafts = uploads.draft_of(token), find(mail.folders(younger_than=30), "drafts")
    if uid and drafts is not None:
        _destroy(mail, drafts.name, uid, draft=True)
        uploads.note_draft(token, 0)


def _destroy(mail: imap.Mail, box: str, uid: int, *, draft: bool) -> None:
    mail.open(box, fresh=False)
    found = mail.find(uid)
    if found is not None and (found.row.draft or not draft):
        mail.destroy([uid])


# --- Letters that wait ----------------------------------------------------------------------------


@never_cache
@require_safe
@signed_in
def scheduled(request: Request, mail: imap.Mail) -> HttpResponse:
    waiting = uploads.held(request.visitor.address)
    return render(request, "webmail/scheduled.html", frame.around(request, mail) | {"waiting": waiting})


@require_POST
@signed_in
def undo(request: Request, mail: imap.Mail, token: str) -> HttpResponse:
    """Call a letter back that still waits, and go on writing it."""
    owner = request.visitor.address
    found = next((each for each in uploads.held(owner) if each.token == token), None)
    call_back = import_string(settings.WEBMAIL["RECALL"])
    if found is None or is_guest() or call_back(found.queue_id, owner) is None:
        messages.warning(request, _("It is too late: the message has been sent."))
        return redirect("box")
    uploads.release(token)
    if copy := found.fields.get(uploads.COPY):
        try:
            _destroy(mail, str(copy[0]), int(copy[1]), draft=False)
        except imap.Refused:
            messages.warning(request, _("The copy in the folder for sent mail is still there."))
    messages.success(request, _("The message was called back. Nothing was sent."))
    return redirect("resume", token)
