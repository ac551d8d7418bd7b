"""The user's own account (/account/): profile, password, app passwords."""

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin import security_notice, sign_in
from mailadmin.forms import AppPasswordForm, OwnForm, OwnPasswordForm
from mailadmin.permissions import Permissions, requires_login
from mailadmin.recent_login import changes_need_recent_login
from mailadmin.views.page_responses import redirect_with_notice, render_page, show_secret_once
from mailcore.models import Account
from mailcore.store import directory
from mailcore.store.auth import account_login
from mailcore.store.auth.throttle import TooManyAttempts
from mailcore.store.directory import DirectoryError
from mailcore.store.mailbox import quota_limits


@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def own_account(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account = permissions.visitor
    initial = {"name": account.name, "language": account.language, "time_zone": account.time_zone}
    form = OwnForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            directory.change_own(account.pk, **form.cleaned_data)
        except DirectoryError as problem:
            form.add_store_errors(problem)
        else:
            return _in_language(
                redirect_with_notice(request, permissions, _("Your profile has been saved."), "mailadmin:own"),
                form.cleaned_data["language"],
            )
    context = {
        "section": "own",
        "form": form,
        "account": account,
        "limit": quota_limits.effective_limit(account.quota_bytes, account.domain.account_quota_bytes),
        "aliases": directory.aliases_naming(account.address),
    }
    return render_page(request, permissions, "own", context, status=400 if form.errors else 200)


def _in_language(response: HttpResponse, code: str) -> HttpResponse:
    """Set the language cookie; without a language the browser's applies."""
    if code:
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, code, max_age=365 * 86400, samesite="Lax", httponly=True)
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return response


@sensitive_post_parameters("present", "password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
def own_password(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account = permissions.visitor
    form = OwnPasswordForm(request.POST or None)
    if form.is_valid():
        data = form.cleaned_data
        try:
            user = sign_in.throttled(
                request,
                account.address,
                lambda: authenticate(request, username=account.address, password=data["present"]),
            )
        except TooManyAttempts:
            form.add_error("present", sign_in.too_many_attempts())
            return render_page(request, permissions, "own_password", {"section": "password", "form": form}, 429)
        if user is None:
            form.add_error("present", _("This is not your password."))
        else:
            try:
                directory.set_password(account.pk, data["password"])
            except DirectoryError as problem:
                form.add_store_errors(problem)
            else:
                _keep_only_this_session(request, account.pk)
                security_notice.notify_owner(request, permissions, account.pk, "password")
                words = _("Your password has been changed. You are signed out everywhere else.")
                return redirect_with_notice(request, permissions, words, "mailadmin:own")
    return render_page(
        request, permissions, "own_password", {"section": "password", "form": form}, 400 if form.errors else 200
    )


def _keep_only_this_session(request: HttpRequest, account_id: int) -> None:
    """End all other sessions after a change of password.

    This one keeps its session key, to which the webmail's credential belongs.
    """
    key = request.session.session_key or ""
    account_login.end_sessions(account_id, keep=key)
    request.session[HASH_SESSION_KEY] = Account.objects.get(pk=account_id).get_session_auth_hash()


@require_http_methods(["GET", "HEAD", "POST"])
@requires_login
@changes_need_recent_login
def app_passwords(request: HttpRequest, permissions: Permissions) -> HttpResponse:
    account = permissions.visitor
    form = AppPasswordForm(request.POST or None)
    if form.is_valid():
        label = form.cleaned_data["label"]
        secret = account_login.make_app_password(account.pk, label)
        security_notice.notify_owner(request, permissions, account.pk, "app-password")
        title = _("A password for “%(label)s”") % {"label": label}
        back = reverse("mailadmin:app-passwords")
        return show_secret_once(request, permissions, title=title, address=account.address, secret=secret, back=back)
    context = {"section": "app-passwords", "form": form, "made": account_login.app_passwords(account.pk)}
    return render_page(request, permissions, "app_passwords", context, status=400 if form.errors else 200)


@require_POST
@requires_login
def revoke(request: HttpRequest, permissions: Permissions, password_id: int) -> HttpResponse:
    if not account_login.revoke_app_password(permissions.visitor.pk, password_id):
        return redirect("mailadmin:app-passwords")
    return redirect_with_notice(
        request, permissions, _("The app password has been revoked."), "mailadmin:app-passwords"
    )
