"""Help in the visitor's language, and what this program is."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail import imap
from webmail.pages import frame
from webmail.servers import imap_server
from webmail.visitor import Request, signed_in


@never_cache
@require_safe
@signed_in
def manual(request: Request, mail: imap.Mail) -> HttpResponse:
    return render(request, "webmail/help.html", frame.around(request, mail))


@never_cache
@require_safe
@signed_in
def about(request: Request, mail: imap.Mail) -> HttpResponse:
    """What the mail server can do for the webmail, so that a missing button has an explanation."""
    wanted = {
        "SORT": mail.can("SORT"),
        "THREAD": mail.can("THREAD=REFS") or mail.can("THREAD=REFERENCES"),
        "MULTISEARCH": mail.can("MULTISEARCH"),
        "OBJECTID": mail.can("OBJECTID"),
        "MOVE": mail.can("MOVE"),
        "UIDPLUS": mail.can("UIDPLUS"),
        "SPECIAL-USE": mail.can("SPECIAL-USE"),
        "LIST-STATUS": mail.can("LIST-STATUS"),
        "QUOTA": mail.can("QUOTA"),
        "IDLE": mail.can("IDLE"),
        "PREVIEW": mail.can("PREVIEW"),
    }
    context = frame.around(request, mail) | {"abilities": wanted.items(), "server": imap_server()}
    return render(request, "webmail/about.html", context)
