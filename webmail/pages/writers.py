"""Identities: the list, one of them, their order, and which one new letters are written as."""

from dataclasses import replace

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail import identities, imap, options
from webmail.identities import Identity
from webmail.pages import frame
from webmail.visitor import Request, signed_in


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def index(request: Request, mail: imap.Mail) -> HttpResponse:
    person = request.visitor
    if request.method == "POST":
        what, _colon, given = request.POST.get("do", "").partition(":")
        number = int(given) if given.isdecimal() and len(given) < 19 else 0
        match what:
            case "up":
                identities.raise_up(person, number)
            case "remove":
                identities.remove(person, number)
            case "usual" if any(each.id == number for each in identities.of(person)):
                options.save(person.address, replace(person.options, identity=number))
        return redirect("identities")
    known = identities.of(person)
    context = frame.around(request, mail) | {"identities": known, "usual": identities.usual(person)}
    return render(request, "webmail/identities.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def one(request: Request, mail: imap.Mail, number: int = 0) -> HttpResponse:
    person = request.visitor
    shown = Identity(0, person.options.name, "", "", person.options.signature)
    if number:
        found = next((each for each in identities.of(person) if each.id == number), None)
        if found is None:
            raise Http404
        shown = found
    problem = ""
    if request.method == "POST":
        given = {name: request.POST.get(name, "") for name in ("name", "mail", "reply_to", "signature")}
        shown = Identity(number, **given)
        try:
            identities.keep(person, shown)
        except identities.Unusable as error:
            problem = str(error)
        else:
            messages.success(request, _("The identity was saved."))
            return redirect("identities")
    context = frame.around(request, mail) | {"shown": shown, "problem": problem}
    return render(request, "webmail/identity.html", context, status=422 if problem else 200)
