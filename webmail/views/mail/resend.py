"""Resending a message unchanged (RFC 5322 §3.6.6), with Resent- fields on top."""

import re
from email.utils import format_datetime

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail.account.session import Request, requires_login
from webmail.address_book import contact_store
from webmail.composing import draft_store, sender_identities
from webmail.mailserver import imap_client, submission
from webmail.mailserver.server_addresses import smtp_address
from webmail.values.addresses import Address, InvalidAddress, parse_typed
from webmail.views import layout

# Fields of an earlier delivery, and blind copies, which must not be disclosed to the new recipients.
_DELIVERY_FIELDS = re.compile(rb"(?:Return-Path|Delivered-To|X-Original-To|Bcc):", re.IGNORECASE)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def resend(request: Request, mail: imap_client.MailSession, uid: int) -> HttpResponse:
    box, person = layout.requested_folder(request), request.visitor
    mail.open(box, fresh=False)
    fetched = mail.find(uid)
    if fetched is None:
        raise Http404
    ticket = request.POST.get("message", "") or draft_store.new_ticket(person.address)
    problem = ""
    if request.method == "POST":
        token, owner = draft_store.read_ticket(ticket) or ("", "")
        problem = _resend_message(request, mail, uid, token) if owner == person.address else _("This page is too old.")
        if not problem:
            return redirect(reverse("read", args=[uid]) + layout.folder_query(box))
    context = layout.page_context(request, mail) | {
        "row": fetched.row,
        "box": box,
        "ticket": ticket,
        "to": request.POST.get("to", ""),
        "problem": problem,
        "identities": sender_identities.list_identities(person),
        "identity": sender_identities.default_identity(person),
        "suggestions": contact_store.suggest_recipients(person.address),
    }
    return render(request, "webmail/resend.html", context, status=422 if problem else 200)


def _resend_message(request: Request, mail: imap_client.MailSession, uid: int, token: str) -> str:
    """Resend the message, once however often the button is pressed; return an error text, or ""."""
    person = request.visitor
    try:
        people = parse_typed(contact_store.expand_nicknames(person.address, request.POST.get("to", "")[:50_000]))
    except InvalidAddress as error:
        return str(error)
    if not people:
        return _("Please enter at least one recipient.")
    sender = sender_identities.selected_identity(person, request.POST.get("identity", "")).address
    content = _add_resent_fields(mail.contents(uid, [""]).get("", b""), sender, people, token)
    draft_store.save_draft(token, person.address, {"resent": uid})
    if not draft_store.claim_for_sending(token, person.address):
        messages.info(request, _("This message was sent already."))
        return ""
    try:
        recipients = [each.mail for each in people]
        submission.submit_message(smtp_address(), person.login, person.secret, sender.mail, recipients, content)
    except submission.SubmissionError as error:
        draft_store.release_claim(token)
        texts = [error.reply, *(f"{address}: {reply}" for address, reply in error.refused.items())]
        return _("The message was not sent. The server replied: %s") % " ".join(filter(None, texts))
    draft_store.mark_sent(token)
    messages.success(request, _("The message was sent on as it is."))
    return ""


def _add_resent_fields(content: bytes, sender: Address, people: tuple[Address, ...], token: str) -> bytes:
    """Return the message with a block of Resent- fields on top."""
    content = re.sub(rb"\r?\n", b"\r\n", content)
    head, gap, body = content.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    remaining = [field for field in fields if not _DELIVERY_FIELDS.match(field)]
    domain = sender.mail.rpartition("@")[2] or "localhost"
    block = [
        f"Resent-From: {sender.coded}",
        "Resent-To: " + ",\r\n ".join(each.coded for each in people),
        f"Resent-Date: {format_datetime(timezone.localtime())}",
        f"Resent-Message-ID: <{token}@{domain}>",
    ]
    return b"\r\n".join([*(line.encode() for line in block), *remaining]) + gap + body
