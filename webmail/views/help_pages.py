"""The help page in the user's language, and the page about this program."""

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.mailserver.server_addresses import imap_address
from webmail.views import layout


@never_cache
@require_safe
@requires_login
def help_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    return render(request, "webmail/help.html", layout.page_context(request, mail))


@never_cache
@require_safe
@requires_login
def about_page(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    """Show the mail server's capabilities, which explain missing buttons."""
    capabilities = {
        "SORT": mail.supports("SORT"),
        "THREAD": mail.supports("THREAD=REFS") or mail.supports("THREAD=REFERENCES"),
        "MULTISEARCH": mail.supports("MULTISEARCH"),
        "OBJECTID": mail.supports("OBJECTID"),
        "MOVE": mail.supports("MOVE"),
        "UIDPLUS": mail.supports("UIDPLUS"),
        "SPECIAL-USE": mail.supports("SPECIAL-USE"),
        "LIST-STATUS": mail.supports("LIST-STATUS"),
        "QUOTA": mail.supports("QUOTA"),
        "IDLE": mail.supports("IDLE"),
        "PREVIEW": mail.supports("PREVIEW"),
    }
    context = layout.page_context(request, mail) | {"abilities": capabilities.items(), "server": imap_address()}
    return render(request, "webmail/about.html", context)
