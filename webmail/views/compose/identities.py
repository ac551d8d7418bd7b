"""Identities: the list, one identity, their order, and the default for new messages."""

from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail.account import preferences
from webmail.account.session import Request, requires_login
from webmail.composing import sender_identities
from webmail.composing.sender_identities import Identity
from webmail.mailserver import imap_client
from webmail.views import layout


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def identity_list(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    person = request.visitor
    if request.method == "POST":
        action, _colon, values = request.POST.get("do", "").partition(":")
        number = int(values) if values.isdecimal() and len(values) < 19 else 0
        match action:
            case "up":
                sender_identities.move_up(person, number)
            case "remove":
                sender_identities.remove_identity(person, number)
            case "usual" if any(each.id == number for each in sender_identities.list_identities(person)):
                preferences.save_preferences(person.address, replace(person.options, identity=number))
        return redirect("identities")
    known = sender_identities.list_identities(person)
    context = layout.page_context(request, mail) | {
        "identities": known,
        "usual": sender_identities.default_identity(person),
    }
    return render(request, "webmail/identities.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def identity_page(request: Request, mail: imap_client.MailSession, number: int = 0) -> HttpResponse:
    person = request.visitor
    shown = Identity(0, person.options.name, "", "", person.options.signature)
    if number:
        found = next((each for each in sender_identities.list_identities(person) if each.id == number), None)
        if found is None:
            raise Http404
        shown = found
    problem = ""
    if request.method == "POST":
        values = {name: request.POST.get(name, "") for name in ("name", "mail", "reply_to", "signature")}
        shown = Identity(number, **values)
        try:
            sender_identities.save_identity(person, shown)
        except sender_identities.InvalidIdentity as error:
            problem = str(error)
        else:
            messages.success(request, _("The identity was saved."))
            return redirect("identities")
    context = layout.page_context(request, mail) | {"shown": shown, "problem": problem}
    return render(request, "webmail/identity.html", context, status=422 if problem else 200)
