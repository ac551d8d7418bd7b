"""Fetching mail from accounts on other servers: the list of accounts, adding one, and fetching."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from mailcore import conf
from webmail.account import pop3_fetch
from webmail.account.session import Request, requires_login
from webmail.mailserver import imap_client
from webmail.models import FetchedFrom
from webmail.sanitize import safe_http
from webmail.views import layout


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def fetch_accounts(request: Request, mail: imap_client.MailSession) -> HttpResponse:
    ports = conf.current().webmail_fetch_mail_ports
    if not ports:
        raise Http404
    problem = ""
    if request.method == "POST":
        problem = _handle_post(request, mail)
        if not problem:
            return redirect("fetch")
    context = layout.page_context(request, mail) | {
        "accounts": FetchedFrom.objects.filter(owner=request.visitor.address),
        "ports": ports,
        "problem": problem,
    }
    return render(request, "webmail/fetch.html", context, status=422 if problem else 200)


def _handle_post(request: Request, mail: imap_client.MailSession) -> str:
    """Carry out the form's action; return an error text, or ""."""
    owner, number = request.visitor.address, request.POST.get("id", "")
    if request.POST.get("do") == "add":
        return _add_account(request, mail)
    account = FetchedFrom.objects.filter(owner=owner, pk=int(number) if number.isdecimal() else 0).first()
    if account is None:
        return _("Please choose what to do.")
    if request.POST.get("do") == "remove":
        account.delete()
        return ""
    return _fetch_account(request, mail, account)


def _add_account(request: Request, mail: imap_client.MailSession) -> str:
    post, owner = request.POST, request.visitor.address
    host, login, port = post.get("host", "").strip(), post.get("login", "").strip(), post.get("port", "")
    folder = next((f.name for f in mail.folders(younger_than=30) if f.name == post.get("in") and f.selectable), "")
    if not host or not login or not folder or len(host) > 255 or len(login) > 320:
        return _("Please name the server, your name there, and a folder here.")
    try:
        imap_client.reject_controls(host + login)
    except ValueError:
        return _("A control character is not allowed here.")
    if port not in conf.current().webmail_fetch_mail_ports:
        return _("Mail is not fetched on this port.")
    if FetchedFrom.objects.filter(owner=owner).count() >= pop3_fetch.MAX_ACCOUNTS:
        return _("There are too many accounts.")
    account, _made = FetchedFrom.objects.update_or_create(
        owner=owner,
        host=host,
        port=int(port),
        login=login,
        defaults={"folder": folder, "leave": post.get("leave") == "1"},
    )
    return _fetch_account(request, mail, account) if post.get("password") else ""


def _fetch_account(request: HttpRequest, mail: imap_client.MailSession, account: FetchedFrom) -> str:
    try:
        outcome = pop3_fetch.fetch_mail(mail, account, request.POST.get("password", ""))
    except pop3_fetch.ServerRefused as refusal:
        return _("That server replied: %s") % refusal
    except safe_http.ServerBusy:
        return _("Too many are fetching mail just now. Please try again in a moment.")
    except safe_http.FetchError:
        return _("That server cannot be reached, or is not permitted.")
    text = ngettext("%d message was fetched.", "%d messages were fetched.", outcome.imported) % outcome.imported
    messages.success(request, text)
    if outcome.large:
        words = ngettext("%d message is too large for here.", "%d messages are too large for here.", outcome.large)
        messages.warning(request, words % outcome.large)
    if outcome.left:
        words = ngettext("%d more is waiting there.", "%d more are waiting there.", outcome.left)
        messages.info(request, words % outcome.left)
    return ""
