"""Web sessions: a user's own, and an administrator's view of what grants access to an account."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from mailadmin import security_notice
from mailadmin.permissions import Permissions, requires_change, requires_login, requires_view
from mailadmin.recent_login import ask_for_proof, has_recent_login
from mailadmin.views.page_responses import redirect_with_notice, render_page
from mailcore.models import Account
from mailcore.store.auth import account_login, second_factors
from mailcore.store.credentials import api_tokens
from mailcore.store.db import audit

# Revocable access to an account: one session, all sessions, one app password, one API token, all second factors.
KINDS = ("session", "sessions", "program", "token", "factors")


@require_safe
@requires_login
def own_sessions(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    sessions = account_login.web_sessions(permissions.visitor.pk, request.session.session_key or "")
    context = {"section": "sessions", "sessions": sessions, "others": sum(not each.current for each in sessions)}
    return render_page(request, permissions, "own_sessions", context)


@require_POST
@requires_login
def end_session(request: HttpRequest, permissions: Permissions, session_id: int) -> HttpResponse:
    if not account_login.revoke_session(permissions.visitor.pk, session_id):
        return redirect("mailadmin:own-sessions")
    return redirect_with_notice(request, permissions, _("That browser has been signed out."), "mailadmin:own-sessions")


@require_POST
@requires_login
def end_other_sessions(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account_login.end_sessions(permissions.visitor.pk, keep=request.session.session_key or "")
    return redirect_with_notice(
        request, permissions, _("You are signed out everywhere else."), "mailadmin:own-sessions"
    )


def _find_account(permissions: Permissions, account_id: int) -> Account:
    row = get_object_or_404(Account.objects.select_related("domain"), pk=account_id)
    if not permissions.covers_domain(row.domain_id):
        raise PermissionDenied
    return row


@require_safe
@requires_view
def access(request: HttpRequest, permissions: Permissions, account_id: int) -> HttpResponse:
    """Show everything that grants access to an account: sessions, app passwords, second factors."""
    row = _find_account(permissions, account_id)
    audit.record_lookup([row.address], "access")
    context = {
        "section": "accounts",
        "account": row,
        "sessions": account_login.web_sessions(row.pk),
        "programs": account_login.app_passwords(row.pk),
        "tokens": api_tokens.list_tokens(row.pk),
        "factors": second_factors.list_factors(row.pk),
        "read_only": not permissions.can_change_account(row),
    }
    return render_page(request, permissions, "access", context)


@require_POST
@requires_change
def revoke_access(request: HttpRequest, permissions: Permissions, account_id: int) -> HttpResponse:
    """Revoke one kind of access to the account, as the form says."""
    row = _find_account(permissions, account_id)
    if not permissions.can_change_account(row):
        raise PermissionDenied
    kind, number = request.POST.get("what", ""), request.POST.get("number", "")
    if kind not in KINDS:
        raise Http404
    if kind == "factors" and not has_recent_login(request):
        return ask_for_proof(request, reverse("mailadmin:access", args=[row.pk]))
    ended = revoke(row.pk, kind, int(number) if number.isdecimal() and len(number) < 19 else 0)
    if not ended:
        messages.info(request, _("This sign-in had already ended."))
        return redirect("mailadmin:access", row.pk)
    if kind == "factors":
        security_notice.notify_owner(request, permissions, row.pk, "factor-removed")
    return redirect_with_notice(request, permissions, _("The sign-in has been revoked."), "mailadmin:access", row.pk)


def revoke(account_id: int, kind: str, number: int) -> bool:
    """Revoke access of one of KINDS; `number` names the session, app password or token.

    Return False if it did not exist.
    """
    match kind:
        case "session":
            return account_login.revoke_session(account_id, number)
        case "program":
            return account_login.revoke_app_password(account_id, number)
        case "token":
            return api_tokens.revoke_token(account_id, number)
        case "sessions":
            account_login.end_sessions(account_id)
            return True
        case _:
            return second_factors.remove_all_factors(account_id)
