"""Sending a letter on as it is (RFC 5322 §3.6.6): nothing in it changes, its new way stands above it."""

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

from webmail import contacts, identities, imap, smtp, uploads
from webmail.addresses import Address, BadAddress, typed
from webmail.pages import frame
from webmail.servers import smtp_server
from webmail.visitor import Request, signed_in

# What an earlier delivery wrote above the letter, and blind copies, which are nobody's business now.
_OLD = re.compile(rb"(?:Return-Path|Delivered-To|X-Original-To|Bcc):", re.IGNORECASE)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def resend(request: Request, mail: imap.Mail, uid: int) -> HttpResponse:
    box, person = frame.box_of(request), request.visitor
    mail.open(box, fresh=False)
    there = mail.find(uid)
    if there is None:
        raise Http404
    ticket = request.POST.get("letter", "") or uploads.new_ticket(person.address)
    problem = ""
    if request.method == "POST":
        token, owner = uploads.read_ticket(ticket) or ("", "")
        problem = _sent(request, mail, uid, token) if owner == person.address else _("This page is too old.")
        if not problem:
            return redirect(reverse("read", args=[uid]) + frame.in_box(box))
    context = frame.around(request, mail) | {
        "row": there.row,
        "box": box,
        "ticket": ticket,
        "to": request.POST.get("to", ""),
        "problem": problem,
        "identities": identities.of(person),
        "identity": identities.usual(person),
        "suggestions": contacts.suggestions(person.address),
    }
    return render(request, "webmail/resend.html", context, status=422 if problem else 200)


def _sent(request: Request, mail: imap.Mail, uid: int, token: str) -> str:
    """Sends it, once however often the button is pressed; what is wrong, or ""."""
    person = request.visitor
    try:
        people = typed(contacts.expanded(person.address, request.POST.get("to", "")[:50_000]))
    except BadAddress as error:
        return str(error)
    if not people:
        return _("Please enter at least one recipient.")
    sender = identities.chosen(person, request.POST.get("identity", "")).address
    content = _above(mail.contents(uid, [""]).get("", b""), sender, people, token)
    uploads.keep(token, person.address, {"resent": uid})
    if not uploads.claim(token, person.address):
        messages.info(request, _("This letter was sent already."))
        return ""
    try:
        recipients = [each.mail for each in people]
        smtp.send(smtp_server(), person.login, person.secret, sender.mail, recipients, content)
    except smtp.NotSent as error:
        uploads.release(token)
        words = [error.reply, *(f"{address}: {reply}" for address, reply in error.refused.items())]
        return _("The message was not sent. The server said: %s") % " ".join(filter(None, words))
    uploads.done(token)
    messages.success(request, _("The message was sent on as it is."))
    return ""


def _above(content: bytes, sender: Address, people: tuple[Address, ...], token: str) -> bytes:
    """The letter with a block of Resent- fields above all others."""
    content = re.sub(rb"\r?\n", b"\r\n", content)
    head, gap, body = content.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    kept = [field for field in fields if not _OLD.match(field)]
    domain = sender.mail.rpartition("@")[2] or "localhost"
    block = [
        f"Resent-From: {sender.coded}",
        "Resent-To: " + ",\r\n ".join(each.coded for each in people),
        f"Resent-Date: {format_datetime(timezone.localtime())}",
        f"Resent-Message-ID: <{token}@{domain}>",
    ]
    return b"\r\n".join([*(line.encode() for line in block), *kept]) + gap + body
