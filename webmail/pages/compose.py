"""Writing a letter: new, as an answer, a forward, from a draft; its files; what the buttons do.

Whatever is posted here is kept before anything is tried with it (`webmail.uploads`), so a refusal, a broken connection
or an expired session costs nothing that was typed. A page that is older than what is kept overwrites nothing: what it
says becomes a letter of its own.
"""

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mailcore import conf
from webmail import contacts, identities, imap, smtp, snoozing, uploads, visitor, writing
from webmail.folders import find
from webmail.models import CannedText
from webmail.pages import frame, sending
from webmail.pages.letter_source import Source, begin
from webmail.servers import smtp_server
from webmail.visitor import Request, signed_in

FIELDS = (
    *("identity", "to", "cc", "bcc", "subject", "body", "priority", "in_reply_to", "references", "mode", "of"),
    *("draft", "send_at"),
)
MODES = ("reply", "all", "list", "forward", "attach", "new", "draft", "")
LONGEST = {"to": 50_000, "cc": 50_000, "bcc": 50_000, "subject": 1000, "body": 5_000_000}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def compose(request: HttpRequest) -> HttpResponseBase:
    if request.method == "POST":
        kept = _keep(request)
        if isinstance(kept, HttpResponse):
            return kept
        return _posted(request, kept)
    person = visitor.current(request)
    if person is not None and _named(request, person) is None:
        # The address names the letter: whoever comes back to it finds that one, not its words in a second one.
        query = request.GET.copy()
        query["letter"] = uploads.new_ticket(person.address)
        return visitor.with_seal(request, redirect(f"{reverse('compose')}?{query.urlencode()}"))
    return _opened(request)


def _named(request: HttpRequest, person: visitor.Visitor) -> str | None:
    """The token of the letter an address names, if it is this visitor's."""
    token, owner = uploads.read_ticket(request.GET.get("letter", "")) or ("", "")
    return token if owner == person.address else None


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
    return page(request, mail, token, fields)


@signed_in
def _opened(request: Request, mail: imap.Mail) -> HttpResponse:
    owner, token = request.visitor.address, _named(request, request.visitor) or ""
    if uploads.version(token):
        return redirect("resume", token)
    source = Source(request.GET.get("mode", ""), frame.box_of(request), request.GET.get("of", ""))
    if (in_hand := _in_hand(mail, owner, source)) is not None:
        return redirect("resume", in_hand)
    fields = begin(mail, request.visitor, source) if source.mode in MODES and source.of else _addressed(request)
    if fields is None:
        messages.warning(request, _("That message is no longer there."))
        fields = _addressed(request)
    if copied := fields.pop("copied", None):
        uploads.keep(token, owner, fields)
        for name, kind, content in copied:
            uploads.attach_octets(token, name, kind, content)
    uploads.finish(owner)
    left = uploads.unfinished(owner, token) if not source.of else None
    return page(request, mail, token, fields, left=left)


def _in_hand(mail: imap.Mail, owner: str, source: Source) -> str | None:
    """The letter whose draft is to be gone on with, where it is still being written here, files and all."""
    drafts = find(mail.folders(younger_than=30), "drafts")
    if source.mode != "draft" or drafts is None or source.box != drafts.name or not source.of.isdecimal():
        return None
    return uploads.with_draft(owner, int(source.of[:10]))


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
    usual = identities.usual(request.visitor)
    clean = {name: re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:20_000] for name, text in given.items() if name != "body"}
    body = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", given["body"])[:20_000]
    return clean | {
        "identity": str(usual.id),
        "body": writing.with_signature(body, usual.signature, above=False),
    }


# --- What was posted ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """`stale`: the page was older than the letter, and this is a letter of its own now."""

    token: str
    owner: str
    fields: dict[str, Any]
    action: str
    stale: bool = False


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
    fields["notify"] = bool(request.POST.get("notify"))
    version = request.POST.get("version", "")
    seen = int(version) if version.isdecimal() and len(version) < 10 else None
    stale = uploads.keep(token, owner, fields, seen) is None
    if stale:
        token = uploads.fork(token, owner, fields)
    _attach(request, token)
    return Kept(token, owner, fields, request.POST.get("do", ""), stale)


def _attach(request: HttpRequest, token: str) -> None:
    limit = conf.current().message_size_limit
    used = sum(file.size for file in uploads.attached(token))
    for name in getattr(request, "files_dropped", ()):
        messages.error(request, _("“%s” is too large and was not attached.") % name[:100])
    for file in request.FILES.getlist("files"):
        used += file.size or 0
        if limit and used * 4 // 3 > limit:
            messages.error(request, _("“%s” is too large and was not attached.") % (file.name or "")[:100])
            break
        uploads.attach(token, file)
    uploads.detach(token, [int(i) for i in request.POST.getlist("remove") if i.isdecimal() and len(i) < 19])


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
    if kept.action == "autosave" and (person is None or person.address != kept.owner):
        return JsonResponse({"saved": "", "version": uploads.version(kept.token)}, status=401)
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
    if kept.stale and kept.action not in ("discard", "autosave"):
        words = _(
            "This letter was changed in another window, or sent already. What you wrote here is a letter of its own"
            " now; nothing was lost."
        )
        return page(request, mail, kept.token, kept.fields, {"": words}, status=409)
    try:
        return _done(request, mail, kept)
    except (imap.Unreachable, imap.Refused) as fault:
        words = _("The mail server cannot be reached.") if isinstance(fault, imap.Unreachable) else str(fault)
        if kept.action == "autosave":
            return JsonResponse({"saved": "", "version": uploads.version(kept.token)}, status=503)
        return page(request, mail, kept.token, kept.fields, {"": words}, status=503)


def _done(request: Request, mail: imap.Mail, kept: Kept) -> HttpResponse:
    what, _colon, which = kept.action.partition(":")
    match what:
        case "send" | "later":
            return _send(request, mail, kept, which if what == "later" else "")
        case "draft":
            if errors := sending.save_draft(request, mail, kept.token, kept.fields):
                return page(request, mail, kept.token, kept.fields, errors)
            messages.success(request, _("The draft was saved."))
            return redirect("resume", kept.token)
        case "autosave":
            return _autosaved(request, mail, kept)
        case "pick":
            return redirect("pick", kept.token)
        case "text" if which.isdecimal() and len(which) < 19:
            return _with_text(kept, int(which))
        case "sign":
            return _signed_anew(request, kept, which)
        case "discard":
            sending.drop_draft(mail, kept.token)
            uploads.discard(kept.token, kept.owner)
            return redirect(way_back(request, kept.fields))
    return redirect("resume", kept.token)  # a reload then posts nothing again


def _autosaved(request: Request, mail: imap.Mail, kept: Kept) -> HttpResponse:
    """What a script saves while one writes. A letter with large files is only kept here: Drafts gets it when a button
    is pressed."""
    is_small = sum(file.size for file in uploads.attached(kept.token)) <= sending.AUTOSAVED
    if is_small and uploads.kept(kept.token, kept.owner) is not None:  # it may have been sent a moment ago
        sending.save_draft(request, mail, kept.token, kept.fields)
    told = {
        "saved": f"{timezone.localtime():%H:%M}",
        "version": uploads.version(kept.token),
        "letter": uploads.ticket_for(kept.token, kept.owner),
    }
    return JsonResponse(told)


def _with_text(kept: Kept, number: int) -> HttpResponse:
    text = CannedText.objects.filter(owner=kept.owner, pk=number).first()
    fields = kept.fields
    if text is not None:
        fields = fields | {"body": writing.with_text(fields["body"], text.body)}
        fields["subject"] = fields["subject"] or text.subject
        uploads.keep(kept.token, kept.owner, fields)
    return redirect("resume", kept.token)


def _signed_anew(request: Request, kept: Kept, before: str) -> HttpResponse:
    """Another identity was chosen: its signature takes the old one's place."""
    old = identities.chosen(request.visitor, before)
    new = identities.chosen(request.visitor, kept.fields["identity"])
    fields = kept.fields | {"body": writing.resigned(kept.fields["body"], old.signature, new.signature)}
    uploads.keep(kept.token, kept.owner, fields)
    return redirect("resume", kept.token)


def _send(request: Request, mail: imap.Mail, kept: Kept, when: str) -> HttpResponse:
    until = None
    if when:
        until = snoozing.moment(when, kept.fields["send_at"])
        if until is None:
            return page(request, mail, kept.token, kept.fields, {"": _("Please choose a time that is still to come.")})
    errors, status = sending.send(request, mail, kept.token, kept.fields, until)
    if errors:
        return page(request, mail, kept.token, kept.fields, errors, status=status)
    return redirect(way_back(request, kept.fields))


def page(
    request: Request,
    mail: imap.Mail,
    token: str,
    fields: dict[str, Any],
    errors: dict[str, str] | None = None,
    status: int = 200,
    left: tuple[str, dict[str, Any]] | None = None,
) -> HttpResponse:
    person = request.visitor
    known = identities.of(person)
    context = frame.around(request, mail) | {
        "fields": fields,
        "errors": errors or {},
        "ticket": uploads.ticket_for(token, person.address),
        "version": uploads.version(token),
        "identities": known,
        "identity": next((each for each in known if str(each.id) == fields.get("identity")), known[0]),
        "attached": uploads.attached(token),
        "carried": sending.carried_names(mail, fields),
        "limit": conf.current().message_size_limit * 3 // 4,
        "left": left,
        "suggestions": contacts.suggestions(person.address),
        "texts": CannedText.objects.filter(owner=person.address),
        "can_hold": smtp.can_hold(smtp_server()),
        "times": snoozing.choices(),
        "hidden": [(name, fields.get(name) or "") for name in ("in_reply_to", "references", "mode", "of", "draft")],
    }
    return render(request, "webmail/compose.html", context, status=422 if errors and status == 200 else status)


def way_back(request: Request, fields: dict[str, Any]) -> str:
    box, of = fields.get("in") or frame.INBOX, str(fields.get("of") or "")
    answered = fields.get("mode") in ("reply", "all", "list", "forward", "new") and of.isdecimal()
    if answered and request.visitor.options.back_to == "letter":
        return reverse("read", args=[int(of)]) + frame.in_box(box)
    return frame.list_address(box)
