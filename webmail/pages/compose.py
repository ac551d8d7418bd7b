"""Writing a letter: new, as an answer, a forward, from a draft; its files; saving and sending.

Whatever is posted here is kept before anything is tried with it (`webmail.uploads`), so a refusal, a
broken connection or an expired session costs nothing that was typed.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mailcore import conf
from webmail import contacts, imap, letters, parts, smtp, uploads, visitor, writing
from webmail.addresses import Address, BadAddress, typed
from webmail.folders import find
from webmail.pages import frame
from webmail.pages.letter_source import Source, begin
from webmail.servers import smtp_server
from webmail.visitor import Request, signed_in

FIELDS = ("to", "cc", "bcc", "subject", "body", "priority", "in_reply_to", "references", "mode", "of", "draft")
MODES = ("reply", "all", "forward", "attach", "new", "draft", "")
_MARKS = {"reply": "answered", "all": "answered", "forward": "forwarded", "attach": "forwarded"}
LONGEST = {"to": 50_000, "cc": 50_000, "bcc": 50_000, "subject": 1000, "body": 5_000_000}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: HttpRequest) -> HttpResponseBase:
    if request.method == "POST":
        kept = _keep(request)
        if isinstance(kept, HttpResponse):
            return kept
        return _posted(request, kept)
    return _opened(request)


@never_cache
@require_http_methods(["GET", "HEAD"])
def resume(request: HttpRequest, token: str) -> HttpResponseBase:
    """A letter that was kept: after the session expired, or left lying."""
    return _resumed(request, token)


@signed_in
def _resumed(request: Request, mail: imap.Mail, token: str) -> HttpResponse:
    fields = uploads.kept(token, request.visitor.address)
    if fields is None:
        messages.info(request, _("This letter was sent or discarded already."))
        return redirect("box")
    return _page(request, mail, token, fields)


@signed_in
def _opened(request: Request, mail: imap.Mail) -> HttpResponse:
    owner = request.visitor.address
    token, _owner = uploads.read_ticket(uploads.new_ticket(owner)) or ("", "")
    source = Source(request.GET.get("mode", ""), frame.box_of(request), request.GET.get("of", ""))
    fields = begin(mail, request.visitor, source) if source.mode in MODES and source.of else _addressed(request)
    if fields is None:
        messages.warning(request, _("That message is no longer there."))
        fields = _addressed(request)
    if copied := fields.pop("copied", None):
        uploads.keep(token, owner, fields)
        for name, kind, content in copied:
            uploads.attach_octets(token, name, kind, content)
    left = uploads.unfinished(owner, token) if not source.of else None
    return _page(request, mail, token, fields, left=left)


def _addressed(request: Request) -> dict[str, Any]:
    """A new letter, perhaps with what a link gave: ?to=… or a whole mailto: address (RFC 6068)."""
    given = {name: request.GET.get(name, "") for name in ("to", "cc", "bcc", "subject", "body")}
    mailto = request.GET.get("mailto", "")
    if mailto.lower().startswith("mailto:"):
        split = urlsplit(mailto)
        given["to"] = unquote(split.path)
        for name, value in parse_qsl(split.query):
            if name.lower() in given:
                given[name.lower()] = value
    person = request.visitor.options
    clean = {name: re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:20_000] for name, text in given.items() if name != "body"}
    body = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", given["body"])[:20_000]
    return clean | {"body": writing.with_signature(body, person.signature, above=False)}


# --- What was posted ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    token: str
    owner: str
    fields: dict[str, Any]
    action: str


def _keep(request: HttpRequest) -> Kept | HttpResponse:
    """Put away everything that was posted, under the name its ticket bears."""
    ticket = uploads.read_ticket(request.POST.get("letter", ""))
    if ticket is None:
        advice = _("Please open a new letter and copy your text into it.")
        return visitor.problem(request, _("This page is too old."), advice, 400)
    token, owner = ticket
    fields: dict[str, Any] = {name: request.POST.get(name, "")[: LONGEST.get(name, 4000)] for name in FIELDS}
    fields["in"] = frame.box_of(request)
    fields["carry"] = [c for c in request.POST.getlist("carry") if re.fullmatch(r"\d{1,10}:[\d.]{0,60}", c)][:200]
    fields["receipt"] = bool(request.POST.get("receipt"))
    uploads.keep(token, owner, fields)
    limit = conf.current().message_size_limit
    used = sum(file.size for file in uploads.attached(token))
    for file in request.FILES.getlist("files"):
        used += file.size or 0
        if limit and used * 4 // 3 > limit:
            messages.error(request, _("“%s” is too large and was not attached.") % (file.name or "")[:100])
            break
        uploads.attach(token, file)
    uploads.detach(token, [int(i) for i in request.POST.getlist("remove") if i.isdecimal() and len(i) < 19])
    return Kept(token, owner, fields, request.POST.get("do", ""))


def forged(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW. Often nothing is forged: somebody signed in anew in another tab. A letter
    is kept and shown again, to be sent with a fresh token; anything else is not done."""
    if request.path == reverse("compose") and uploads.read_ticket(request.POST.get("letter", "")):
        kept = _keep(request)
        if isinstance(kept, Kept):
            messages.info(request, _("The page had become too old. Please press the button once more."))
            return redirect("resume", kept.token)
    advice = _("Nothing was done. Please go back, reload the page and try again.")
    return visitor.problem(request, _("This page is too old."), advice, 403)


def _posted(request: HttpRequest, kept: Kept) -> HttpResponseBase:
    person = visitor.current(request)
    if person is None:
        messages.info(request, _("Your session had ended. Sign in to go on with your letter; nothing was lost."))
        target = reverse("resume", args=[kept.token])
        return redirect(f"{reverse('sign-in')}?next={target}")
    if person.address != kept.owner:
        detail = _("It was begun by somebody else who used this browser, and waits for them.")
        return visitor.problem(request, _("This letter is not yours."), detail, 403)
    return _handled(request, kept)


@signed_in
def _handled(request: Request, mail: imap.Mail, kept: Kept) -> HttpResponse:
    try:
        match kept.action:
            case "send":
                return _send(request, mail, kept)
            case "draft":
                return _save_draft(request, mail, kept)
            case "pick":
                return redirect("pick", kept.token)
            case "discard":
                uploads.discard(kept.token, kept.owner)
                return redirect(_way_back(kept.fields))
    except (imap.Unreachable, imap.Refused) as fault:
        words = _("The mail server cannot be reached.") if isinstance(fault, imap.Unreachable) else str(fault)
        return _page(request, mail, kept.token, kept.fields, {"": words}, status=503)
    return _page(request, mail, kept.token, kept.fields)


def _page(
    request: Request,
    mail: imap.Mail,
    token: str,
    fields: dict[str, Any],
    errors: dict[str, str] | None = None,
    status: int = 200,
    left: tuple[str, dict[str, Any]] | None = None,
) -> HttpResponse:
    person = request.visitor
    context = frame.around(request, mail) | {
        "fields": fields,
        "errors": errors or {},
        "ticket": uploads.ticket_for(token, person.address),
        "sender": _sender(person),
        "attached": uploads.attached(token),
        "carried": carried_names(mail, fields),
        "limit": conf.current().message_size_limit * 3 // 4,
        "left": left,
        "suggestions": contacts.suggestions(person.address),
        "hidden": [(name, fields.get(name) or "") for name in ("in_reply_to", "references", "mode", "of", "draft")],
    }
    return render(request, "webmail/compose.html", context, status=422 if errors and status == 200 else status)


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


def _sender(person: visitor.Visitor) -> Address:
    return Address(person.options.name, person.address)


def _way_back(fields: dict[str, Any]) -> str:
    box, of = fields.get("in") or frame.INBOX, str(fields.get("of") or "")
    if fields.get("mode") in ("reply", "all", "forward", "new") and of.isdecimal():
        return reverse("read", args=[int(of)]) + frame.in_box(box)
    return frame.list_address(box)


# --- Sending and saving ---------------------------------------------------------------------------


def _outgoing(request: Request, mail: imap.Mail, kept: Kept, *, draft: bool) -> writing.Outgoing | dict[str, str]:
    """The letter that was typed, or what is wrong with it by field."""
    fields, errors = kept.fields, {}
    people: dict[str, tuple[Address, ...]] = {}
    for name in ("to", "cc", "bcc"):
        try:
            people[name] = typed(contacts.expanded(request.visitor.address, fields[name]))
        except BadAddress as error:
            errors[name] = str(error)
    if not draft and not errors and not any(people.values()):
        errors["to"] = _("Please enter at least one recipient.")
    if re.search(r"[\x00-\x1f\x7f]", fields["subject"]):
        errors["subject"] = _("A control character is not allowed here.")
    if errors:
        return errors
    person = request.visitor
    try:
        reply_to = typed(person.options.reply_to)
    except BadAddress:
        reply_to = ()
    return writing.Outgoing(
        sender=_sender(person),
        to=people["to"],
        cc=people["cc"],
        bcc=people["bcc"],
        subject=fields["subject"],
        body=fields["body"],
        date=timezone.localtime(),
        token=kept.token,
        reply_to=reply_to,
        in_reply_to=writing.ids(fields["in_reply_to"]),
        references=writing.ids(fields["references"]),
        priority=fields["priority"],
        receipt=fields["receipt"],
        files=(*_carried(mail, fields), *_uploaded(kept.token)),
    )


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


def _send(request: Request, mail: imap.Mail, kept: Kept) -> HttpResponse:
    letter = _outgoing(request, mail, kept, draft=False)
    if isinstance(letter, dict):
        return _page(request, mail, kept.token, kept.fields, letter)
    content = writing.render(letter, with_bcc=False)
    limit = conf.current().message_size_limit
    if limit and len(content) > limit:
        return _page(request, mail, kept.token, kept.fields, {"files": _("The letter is too large to be sent.")})
    if not uploads.claim(kept.token, kept.owner):
        messages.info(request, _("This letter was sent already."))
        return redirect(_way_back(kept.fields))
    person = request.visitor
    try:
        smtp.send(smtp_server(), person.login, person.secret, letter.sender.mail, letter.recipients, content)
    except smtp.NotSent as error:
        uploads.release(kept.token)
        return _page(request, mail, kept.token, kept.fields, _explained(error, kept.fields), status=503)
    except BaseException:
        uploads.release(kept.token)
        raise
    messages.success(request, _("Your message was sent."))
    contacts.written_to(person.address, (*letter.to, *letter.cc, *letter.bcc), collect=person.options.collect)
    _file_away(request, mail, kept, letter)
    uploads.done(kept.token)
    return redirect(_way_back(kept.fields))


def _explained(error: smtp.NotSent, fields: dict[str, Any]) -> dict[str, str]:
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


def _file_away(request: Request, mail: imap.Mail, kept: Kept, letter: writing.Outgoing) -> None:
    """Our copy, the mark on the original, the end of the draft. The letter is gone by now: what fails
    here is told, never tried as a second sending."""
    try:
        sent = frame.home_of(mail, "sent")
        mail.append(sent, writing.render(letter, with_bcc=True), ["seen"])
    except (imap.Refused, imap.Unreachable) as fault:
        messages.warning(request, _("No copy could be kept in the folder for sent mail: %s") % fault)
        return
    try:
        mark = _MARKS.get(kept.fields["mode"])
        uids = [int(uid) for uid in kept.fields["of"].split(",") if uid.isdecimal()]
        if mark and uids:
            mail.open(kept.fields["in"], fresh=False)
            mail.mark(uids, mark, on=True)
        _drop_draft(mail, kept.fields["draft"])
    except imap.Refused:
        return  # the original has gone meanwhile, or the folder takes no marks


def _save_draft(request: Request, mail: imap.Mail, kept: Kept) -> HttpResponse:
    letter = _outgoing(request, mail, kept, draft=True)
    if isinstance(letter, dict):
        return _page(request, mail, kept.token, kept.fields, letter)
    drafts = frame.home_of(mail, "drafts")
    uid = mail.append(drafts, writing.render(letter, with_bcc=True), ["draft", "seen"])
    old = kept.fields["draft"]
    kept.fields["draft"] = str(uid or "")
    uploads.keep(kept.token, kept.owner, kept.fields)
    _drop_draft(mail, old)
    messages.success(request, _("The draft was saved."))
    return redirect(reverse("resume", args=[kept.token]))


def _drop_draft(mail: imap.Mail, uid: str) -> None:
    drafts = find(mail.folders(younger_than=30), "drafts")
    if uid.isdecimal() and len(uid) < 11 and drafts is not None:
        mail.open(drafts.name, fresh=False)
        found = mail.find(int(uid))
        if found is not None and found.row.draft:
            mail.destroy([int(uid)])
