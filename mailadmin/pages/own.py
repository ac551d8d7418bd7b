"""/account/: what everybody may do with their own account. The first page, the password, app passwords."""

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from mailadmin import door
from mailadmin.forms import AppPasswordForm, OwnForm, OwnPasswordForm
from mailadmin.pages.answers import done, show, shown_once
from mailadmin.permissions import Reach, own
from mailcore.models import Account
from mailcore.store import directory, login, quota
from mailcore.store.directory import Problem
from mailcore.store.guessing import Busy


@require_http_methods(["GET", "HEAD", "POST"])
@own
def overview(request: HttpRequest, reach: Reach) -> HttpResponse:
    me = reach.visitor
    initial = {"name": me.name, "language": me.language, "time_zone": me.time_zone}
    form = OwnForm(request.POST or None, initial=initial)
    if form.is_valid():
        try:
            directory.change_own(me.pk, **form.cleaned_data)
        except Problem as problem:
            form.take(problem)
        else:
            return _in_language(
                done(request, reach, _("Your profile has been saved."), "mailadmin:own"), form.cleaned_data["language"]
            )
    context = {
        "section": "own",
        "form": form,
        "account": me,
        "limit": quota.limit_of(me.quota_bytes, me.domain.account_quota_bytes),
        "aliases": directory.aliases_naming(me.address),
    }
    return show(request, reach, "own", context, status=400 if form.errors else 200)


def _in_language(response: HttpResponse, code: str) -> HttpResponse:
    """Pages are in this language from now on; "" as the browser asks."""
    if code:
        response.set_cookie(settings.LANGUAGE_COOKIE_NAME, code, max_age=365 * 86400, samesite="Lax", httponly=True)
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return response


@sensitive_post_parameters("present", "password", "again")
@require_http_methods(["GET", "HEAD", "POST"])
@own
def own_password(request: HttpRequest, reach: Reach) -> HttpResponse:
    me = reach.visitor
    form = OwnPasswordForm(request.POST or None)
    if form.is_valid():
        given = form.cleaned_data
        try:
            right = door.judged(
                request, me.address, lambda: authenticate(request, username=me.address, password=given["present"])
            )
        except Busy:
            form.add_error("present", door.busy())
            return show(request, reach, "own_password", {"section": "password", "form": form}, 429)
        if right is None:
            form.add_error("present", _("This is not your password."))
        else:
            try:
                directory.set_password(me.pk, given["password"])
            except Problem as problem:
                form.take(problem)
            else:
                _keep_only_this_session(request, me.pk)
                words = _("Your password has been changed. You are signed out everywhere else.")
                return done(request, reach, words, "mailadmin:own")
    return show(request, reach, "own_password", {"section": "password", "form": form}, 400 if form.errors else 200)


def _keep_only_this_session(request: HttpRequest, account_id: int) -> None:
    """Other sessions end with the old password. This one stays, under its own key: the webmail's credential
    hangs on that."""
    key = request.session.session_key or ""
    login.end_sessions(account_id, keep=key)
    request.session[HASH_SESSION_KEY] = Account.objects.get(pk=account_id).get_session_auth_hash()


@require_http_methods(["GET", "HEAD", "POST"])
@own
def app_passwords(request: HttpRequest, reach: Reach) -> HttpResponse:
    me = reach.visitor
    form = AppPasswordForm(request.POST or None)
    if form.is_valid():
        label = form.cleaned_data["label"]
        secret = login.make_app_password(me.pk, label)
        title = _("A password for “%(label)s”") % {"label": label}
        back = reverse("mailadmin:app-passwords")
        return shown_once(request, reach, title=title, address=me.address, secret=secret, back=back)
    context = {"section": "app-passwords", "form": form, "made": login.app_passwords(me.pk)}
    return show(request, reach, "app_passwords", context, status=400 if form.errors else 200)


@require_POST
@own
def revoke(request: HttpRequest, reach: Reach, password_id: int) -> HttpResponse:
    if not login.revoke_app_password(reach.visitor.pk, password_id):
        return redirect("mailadmin:app-passwords")
    return done(request, reach, _("The app password has been revoked."), "mailadmin:app-passwords")
