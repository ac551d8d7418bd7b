"""Where somebody is signed in, and signing out there: an owner's own, and what an administrator sees of an account."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mailadmin.pages.answers import done, show
from mailadmin.permissions import Reach, changing, own, seeing
from mailcore.models import Account
from mailcore.store import audit, factors, login

# What opens an account and can be taken back: one session, all, one program's password, every second factor.
KINDS = ("session", "sessions", "program", "factors")


@require_safe
@own
def own_sessions(request: HttpRequest, reach: Reach) -> HttpResponse:
    found = login.web_sessions(reach.visitor.pk, request.session.session_key or "")
    context = {"section": "sessions", "sessions": found, "others": sum(not each.current for each in found)}
    return show(request, reach, "own_sessions", context)


@require_POST
@own
def end(request: HttpRequest, reach: Reach, session_id: int) -> HttpResponse:
    if not login.revoke_session(reach.visitor.pk, session_id):
        return redirect("mailadmin:own-sessions")
    return done(request, reach, _("That browser has been signed out."), "mailadmin:own-sessions")


@require_POST
@own
def end_others(request: HttpRequest, reach: Reach) -> HttpResponse:
    login.end_sessions(reach.visitor.pk, keep=request.session.session_key or "")
    return done(request, reach, _("You are signed out everywhere else."), "mailadmin:own-sessions")


def _row(reach: Reach, account_id: int) -> Account:
    row = get_object_or_404(Account.objects.select_related("domain"), pk=account_id)
    if not reach.covers(row.domain_id):
        raise PermissionDenied
    return row


@require_safe
@seeing
def access(request: HttpRequest, reach: Reach, account_id: int) -> HttpResponse:
    """Everything that opens an account: browsers, programs' passwords, second factors."""
    row = _row(reach, account_id)
    audit.looked([row.address], "access")
    context = {
        "section": "accounts",
        "account": row,
        "sessions": login.web_sessions(row.pk),
        "programs": login.app_passwords(row.pk),
        "factors": factors.of(row.pk),
        "read_only": not reach.may_change_account(row),
    }
    return show(request, reach, "access", context)


@require_POST
@changing
def end_access(request: HttpRequest, reach: Reach, account_id: int) -> HttpResponse:
    """Take back one thing that opens the account, or all of a kind: the form's field says which."""
    row = _row(reach, account_id)
    if not reach.may_change_account(row):
        raise PermissionDenied
    what, number = request.POST.get("what", ""), request.POST.get("number", "")
    if what not in KINDS:
        raise Http404
    ended = take_back(row.pk, what, int(number) if number.isdecimal() and len(number) < 19 else 0)
    if not ended:
        messages.info(request, _("This sign-in was gone already."))
        return redirect("mailadmin:access", row.pk)
    return done(request, reach, _("The sign-in has been revoked."), "mailadmin:access", row.pk)


def take_back(account_id: int, what: str, number: int) -> bool:
    """Let one of KINDS open the account no more; `number` says which session or program. False: it was gone."""
    match what:
        case "session":
            return login.revoke_session(account_id, number)
        case "program":
            return login.revoke_app_password(account_id, number)
        case "sessions":
            login.end_sessions(account_id)
            return True
        case _:
            return factors.reset(account_id)
