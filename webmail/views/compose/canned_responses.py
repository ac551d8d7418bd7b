"""Canned responses: texts a user writes often, inserted into messages with one click."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.models import CannedText
from webmail.views import layout

MAX_TEXTS = 200
LONGEST = 100_000  # characters of one text


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def canned_responses(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    texts = CannedText.objects.filter(owner=request.visitor.address)
    edited = texts.filter(pk=number).first() if (number := _number(request.GET.get("edit", ""))) else None
    shown = {"name": edited.name, "subject": edited.subject, "body": edited.body} if edited else {}
    problem = ""
    if request.method == "POST":
        if remove := _number(request.POST.get("remove", "")):
            texts.filter(pk=remove).delete()
            return redirect("texts")
        shown, problem = _posted_response(request)
        others = texts.filter(name=shown["name"]).exclude(pk=edited.pk if edited else None)
        if not problem and others.exists():
            problem = _("There is a text by that name already.")
        if not problem and edited is None and texts.count() >= MAX_TEXTS:
            problem = _("There are too many texts.")
        if not problem:
            CannedText.objects.update_or_create(
                pk=edited.pk if edited else None, owner=request.visitor.address, defaults=shown
            )
            messages.success(request, _("The text was saved."))
            return redirect("texts")
    context = layout.page_context(request, mail) | {
        "texts": texts,
        "edited": edited,
        "shown": shown,
        "problem": problem,
    }
    return render(request, "webmail/texts.html", context, status=422 if problem else 200)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def _posted_response(request: Request) -> tuple[dict[str, str], str]:
    shown = {
        "name": " ".join(request.POST.get("name", "").replace("\0", "").split())[:100],
        "subject": " ".join(request.POST.get("subject", "").replace("\0", "").split())[:500],
        "body": request.POST.get("body", "").replace("\r\n", "\n").replace("\0", "")[:LONGEST],
    }
    return shown, "" if shown["name"] and shown["body"].strip() else _("Please enter a name and a text.")
