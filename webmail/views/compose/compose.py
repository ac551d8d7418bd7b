"""Writing a message: new, a reply, a forward or from a draft; its files; and the actions of its buttons.

Everything posted here is stored before anything is tried with it (`webmail.composing.draft_store`), so a refusal, a
broken connection or an expired session loses no input. A page older than the stored draft overwrites nothing: its
content becomes a draft of its own.
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
from webmail.account import session, snooze
from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store
from webmail.composing import draft_store, mime_builder, sender_identities
from webmail.mailserver import imap_client, submission
from webmail.mailserver.server_addresses import smtp_address
from webmail.models import CannedText
from webmail.values.folder_tree import find_by_role
from webmail.views import layout
from webmail.views.compose import sending
from webmail.views.compose.reply_forward import ComposeSource, begin_from_message

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
        posted = _save_posted(request)
        if isinstance(posted, HttpResponse):
            return posted
        return _handle_post(request, posted)
    person = session.current_user(request)
    if person is not None and _named_token(request, person) is None:
        # The URL identifies the draft: returning to it shows that draft instead of starting a second one.
        query = request.GET.copy()
        query["message"] = draft_store.new_ticket(person.address)
        return session.set_credential_cookie(request, redirect(f"{reverse('compose')}?{query.urlencode()}"))
    return _new_draft(request)


def _named_token(request: HttpRequest, person: session.WebmailUser) -> str | None:
    """Return the token of the draft a URL names, or None if it is not this user's."""
    token, owner = draft_store.read_ticket(request.GET.get("message", "")) or ("", "")
    return token if owner == person.address else None


@never_cache
@require_http_methods(["GET", "HEAD"])
def resume_draft(request: HttpRequest, token: str) -> HttpResponseBase:
    """Show a stored draft: after the session expired, or an unfinished one."""
    return _resumed_page(request, token)


@requires_login
def _resumed_page(request: Request, mail: imap_client.MailSession, token: str) -> HttpResponse:
    fields = draft_store.load_draft(token, request.visitor.address)
    if fields is None:
        messages.info(request, _("This message was sent or discarded already."))
        return redirect("box")
    return compose_page(request, mail, token, fields)


@requires_login
def _new_draft(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    owner, token = request.visitor.address, _named_token(request, request.visitor) or ""
    if draft_store.draft_version(token):
        return redirect("resume", token)
    source = ComposeSource(request.GET.get("mode", ""), layout.requested_folder(request), request.GET.get("of", ""))
    if (open_token := _open_draft(mail, owner, source)) is not None:
        return redirect("resume", open_token)
    fields = (
        begin_from_message(mail, request.visitor, source) if source.mode in MODES and source.of else _from_link(request)
    )
    if fields is None:
        messages.warning(request, _("That message is no longer there."))
        fields = _from_link(request)
    if copied := fields.pop("copied", None):
        draft_store.save_draft(token, owner, fields)
        for name, kind, content in copied:
            draft_store.attach_bytes(token, name, kind, content)
    draft_store.finish_scheduled(owner)
    unfinished = draft_store.last_unfinished(owner, token) if not source.of else None
    return compose_page(request, mail, token, fields, unfinished=unfinished)


def _open_draft(mail: imap_client.MailSession, owner: str, source: ComposeSource) -> str | None:
    """Return the token of a draft that is being edited here with its files, or None."""
    drafts = find_by_role(mail.folders(younger_than=30), "drafts")
    if source.mode != "draft" or drafts is None or source.box != drafts.name or not source.of.isdecimal():
        return None
    return draft_store.find_by_draft(owner, int(source.of[:10]))


def _from_link(request: Request) -> dict[str, Any]:
    """Return the fields of a new message, perhaps from a link: ?to=… or a whole mailto: URL (RFC 6068)."""
    given = {name: request.GET.get(name, "") for name in ("to", "cc", "bcc", "subject", "body")}
    mailto = request.GET.get("mailto", "")
    if mailto.lower().startswith("mailto:"):
        split = urlsplit(mailto)
        given["to"] = unquote(split.path)
        for name, value in parse_qsl(split.query):
            if name.lower() in given:
                given[name.lower()] = value
    identity = sender_identities.default_identity(request.visitor)
    clean = {name: re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:20_000] for name, text in given.items() if name != "body"}
    body = re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", "", given["body"])[:20_000]
    return clean | {
        "identity": str(identity.id),
        "body": mime_builder.add_signature(body, identity.signature, above=False),
    }


# --- Posted drafts --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PostedDraft:
    """A draft as posted and stored.

    `stale` is true if its page was older than the stored draft, so that it is now a draft of its own.
    """

    token: str
    owner: str
    fields: dict[str, Any]
    action: str
    stale: bool = False


def _save_posted(request: HttpRequest) -> PostedDraft | HttpResponse:
    """Store everything that was posted under the draft its ticket names."""
    ticket = draft_store.read_ticket(request.POST.get("message", ""))
    if ticket is None:
        advice = _("Please open a new message and copy your text into it.")
        return session.error_page(request, _("This page is too old."), advice, 400)
    token, owner = ticket
    fields: dict[str, Any] = {name: request.POST.get(name, "")[: LONGEST.get(name, 4000)] for name in FIELDS}
    fields["in"] = layout.requested_folder(request)
    fields["carry"] = [c for c in request.POST.getlist("carry") if re.fullmatch(r"\d{1,10}:[\d.]{0,60}", c)][:200]
    fields["receipt"] = bool(request.POST.get("receipt"))
    fields["notify"] = bool(request.POST.get("notify"))
    version = request.POST.get("version", "")
    seen = int(version) if version.isdecimal() and len(version) < 10 else None
    stale = draft_store.save_draft(token, owner, fields, seen) is None
    if stale:
        token = draft_store.fork_draft(token, owner, fields)
    _attach_files(request, token)
    return PostedDraft(token, owner, fields, request.POST.get("do", ""), stale)


def _attach_files(request: HttpRequest, token: str) -> None:
    limit = conf.current().message_size_limit
    used = sum(file.size for file in draft_store.list_attachments(token))
    for name in getattr(request, "files_dropped", ()):
        messages.error(request, _("“%s” is too large and was not attached.") % name[:100])
    for file in request.FILES.getlist("files"):
        used += file.size or 0
        if limit and used * 4 // 3 > limit:
            messages.error(request, _("“%s” is too large and was not attached.") % (file.name or "")[:100])
            break
        draft_store.attach_file(token, file)
    draft_store.remove_attachments(
        token, [int(i) for i in request.POST.getlist("remove") if i.isdecimal() and len(i) < 19]
    )


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """Django's CSRF_FAILURE_VIEW; the usual cause is not a forgery but a new login in another tab.

    A draft is stored and shown again, to be sent with a fresh token; any other request is rejected.
    """
    if request.path == reverse("compose") and draft_store.read_ticket(request.POST.get("message", "")):
        posted = _save_posted(request)
        if isinstance(posted, PostedDraft):
            messages.info(request, _("The page had become too old. Please press the button once more."))
            return redirect("resume", posted.token)
    advice = _("Nothing was done. Please go back, reload the page and try again.")
    return session.error_page(request, _("This page is too old."), advice, 403)


def _handle_post(request: HttpRequest, posted: PostedDraft) -> HttpResponseBase:
    person = session.current_user(request)
    if posted.action == "autosave" and (person is None or person.address != posted.owner):
        return JsonResponse({"saved": "", "version": draft_store.draft_version(posted.token)}, status=401)
    if person is None:
        messages.info(request, _("Your session had ended. Sign in to go on with your message; nothing was lost."))
        target = reverse("resume", args=[posted.token])
        return redirect(f"{reverse('sign-in')}?next={target}")
    if person.address != posted.owner:
        detail = _("It was started by another user of this browser and is saved for them.")
        return session.error_page(request, _("This message is not yours."), detail, 403)
    return _handle_action(request, posted)


@requires_login
def _handle_action(request: Request, mail: imap_client.MailSession, posted: PostedDraft) -> HttpResponse:
    if posted.stale and posted.action not in ("discard", "autosave"):
        words = _(
            "This message was changed in another window, or sent already. What you wrote here is a message of its own"
            " now; nothing was lost."
        )
        return compose_page(request, mail, posted.token, posted.fields, {"": words}, status=409)
    try:
        return _after_action(request, mail, posted)
    except (imap_client.ServerUnreachable, imap_client.CommandRefused) as fault:
        words = (
            _("The mail server cannot be reached.") if isinstance(fault, imap_client.ServerUnreachable) else str(fault)
        )
        if posted.action == "autosave":
            return JsonResponse({"saved": "", "version": draft_store.draft_version(posted.token)}, status=503)
        return compose_page(request, mail, posted.token, posted.fields, {"": words}, status=503)


def _after_action(request: Request, mail: imap_client.MailSession, posted: PostedDraft) -> HttpResponse:
    what, _colon, which = posted.action.partition(":")
    match what:
        case "send" | "later":
            return _send(request, mail, posted, which if what == "later" else "")
        case "draft":
            if errors := sending.save_draft(request, mail, posted.token, posted.fields):
                return compose_page(request, mail, posted.token, posted.fields, errors)
            messages.success(request, _("The draft was saved."))
            return redirect("resume", posted.token)
        case "autosave":
            return _autosave(request, mail, posted)
        case "pick":
            return redirect("pick", posted.token)
        case "text" if which.isdecimal() and len(which) < 19:
            return _insert_canned(posted, int(which))
        case "sign":
            return _replace_signature(request, posted, which)
        case "discard":
            sending.drop_draft(mail, posted.token)
            draft_store.discard_draft(posted.token, posted.owner)
            return redirect(back_address(request, posted.fields))
    return redirect("resume", posted.token)  # redirected, so that a reload does not post again


def _autosave(request: Request, mail: imap_client.MailSession, posted: PostedDraft) -> HttpResponse:
    """Store a draft posted by the page's script while the user writes.

    With large files it is stored only here, and saved to Drafts when a button is pressed.
    """
    is_small = sum(file.size for file in draft_store.list_attachments(posted.token)) <= sending.MAX_AUTOSAVE_BYTES
    if (
        is_small and draft_store.load_draft(posted.token, posted.owner) is not None
    ):  # it may have been sent a moment ago
        sending.save_draft(request, mail, posted.token, posted.fields)
    reply = {
        "saved": f"{timezone.localtime():%H:%M}",
        "version": draft_store.draft_version(posted.token),
        "message": draft_store.ticket_for(posted.token, posted.owner),
    }
    return JsonResponse(reply)


def _insert_canned(posted: PostedDraft, number: int) -> HttpResponse:
    text = CannedText.objects.filter(owner=posted.owner, pk=number).first()
    fields = posted.fields
    if text is not None:
        fields = fields | {"body": mime_builder.insert_text(fields["body"], text.body)}
        fields["subject"] = fields["subject"] or text.subject
        draft_store.save_draft(posted.token, posted.owner, fields)
    return redirect("resume", posted.token)


def _replace_signature(request: Request, posted: PostedDraft, before: str) -> HttpResponse:
    """Replace the signature after another identity was selected."""
    old = sender_identities.selected_identity(request.visitor, before)
    new = sender_identities.selected_identity(request.visitor, posted.fields["identity"])
    fields = posted.fields | {
        "body": mime_builder.replace_signature(posted.fields["body"], old.signature, new.signature)
    }
    draft_store.save_draft(posted.token, posted.owner, fields)
    return redirect("resume", posted.token)


def _send(request: Request, mail: imap_client.MailSession, posted: PostedDraft, when: str) -> HttpResponse:
    until = None
    if when:
        until = snooze.parse_moment(when, posted.fields["send_at"])
        if until is None:
            return compose_page(
                request, mail, posted.token, posted.fields, {"": _("Please choose a time that is still to come.")}
            )
    errors, status = sending.send_message(request, mail, posted.token, posted.fields, until)
    if errors:
        return compose_page(request, mail, posted.token, posted.fields, errors, status=status)
    return redirect(back_address(request, posted.fields))


def compose_page(
    request: Request,
    mail: imap_client.MailSession,
    token: str,
    fields: dict[str, Any],
    errors: dict[str, str] | None = None,
    status: int = 200,
    unfinished: tuple[str, dict[str, Any]] | None = None,
) -> HttpResponse:
    person = request.visitor
    identities = sender_identities.list_identities(person)
    context = layout.page_context(request, mail) | {
        "fields": fields,
        "errors": errors or {},
        "ticket": draft_store.ticket_for(token, person.address),
        "version": draft_store.draft_version(token),
        "identities": identities,
        "identity": next((each for each in identities if str(each.id) == fields.get("identity")), identities[0]),
        "attached": draft_store.list_attachments(token),
        "carried": sending.forwarded_files(mail, fields),
        "limit": conf.current().message_size_limit * 3 // 4,
        "left": unfinished,
        "suggestions": contact_store.suggest_recipients(person.address),
        "texts": CannedText.objects.filter(owner=person.address),
        "can_hold": submission.supports_futurerelease(smtp_address()),
        "times": snooze.snooze_choices(),
        "hidden": [(name, fields.get(name) or "") for name in ("in_reply_to", "references", "mode", "of", "draft")],
    }
    return render(request, "webmail/compose.html", context, status=422 if errors and status == 200 else status)


def back_address(request: Request, fields: dict[str, Any]) -> str:
    box, of = fields.get("in") or layout.INBOX, str(fields.get("of") or "")
    refers_to_message = fields.get("mode") in ("reply", "all", "list", "forward", "new") and of.isdecimal()
    if refers_to_message and request.visitor.options.back_to == "message":
        return reverse("read", args=[int(of)]) + layout.folder_query(box)
    return layout.list_address(box)
